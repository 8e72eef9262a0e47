package sdsaws_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

// stamped is an accepted save, with when it was begun and ended by a common count.
type stamped struct {
	meta       string
	begun, end int64
}

// shared is what must be stored of a channel that many work on.
type shared struct {
	mu      sync.Mutex
	saves   []stamped
	live    map[string]string
	evicted []string
	hints   map[string]string
}

// saveWins expects that the snapshot is one that no other came after.
func (s *shared) saveWins(t *testing.T, id, loaded string) {
	t.Helper()
	if len(s.saves) == 0 {
		return
	}
	i := slices.IndexFunc(s.saves, func(x stamped) bool { return x.meta == loaded })
	if i < 0 {
		t.Fatalf("%s: a snapshot that nobody saved", id)
	}
	for _, x := range s.saves {
		if x.begun > s.saves[i].end {
			t.Fatalf("%s: a later snapshot was accepted than the one that is stored", id)
		}
	}
}

// TestOverloadAtRandom has 16 goroutines call whatever they like on 1,000 channels, while
// requests are refused and replies are lost, and then holds each channel against what was
// accepted. Ids are their callers' own, so that the order of calls at the same time
// doesn't matter.
func TestOverloadAtRandom(t *testing.T) {
	const channels, callers, calls = 1000, 16, 250
	seed := overloadSeed(t)
	m := newMemory()
	faults := rand.New(rand.NewPCG(seed, 0)) // under m.mu
	m.setFault(func(op string) fault {
		// A load whose claim has failed may give up what others have accepted meanwhile.
		if op != "claim" && faults.IntN(50) == 0 {
			return []fault{refuse, lose}[faults.IntN(2)]
		}
		return none
	})
	a := open(t, m, sdsaws.Options{Durability: sdsaws.Accepted, Lag: 20 * time.Millisecond,
		MaxPending: 64 << 10, MaxInFlight: 8, ArchiveMessages: 5, InlineBytes: 400, GroupSize: 16})
	all := make([]*shared, channels)
	for i := range all {
		all[i] = &shared{live: map[string]string{}, hints: map[string]string{}}
	}
	var count, refused, failed atomic.Int64
	var callersDone sync.WaitGroup
	for g := range callers {
		c := &caller{a: a, name: fmt.Sprint("g", g), random: rand.New(rand.NewPCG(seed, uint64(g+1))),
			all: all, count: &count, refused: &refused, failed: &failed, own: map[int][]string{}}
		callersDone.Go(func() {
			for range calls {
				c.call(t)
			}
		})
	}
	callersDone.Wait()
	m.setFault(func(string) fault { return none })
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := a.Pending()
	t.Logf("%d calls were refused, %d failed", refused.Load(), failed.Load())
	if p != (sdsaws.Pending{}) || failed.Load() == 0 {
		t.Errorf("after a flush %+v", p)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	reader := open(t, m, sdsaws.Options{Clock: stopped{}})
	for i, s := range all {
		s.verify(t, reader, fmt.Sprint("c", i))
	}
}

// caller is one goroutine of TestOverloadAtRandom.
type caller struct {
	a                      *sdsaws.Adapter
	name                   string
	random                 *rand.Rand
	all                    []*shared
	count, refused, failed *atomic.Int64
	n                      int
	own                    map[int][]string // by channel: ids that it has appended and not evicted
}

// call makes one call on one channel.
func (c *caller) call(t *testing.T) {
	c.n++
	i := c.random.IntN(len(c.all))
	if c.random.IntN(2) == 0 { // some channels are busier, so that calls meet
		i %= 20
	}
	s, id := c.all[i], fmt.Sprint("c", i)
	ctx := t.Context()
	switch op := c.random.IntN(100); {
	case op < 25:
		c.save(t, s, id)
	case op < 55:
		c.update(t, s, i, func(u *sds.HistoryUpdate) error { return c.a.UpdateHistory(ctx, id, u) })
	case op < 75:
		meta, begun := c.meta(), c.count.Add(1)
		c.update(t, s, i, func(u *sds.HistoryUpdate) error {
			err := c.a.Commit(ctx, id, meta, u)
			c.saved(t, s, meta, begun, err)
			return err
		})
	case op < 80:
		c.load(t, i)
	case op < 88:
		c.hint(t, s, id)
	case op < 92:
		if ids := c.own[i]; len(ids) > 0 {
			id := ids[c.random.IntN(len(ids))]
			_, err := c.a.Message(ctx, fmt.Sprint("c", i), id)
			if !errors.Is(err, sds.ErrNotFound) { // it may not be stored yet
				c.outcome(t, err)
			}
		}
	case op < 95:
		for _, err := range c.a.History(ctx, id, sdsaws.HistoryRange{}) {
			c.outcome(t, err)
		}
	case op < 96:
		c.outcome(t, c.a.Flush(ctx))
	case op < 98:
		c.outcome(t, c.a.Release(ctx, id))
	default:
		if p := c.a.Pending(); p.Bytes < 0 || p.Channels > len(c.all) || p.Oldest < 0 {
			t.Errorf("%+v", p)
		}
	}
}

// outcome reports whether an operation was accepted.
func (c *caller) outcome(t *testing.T, err error) bool {
	switch {
	case err == nil:
		return true
	case errors.Is(err, sds.ErrOverloaded):
		c.refused.Add(1)
		return false
	case errors.Is(err, errInjected), errors.Is(err, sds.ErrUnknownOutcome):
		c.failed.Add(1)
		return true
	default:
		t.Error(err)
		return false
	}
}

func (c *caller) meta() *sds.ChannelMeta {
	m := meta(int64(c.n))
	m.IncomingBuffer = []sds.IncomingMessage{{Message: sds.Message{MessageID: fmt.Sprint(c.name, " buffers ", c.n)}}}
	return m
}

func (c *caller) save(t *testing.T, s *shared, id string) {
	meta, begun := c.meta(), c.count.Add(1)
	c.saved(t, s, meta, begun, c.a.SaveChannelMeta(t.Context(), id, meta))
}

func (c *caller) saved(t *testing.T, s *shared, meta *sds.ChannelMeta, begun int64, err error) {
	end := c.count.Add(1)
	if !c.outcome(t, err) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves = append(s.saves, stamped{encoded(t, meta), begun, end})
}

// update appends one or more messages, and evicts one of its own.
func (c *caller) update(t *testing.T, s *shared, i int, call func(*sds.HistoryUpdate) error) {
	u := &sds.HistoryUpdate{}
	for j := range 1 + c.random.IntN(3) {
		content := noiseOf(c.random, c.random.IntN(600)) // some go to the archive
		u.Append = append(u.Append, sds.Message{MessageID: fmt.Sprint(c.name, "/", c.n, "/", j),
			LamportTimestamp: int64(c.n), Content: content})
	}
	if own := c.own[i]; len(own) > 0 && c.random.IntN(2) == 0 {
		u.Evict = []string{own[0]}
	}
	if !c.outcome(t, call(u)) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for j := range u.Append {
		id := u.Append[j].MessageID
		s.live[id] = encoded(t, &u.Append[j])
		c.own[i] = append(c.own[i], id)
	}
	for _, id := range u.Evict {
		s.evicted = append(s.evicted, s.live[id])
		delete(s.live, id)
		c.own[i] = c.own[i][1:]
	}
}

// load expects what this caller has, whoever else writes meanwhile.
func (c *caller) load(t *testing.T, i int) {
	d, err := c.a.LoadChannel(t.Context(), fmt.Sprint("c", i))
	if !c.outcome(t, err) || err != nil {
		return
	}
	there := map[string]bool{}
	for _, m := range d.MessageHistory {
		there[m.MessageID] = true
	}
	for _, id := range c.own[i] {
		if !there[id] {
			t.Errorf("a load of c%d has no %s", i, id)
		}
	}
}

func (c *caller) hint(t *testing.T, s *shared, channel string) {
	id, value := fmt.Sprint(channel, " ", c.name, " ", c.n), fmt.Sprint(c.n)
	if !c.outcome(t, c.a.SetRetrievalHint(t.Context(), id, []byte(value))) {
		return
	}
	s.mu.Lock()
	s.hints[id] = value
	s.mu.Unlock()
	found, err := c.a.Hints(t.Context(), id)
	if c.outcome(t, err) && err == nil && string(found[id]) != value {
		t.Errorf("the hint of %s is %q", id, found[id])
	}
}

// verify expects that a channel has all that was accepted, and nothing else.
func (s *shared) verify(t *testing.T, a *sdsaws.Adapter, id string) {
	t.Helper()
	d, err := a.LoadEncodedChannel(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	s.saveWins(t, id, string(d.Meta))
	var live, all []string
	for _, b := range d.Messages {
		live = append(live, string(b))
	}
	same(t, id+": load", live, slices.Collect(maps.Values(s.live)))
	for h, err := range a.History(t.Context(), id, sdsaws.HistoryRange{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(h.Encoded))
	}
	same(t, id+": History", all, append(slices.Collect(maps.Values(s.live)), s.evicted...))
	found, err := a.Hints(t.Context(), slices.Collect(maps.Keys(s.hints))...)
	if err != nil {
		t.Fatal(err)
	}
	for m, value := range s.hints {
		if string(found[m]) != value {
			t.Fatalf("%s: the hint of %s is %q, want %q", id, m, found[m], value)
		}
	}
}
