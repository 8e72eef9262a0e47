package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/sdsaws/sdsaws/store"
)

// stage stages messages over the head there is, which must work.
func (c *channel) stage(messages []store.Message) {
	c.Helper()
	if err := c.log.Stage(c.Context(), c.key, c.id(), messages); err != nil {
		c.Fatalf("Stage: %v", err)
	}
	for _, m := range messages {
		m.Body = bytes.Clone(m.Body)
		m.Staged = c.id()
		c.messages[m.Offset] = m
	}
}

// unstage expects that it leaves the messages of the model.
func (c *channel) unstage() {
	c.Helper()
	if err := c.log.Unstage(c.Context(), c.key); err != nil {
		c.Fatalf("Unstage: %v", err)
	}
	c.check()
}

// forget takes offsets out of the model.
func (c *channel) forget(from, to uint64) {
	for o := from; o < to; o++ {
		delete(c.messages, o)
		c.tried[o] = true
	}
}

var stageTests = []logTest{
	{"StageThenCommit", func(c *channel) {
		c.commit(newHead(0, 3), newMessages(0, 3))
		c.stage(newMessages(3, 6))
		c.stage(newMessages(6, 8))
		c.check() // a load sees none of them
		c.unstage()
		c.commit(newHead(0, 9), newMessages(8, 9))
		c.check()
		c.unstage()
	}},
	{"StageOverStaged", func(c *channel) {
		c.commit(newHead(0, 1), newMessages(0, 1))
		c.stage(newMessages(1, 4))
		c.stage(newMessages(1, 4))
		c.check()
	}},
	{"StageBelowNext", func(c *channel) {
		c.commit(newHead(0, 3), newMessages(0, 3))
		c.stage(newMessages(1, 3))
		c.check()
		c.claim(newClaim())
		c.unstage()
	}},
	{"StageOfReplacedWriter", func(c *channel) {
		c.commit(newHead(0, 3), newMessages(0, 3))
		prev := c.id()
		c.claim(newClaim())
		c.tried[3] = true
		c.refused("a stage under a former commit id", c.log.Stage(c.Context(), c.key, prev, newMessages(3, 4)))
		c.check()
	}},
	{"StageWithoutHead", func(c *channel) {
		c.tried[0] = true
		c.refused("a stage without a head", c.log.Stage(c.Context(), c.key, newCommitID(), newMessages(0, 1)))
		c.check()
	}},
	{"UnstageWhatIsStale", func(c *channel) {
		c.unstage()
		c.commit(newHead(0, 2), newMessages(0, 2))
		c.stage(newMessages(2, 7))
		c.claim(newClaim())
		c.stage(newMessages(4, 5)) // by its successor, in the place of one of them
		c.commitOver(newMessages(9, 10))
		c.forget(2, 5)
		c.forget(5, 7)
		c.unstage()
		c.stage(newMessages(2, 4))
		c.unstage()
	}},
	{"StageLimits", func(c *channel) {
		c.commit(newHead(0, 0), nil)
		limits := c.log.Limits(c.key)
		if limits.Messages > 10_000 {
			c.Logf("not tried: a stage can have %d messages", limits.Messages)
			return
		}
		n := uint64(limits.Messages) //nolint:gosec // above 0
		c.stage(newMessages(0, n))
		c.tried[n] = true
		if err := c.log.Stage(c.Context(), c.key, c.id(), newMessages(0, n+1)); !errors.Is(err, store.ErrTooLarge) {
			c.Errorf("one message too many: %v, want ErrTooLarge", err)
		}
		m := newMessage(n, limits.MessageBytes)
		m.Body = m.Body[:limits.MessageBytes-len(m.ID)]
		c.stage([]store.Message{m})
		c.commit(newHead(0, n+1), nil)
		c.check()
	}},
}

// commitOver commits messages that lie at or above next, as a writer does that skips offsets
// of an unknown outcome; next stays.
func (c *channel) commitOver(messages []store.Message) {
	c.Helper()
	c.commit(newHead(c.head.Start, c.head.Next), messages)
}

// pages returns what Page returns from from to to-1.
func (c *channel) pages(from, to uint64) []store.Message {
	c.Helper()
	var all []store.Message
	for from < to {
		page, next, err := c.log.Page(c.Context(), c.key, from, to)
		if err != nil {
			c.Fatalf("Page: %v", err)
		}
		if next <= from || next > to {
			c.Fatalf("Page from %d to %d goes on from %d", from, to, next)
		}
		all = append(all, page...)
		from = next
	}
	return all
}

