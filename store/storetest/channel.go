package storetest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sdsaws/sdsaws/store"
)

// channel drives one channel of the log under test beside a model of what it holds.
type channel struct {
	*testing.T
	log store.Log
	key store.Key

	head     *store.Head
	messages map[uint64]store.Message
	tried    map[uint64]bool // offsets of writes that were refused or deleted
}

func newChannel(t *testing.T, log store.Log, key store.Key) *channel {
	return &channel{T: t, log: log, key: key,
		messages: map[uint64]store.Message{}, tried: map[uint64]bool{}}
}

// id returns the commit id of the head, zero when there is none.
func (c *channel) id() store.CommitID {
	if c.head == nil {
		return store.CommitID{}
	}
	return c.head.CommitID
}

// newHead returns a head that could follow, with a new commit id.
func newHead(start, next uint64) store.Head {
	return store.Head{CommitID: newCommitID(), Epoch: 7, Writer: "writer-1", Region: "eu-west-1",
		Start: start, Next: next, Body: random(100)}
}

// newMessages returns a message for each offset from from to to-1.
func newMessages(from, to uint64) []store.Message {
	var all []store.Message
	for o := from; o < to; o++ {
		all = append(all, newMessage(o, 50))
	}
	return all
}

func newMessage(offset uint64, size int) store.Message {
	return store.Message{Offset: offset, ID: fmt.Sprintf("id-%d", offset),
		Lamport: int64(offset)*3 + 1, Body: random(size)} //nolint:gosec // wraps
}

// try commits and leaves the model alone.
func (c *channel) try(prev store.CommitID, head store.Head, messages []store.Message) error {
	for _, m := range messages {
		c.tried[m.Offset] = true
	}
	return c.log.Commit(c.Context(), c.key, prev, head, messages)
}

// commit commits over the head there is, which must work.
func (c *channel) commit(head store.Head, messages []store.Message) {
	c.Helper()
	if err := c.try(c.id(), head, messages); err != nil {
		c.Fatalf("Commit: %v", err)
	}
	c.apply(head, messages)
}

func (c *channel) apply(head store.Head, messages []store.Message) {
	c.head = copyHead(&head)
	for _, m := range messages {
		m.Body = bytes.Clone(m.Body)
		c.messages[m.Offset] = m
	}
}

// fill commits the messages at offsets from 0 to next-1, in as many commits as it takes,
// each in random order. The last head says start.
func (c *channel) fill(start, next uint64, size int) {
	c.Helper()
	limits := c.log.Limits(c.key)
	each := max(1, min(limits.Messages, (limits.CommitBytes-1000)/(size+20), 1<<20/size+1))
	for from := uint64(0); from < next; {
		to := min(next, from+uint64(each)) //nolint:gosec // above 0
		var messages []store.Message
		for o := from; o < to; o++ {
			messages = append(messages, newMessage(o, size))
		}
		rand.Shuffle(len(messages), func(i, j int) { //nolint:gosec // a test's
			messages[i], messages[j] = messages[j], messages[i]
		})
		c.commit(newHead(min(start, from), to), messages)
		from = to
	}
	c.commit(newHead(start, next), nil)
}

// refused checks that err is a conflict that carries the head there is.
func (c *channel) refused(what string, err error) {
	c.Helper()
	conflict, ok := asConflict(err)
	if !ok || !errors.Is(err, store.ErrConflict) {
		c.Fatalf("%s returned %v, want a *ConflictError", what, err)
	}
	if d := diffHeads(conflict.Current, c.head); d != "" {
		c.Errorf("%s: head in the ConflictError: %s", what, d)
	}
}

// landed reports whether a write sent again is known to have happened: it succeeds, or
// conflicts with itself.
func landed(err error, id store.CommitID) bool {
	conflict, ok := asConflict(err)
	return err == nil || ok && conflict.Current != nil && conflict.Current.CommitID == id
}

func asConflict(err error) (*store.ConflictError, bool) {
	var conflict *store.ConflictError
	ok := errors.As(err, &conflict)
	return conflict, ok
}

