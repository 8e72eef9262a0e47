package regions_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/regions"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

const channel = "chat"

var key = store.Key{Namespace: "alice", Channel: channel}

// state is what a channel holds after a commit. It is never changed.
type state struct {
	meta string            // encoded
	live map[string]string // encoded messages by id
}

var empty = state{meta: "\x08\x01\x10\x00"}

func (s state) equal(o state) bool { return s.meta == o.meta && maps.Equal(s.live, o.live) }

func (s state) String() string { return fmt.Sprintf("meta %x, messages %v", s.meta[:4], len(s.live)) }

// apply returns s with a pair on top.
func (s state) apply(t *testing.T, meta *sds.ChannelMeta, u *sds.HistoryUpdate) state {
	next := state{encoded(t, meta), maps.Clone(s.live)}
	if next.live == nil {
		next.live = map[string]string{}
	}
	for i := range u.Append {
		next.live[u.Append[i].MessageID] = encoded(t, &u.Append[i])
	}
	for _, id := range u.Evict {
		delete(next.live, id)
	}
	return next
}

func encoded(t *testing.T, v interface{ MarshalBinary() ([]byte, error) }) string {
	t.Helper()
	b, err := v.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// written is a head that was stored somewhere.
type written struct {
	state
	prev  store.CommitID
	epoch uint64
}

// play is a world, who works in it, and what it must hold.
type play struct {
	t       *testing.T
	random  *rand.Rand
	world   *regions.World
	heads   map[store.CommitID]written
	follows map[store.CommitID]int // how many heads have followed one directly
	order   []store.CommitID       // of heads, as they were written
	stale   bool                   // somebody wrote by a head that was not the newest
	next    func(state) state      // what a commit under way makes of the state before
	by      *holder                // who is at work
	clock   int64
	trail   []string
	counts  *counts
}

// holder is a participant's process in a region.
type holder struct {
	*sdsaws.Adapter
	region   *regions.Region
	takeover bool
	last     store.CommitID // the head that it wrote last
}

// counts are how often things have happened.
type counts struct {
	runs, commits, loads, takeovers, drops, sweeps    int
	incomplete, forked, elsewhere, fenced, violations int
}

func (c *counts) note(err error) {
	for _, e := range []struct {
		is error
		n  *int
	}{{sds.ErrIncomplete, &c.incomplete}, {sds.ErrForked, &c.forked}, {sds.ErrElsewhere, &c.elsewhere}, {sds.ErrFenced, &c.fenced}} {
		if errors.Is(err, e.is) {
			*e.n++
			return
		}
	}
}

func newPlay(t *testing.T, random *rand.Rand, c *counts) *play {
	p := &play{t: t, random: random, world: regions.New("east", "west"), counts: c,
		heads: map[store.CommitID]written{{}: {state: empty}}, follows: map[store.CommitID]int{}}
	p.world.Random = random
	p.world.OnHead(p.noted)
	return p
}

// noted keeps what a head that is being written stands for.
func (p *play) noted(_ store.Key, prev store.CommitID, head store.Head) {
	before := p.heads[prev]
	w := written{before.state, prev, head.Epoch}
	if prev != (store.CommitID{}) && head.Epoch == before.epoch { // a claim adds one
		w.state = p.next(before.state)
	}
	p.heads[head.CommitID] = w
	p.follows[prev]++
	p.order = append(p.order, head.CommitID)
	if p.by != nil {
		p.by.last = head.CommitID
	}
}

// branches reports whether two heads have followed the same one.
func (p *play) branches() bool {
	for _, n := range p.follows {
		if n > 1 {
			return true
		}
	}
	return false
}

// leads reports whether from is id, or one that id came from.
func (p *play) leads(from, id store.CommitID) bool {
	for id != from {
		if id == (store.CommitID{}) {
			return false
		}
		id = p.heads[id].prev
	}
	return true
}

// head returns the commit id of the head in a region.
func (p *play) head(r *regions.Region) (id store.CommitID, h *store.Head) {
	h, err := r.Peek(key)
	if err != nil {
		p.t.Fatal(err)
	}
	if h != nil {
		id = h.CommitID
	}
	return id, h
}

// violation fails the test with all that led to it.
func (p *play) violation(format string, args ...any) {
	p.t.Helper()
	p.counts.violations++
	for _, s := range p.trail {
		p.t.Log(s)
	}
	p.t.Fatalf(format, args...)
}

func (p *play) say(h *holder, what string, err error) {
	s := fmt.Sprintf("%s (takeover %v): %s: %v", h.region.Name, h.takeover, what, err)
	p.trail = append(p.trail, s)
}

// stopped is a clock whose timers never fire.
type stopped struct{}

func (stopped) Now() time.Time { return time.Unix(1_800_000_000, 0) }

func (stopped) AfterFunc(time.Duration, func()) sdsaws.Timer { return stopped{} }

func (stopped) Stop() bool { return true }

func (p *play) open(r *regions.Region, takeover bool, group int) *holder {
	a, err := sdsaws.New(sdsaws.Backend{Log: r, Hints: r, Archive: r.Archive()}, &sdsaws.Options{
		Namespace: key.Namespace, Writer: r.Name, Region: r.Name, Takeover: takeover,
		InlineBytes: 300, GroupSize: group, ArchiveMessages: 1 << 30, Clock: stopped{}})
	if err != nil {
		p.t.Fatal(err)
	}
	return &holder{Adapter: a, region: r, takeover: takeover}
}

// do makes a holder do something, and waits for what goes on in the background.
func (p *play) do(h *holder, next func(state) state, f func() error) error {
	p.by, p.next = h, next
	writes := p.world.Writes()
	behind := false
	if n := len(p.order); n > 0 {
		id, _ := p.head(h.region)
		behind = id != p.order[n-1]
	}
	err := f()
	_ = h.Flush(p.t.Context())
	p.by = nil
	p.stale = p.stale || behind && p.world.Writes() > writes
	return err
}

func same(s state) state { return s }

func nothing(state) state { return empty }

// load loads, and holds what comes against what the head was committed with.
func (p *play) load(h *holder) (state, error) {
	p.t.Helper()
	writes, coming, home := p.world.Writes(), h.region.Pending(), ""
	before, _ := p.head(h.region)
	held := h.last
	var d sds.EncodedChannelData
	err := p.do(h, same, func() (err error) {
		d, err = h.LoadEncodedChannel(p.t.Context(), channel)
		return err
	})
	p.say(h, "load", err)
	p.counts.loads++
	p.counts.note(err)
	_, now := p.head(h.region)
	if now != nil {
		home = now.Region
	}
	switch {
	case err == nil:
		got := state{string(d.Meta), map[string]string{}}
		for _, b := range d.Messages {
			m, err := sds.InspectMessage(b)
			if err != nil {
				p.t.Fatal(err)
			}
			got.live[m.MessageID] = string(b)
		}
		if want := p.heads[h.last].state; !got.equal(want) {
			p.violation("a load gives %v, its head was committed with %v", got, want)
		}
		if h.last == held {
			p.violation("a load claimed nothing")
		}
		return got, nil
	case errors.Is(err, sds.ErrElsewhere):
		if h.takeover || home == h.region.Name {
			p.violation("%v, home is %q, takeover %v", err, home, h.takeover)
		}
		if p.world.Writes() != writes {
			p.violation("%v has written something", err)
		}
	case errors.Is(err, sds.ErrIncomplete):
		if coming == 0 && !p.stale && now.CommitID == before {
			p.violation("all is here, and one lineage alone: %v", err)
		}
	case errors.Is(err, sds.ErrForked):
		if !p.branches() {
			p.violation("there is one lineage: %v", err)
		}
	case !errors.Is(err, sds.ErrFenced):
		p.violation("load: %v", err)
	}
	return state{}, err
}

// judge looks at the error of anything but a load.
func (p *play) judge(h *holder, what string, held store.CommitID, err error) {
	p.t.Helper()
	p.say(h, what, err)
	p.counts.note(err)
	now, _ := p.head(h.region)
	switch {
	case err == nil, errors.Is(err, sds.ErrElsewhere), errors.Is(err, sds.ErrIncomplete):
	case errors.Is(err, sds.ErrForked):
		var e *sds.ChannelError
		replaced := errors.As(err, &e) && e.Op == "commit" && h.last == held // not found while it loaded
		if !p.branches() || replaced && p.leads(held, now) {
			p.violation("%s: there is one lineage: %v", what, err)
		}
	case errors.Is(err, sds.ErrFenced):
		if now == h.last {
			p.violation("%s: %v, but its head stands", what, err)
		}
	case errors.Is(err, sds.ErrCorrupt) && what != "commit" && p.branches():
	default:
		p.violation("%s: %v", what, err)
	}
}

// commit commits messages that no other commit has, and evicts some.
func (p *play) commit(h *holder) error {
	p.t.Helper()
	p.clock++
	meta := &sds.ChannelMeta{SchemaVersion: 1, LamportTimestamp: p.clock}
	u := &sds.HistoryUpdate{}
	for i := range []int{0, 1, 1, 1, 2, 3, 6}[p.random.IntN(7)] {
		m := sds.Message{MessageID: fmt.Sprintf("%d.%d", p.clock, i), LamportTimestamp: p.clock,
			Content: fmt.Appendf(nil, "%s writes %d", h.region.Name, p.clock)}
		if i == 0 && p.random.IntN(5) == 0 { // it goes to the archive
			m.Content = p.noise()
		}
		u.Append = append(u.Append, m)
	}
	if p.random.IntN(3) == 0 {
		meta.IncomingBuffer = []sds.IncomingMessage{{Message: sds.Message{
			MessageID: fmt.Sprint("buffered ", p.clock), Content: []byte("x")}}}
	}
	if len(u.Append) == 0 && p.random.IntN(3) == 0 { // the snapshot goes to the archive
		meta.OutgoingRepairBuffer = []sds.OutgoingRepair{{MessageID: "r",
			HistoryEntry: sds.HistoryEntry{MessageID: "r", RetrievalHint: p.noise()}}}
	}
	live := slices.Sorted(maps.Keys(p.heads[h.last].live))
	for _, id := range live {
		if len(live) > 6 && p.random.IntN(2) == 0 {
			u.Evict = append(u.Evict, id)
		}
	}
	held := h.last
	err := p.do(h, func(s state) state { return s.apply(p.t, meta, u) }, func() error {
		return h.Commit(p.t.Context(), channel, meta, u)
	})
	p.counts.commits++
	p.judge(h, "commit", held, err)
	return err
}

func (p *play) noise() []byte {
	b := make([]byte, 600)
	for i := range b {
		b[i] = byte(p.random.Uint32())
	}
	return b
}

// arrive lets up to n changes arrive somewhere.
func (p *play) arrive(r *regions.Region, n int) {
	for range n {
		if r.Pending() > 0 {
			r.Arrive(p.random.IntN(r.Pending()))
		}
	}
}