func (c *channel) checkPages(from, to uint64) {
	c.Helper()
	var want []store.Message
	for o, m := range c.messages {
		if from <= o && o < to {
			want = append(want, m)
		}
	}
	slices.SortFunc(want, func(a, b store.Message) int {
		if a.Offset < b.Offset {
			return -1
		}
		return 1
	})
	if d := diffMessages(c.pages(from, to), want); d != "" {
		c.Errorf("Page from %d to %d: %s", from, to, d)
	}
}

var pageTests = []logTest{
	{"Page", func(c *channel) {
		c.checkPages(0, 10)
		c.fill(4, 150, 50)
		c.remove(10, 20)
		c.remove(100, 140)
		for _, r := range [][2]uint64{{0, 150}, {0, 1}, {5, 5}, {7, 3}, {10, 20}, {9, 21}, {149, 300}, {100, math.MaxUint64}} {
			c.checkPages(r[0], r[1])
		}
	}},
	{"PageLarge", func(c *channel) {
		c.fill(0, 60, 60_000)
		c.checkPages(0, 60)
		c.checkPages(1, 59)
	}},
	{"Find", func(c *channel) {
		c.checkFind("x")
		for i := range uint64(6) {
			m := newMessage(i, 60_000)
			m.ID = []string{"x", "", "y"}[i%3]
			c.commit(newHead(0, i+1), []store.Message{m})
		}
		staged := newMessage(9, 10)
		staged.ID = "x"
		c.stage([]store.Message{staged})
		for _, id := range []string{"x", "", "y", "X", "x\x00"} {
			c.checkFind(id)
		}
		head := newHead(4, 6)
		head.Origin = 4
		c.commit(head, nil)
		for _, id := range []string{"x", "", "y"} {
			c.checkFind(id)
		}
	}},
	{"FindHostile", func(c *channel) {
		var all []store.Message
		for i, id := range hostile()[:40] {
			m := newMessage(uint64(i), 20) //nolint:gosec // small
			m.ID = id
			all = append(all, m)
		}
		c.commit(newHead(0, 40), all)
		for _, m := range all {
			c.checkFind(m.ID)
		}
	}},
}

func (c *channel) checkFind(id string) {
	c.Helper()
	head, found, err := c.log.Find(c.Context(), c.key, id)
	if err != nil {
		c.Fatalf("Find: %v", err)
	}
	if d := diffHeads(head, c.head); d != "" {
		c.Errorf("Find: %s", d)
	}
	var want []store.Message
	if c.head != nil {
		for o := c.head.Origin; o < c.head.Next; o++ {
			if m, ok := c.messages[o]; ok && m.ID == id {
				want = append(want, m)
			}
		}
	}
	if d := diffMessages(found, want); d != "" {
		c.Errorf("Find %.40q: %s", id, d)
	}
}

func newSegment(from, to uint64) store.Segment {
	return store.Segment{From: from, To: to, Body: random(50)}
}

// addSegment adds a manifest, which must work.
func (c *channel) addSegment(s store.Segment) {
	c.Helper()
	if err := c.log.AddSegment(c.Context(), c.key, c.head.Origin, s); err != nil {
		c.Fatalf("AddSegment: %v", err)
	}
}

// checkSegments compares manifests with what is expected, in ascending order.
func (c *channel) checkSegments(want ...store.Segment) {
	c.Helper()
	same := func(a, b store.Segment) bool {
		return a.From == b.From && a.To == b.To && bytes.Equal(a.Body, b.Body)
	}
	for _, from := range []uint64{0, 1, 10, 11, 1 << 40, math.MaxUint64} {
		above := slices.DeleteFunc(slices.Clone(want), func(s store.Segment) bool { return s.From < from })
		for _, limit := range []int{0, 1, 2, math.MaxInt32} {
			got, err := c.log.Segments(c.Context(), c.key, from, limit)
			if err != nil || !slices.EqualFunc(got, above[:min(limit, len(above))], same) {
				c.Errorf("Segments from %d, %d of them: %d, %v; want %d", from, limit, len(got), err, len(above))
			}
		}
		below := slices.DeleteFunc(slices.Clone(want), func(s store.Segment) bool { return s.From >= from })
		last, err := c.log.LastSegment(c.Context(), c.key, from)
		switch {
		case err != nil || (last == nil) != (len(below) == 0):
			c.Errorf("LastSegment below %d: %v, %v", from, last, err)
		case last != nil && !same(*last, below[len(below)-1]):
			c.Errorf("LastSegment below %d is that from %d, want %d", from, last.From, below[len(below)-1].From)
		}
	}
}