// check compares all that the log returns of the channel with the model.
func (c *channel) check() {
	c.Helper()
	head, err := c.log.Head(c.Context(), c.key)
	if err != nil {
		c.Fatalf("Head: %v", err)
	}
	if d := diffHeads(head, c.head); d != "" {
		c.Errorf("Head: %s", d)
	}
	c.checkLoad(0)
	offsets := slices.Collect(maps.Keys(c.messages))
	for o := range c.tried {
		if _, ok := c.messages[o]; !ok {
			offsets = append(offsets, o)
		}
	}
	c.checkMessages(offsets)
}

// checkLoad compares what Load returns with the model.
func (c *channel) checkLoad(from uint64) {
	c.Helper()
	head, messages, err := c.log.Load(c.Context(), c.key, from)
	if err != nil {
		c.Fatalf("Load from %d: %v", from, err)
	}
	if d := diffHeads(head, c.head); d != "" {
		c.Errorf("Load from %d: %s", from, d)
	}
	var want []store.Message
	for _, o := range slices.Sorted(maps.Keys(c.messages)) {
		if c.head != nil && o >= max(from, c.head.Start) && o < c.head.Next {
			want = append(want, c.messages[o])
		}
	}
	if d := diffMessages(messages, want); d != "" {
		c.Errorf("Load from %d: %s", from, d)
	}
}

// checkMessages compares what Messages returns with the model.
func (c *channel) checkMessages(offsets []uint64) {
	c.Helper()
	got, err := c.log.Messages(c.Context(), c.key, offsets)
	if err != nil {
		c.Fatalf("Messages: %v", err)
	}
	var want []store.Message
	for _, o := range slices.Compact(slices.Sorted(slices.Values(offsets))) {
		if m, ok := c.messages[o]; ok {
			want = append(want, m)
		}
	}
	slices.SortFunc(got, func(a, b store.Message) int { return cmp.Compare(a.Offset, b.Offset) })
	if d := diffMessages(got, want); d != "" {
		c.Errorf("Messages: %s", d)
	}
}

// diffHeads says how got differs from want, in words, "" when it doesn't.
func diffHeads(got, want *store.Head) string {
	switch {
	case got == nil && want == nil:
		return ""
	case got == nil:
		return "no head, want one"
	case want == nil:
		return "a head, want none"
	}
	g, w := *got, *want
	if !bytes.Equal(g.Body, w.Body) {
		return fmt.Sprintf("body of %d bytes differs from the one of %d bytes", len(g.Body), len(w.Body))
	}
	g.Body, w.Body = nil, nil
	if gs, ws := fmt.Sprintf("%+v", g), fmt.Sprintf("%+v", w); gs != ws {
		return fmt.Sprintf("head\n\t%s, want\n\t%s", gs, ws)
	}
	return ""
}

// diffMessages says where got, a list in order, differs from want.
func diffMessages(got, want []store.Message) string {
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		switch {
		case g.Offset != w.Offset:
			return fmt.Sprintf("message %d of %d has offset %d, want %d (of %d)",
				i, len(got), g.Offset, w.Offset, len(want))
		case g.ID != w.ID:
			return fmt.Sprintf("message at offset %d: id %.40q, want %.40q", g.Offset, g.ID, w.ID)
		case g.Lamport != w.Lamport:
			return fmt.Sprintf("message at offset %d: Lamport %d, want %d", g.Offset, g.Lamport, w.Lamport)
		case g.Staged != w.Staged:
			return fmt.Sprintf("message at offset %d: staged under %v, want %v", g.Offset, g.Staged, w.Staged)
		case !bytes.Equal(g.Body, w.Body):
			return fmt.Sprintf("message at offset %d: body of %d bytes differs from the one of %d bytes",
				g.Offset, len(g.Body), len(w.Body))
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d messages, want %d", len(got), len(want))
	}
	return ""
}

func copyHead(h *store.Head) *store.Head {
	if h == nil {
		return nil
	}
	c := *h
	c.Body = bytes.Clone(h.Body)
	return &c
}