var segmentTests = []logTest{
	{"Segments", func(c *channel) {
		c.checkSegments()
		c.fill(0, 5, 50)
		s := []store.Segment{newSegment(0, 1), newSegment(1, 10), newSegment(10, 1<<40), newSegment(1<<40, 1<<41)}
		for _, i := range []int{2, 0, 3, 1} {
			c.addSegment(s[i])
		}
		c.checkSegments(s...)
		c.check() // no load sees them
		s[1] = newSegment(1, 9)
		if err := c.log.ReplaceSegment(c.Context(), c.key, s[1]); err != nil {
			c.Fatal(err)
		}
		c.checkSegments(s...)
		for range 2 {
			if err := c.log.DeleteSegments(c.Context(), c.key, 10); err != nil {
				c.Fatal(err)
			}
			c.checkSegments(s[2:]...)
		}
		if err := c.log.ReplaceSegment(c.Context(), c.key, s[1]); !errors.Is(err, store.ErrNotFound) {
			c.Errorf("ReplaceSegment of none: %v, want ErrNotFound", err)
		}
		c.remove(0, math.MaxUint64)
		c.checkSegments(s[2:]...)
	}},
	{"SegmentExists", func(c *channel) {
		c.fill(0, 5, 50)
		s := newSegment(0, 3)
		c.addSegment(s)
		if err := c.log.AddSegment(c.Context(), c.key, 0, newSegment(0, 4)); !errors.Is(err, store.ErrExists) {
			c.Errorf("a second segment from 0: %v, want ErrExists", err)
		}
		c.checkSegments(s)
	}},
	{"SegmentOfDroppedChannel", func(c *channel) {
		c.refused("a segment without a head", c.log.AddSegment(c.Context(), c.key, 0, newSegment(0, 3)))
		c.fill(0, 5, 50)
		head := newHead(5, 5)
		head.Origin = 5
		c.commit(head, nil)
		c.refused("a segment of another origin", c.log.AddSegment(c.Context(), c.key, 0, newSegment(0, 3)))
		c.checkSegments()
	}},
	{"ManySegments", func(c *channel) {
		c.fill(0, 1, 50)
		var all []store.Segment
		for i := range uint64(60) {
			s := store.Segment{From: i * 10, To: (i + 1) * 10, Body: random(30_000)}
			all = append(all, s)
			c.addSegment(s)
		}
		c.checkSegments(all...)
		if err := c.log.DeleteSegments(c.Context(), c.key, 550); err != nil {
			c.Fatal(err)
		}
		c.checkSegments(all[55:]...)
	}},
	{"Stored", func(c *channel) {
		want := map[string]bool{}
		for i, name := range hostile() {
			o := newChannel(c.T, c.log, store.Key{Namespace: c.key.Namespace, Channel: name})
			o.commit(newHead(0, 2), newMessages(0, 2))
			if i%2 == 0 {
				o.addSegment(newSegment(0, 1))
			}
			want[name] = true
		}
		newChannel(c.T, c.log, store.Key{Namespace: c.key.Namespace + "2", Channel: "other"}).commit(newHead(0, 0), nil)
		for name, err := range c.log.Stored(c.Context(), c.key.Namespace) {
			if err != nil {
				c.Fatalf("Stored: %v", err)
			}
			if !want[name] {
				c.Errorf("Stored yields %.40q, unknown or twice", name)
			}
			delete(want, name)
		}
		if len(want) > 0 {
			c.Errorf("Stored leaves out %d", len(want))
		}
		for name, err := range c.log.Stored(c.Context(), fmt.Sprint(c.key.Namespace, "-none")) {
			c.Errorf("Stored of an unused namespace: %q, %v", name, err)
		}
	}},
	{"Channels", func(c *channel) {
		want := map[string]bool{}
		for _, name := range hostile() {
			o := newChannel(c.T, c.log, store.Key{Namespace: c.key.Namespace, Channel: name})
			o.commit(newHead(0, 0), nil)
			want[name] = true
		}
		newChannel(c.T, c.log, store.Key{Namespace: c.key.Namespace + "2", Channel: "other"}).commit(newHead(0, 0), nil)
		for name, err := range c.log.Channels(c.Context(), c.key.Namespace) {
			if err != nil {
				c.Fatalf("Channels: %v", err)
			}
			if !want[name] {
				c.Errorf("Channels yields %.40q, unknown or twice", name)
			}
			delete(want, name)
		}
		if len(want) > 0 {
			c.Errorf("Channels leaves out %d", len(want))
		}
		for name, err := range c.log.Channels(c.Context(), fmt.Sprint(c.key.Namespace, "-none")) {
			c.Errorf("Channels of an unused namespace: %q, %v", name, err)
		}
	}},
}
