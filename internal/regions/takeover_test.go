package regions_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/sdsaws/sdsaws/internal/regions"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// arrived returns the newest head that has arrived in a region where nobody has written yet, and how
// many heads that were written after it have not.
func (p *play) arrived(r *regions.Region) (newest store.CommitID, lost int) {
	missing := map[store.CommitID]bool{}
	for _, c := range r.Coming() {
		if h := c.Head(); h != nil {
			missing[h.CommitID] = true
		}
	}
	for _, id := range slices.Backward(p.order) {
		if !missing[id] {
			return id, lost
		}
		lost++
	}
	return store.CommitID{}, lost
}

// TestATakeoverLosesWhatWasNotReplicated: the old region stops, at any moment, and the new one
// takes the channel over. It goes on from the newest head that has arrived, whole, or
// must wait for the rest of that; the commits after it are lost, and no others, whatever arrives
// later. When all has, and the old region's bucket has again what the lost commits have deleted
// there, both regions load the same.
func TestATakeoverLosesWhatWasNotReplicated(t *testing.T) {
	lost := 0
	rounds(t, func(p *play) {
		east, west := p.world.Region(0), p.world.Region(1)
		group := []int{1, 4, 16}[p.random.IntN(3)]
		a := p.open(east, false, group)
		lag := 1 + p.random.IntN(8)
		for range 5 + p.random.IntN(25) {
			if !p.act(a) {
				p.violation("the only region fails")
			}
			p.arrive(west, p.random.IntN(lag))
		}
		b := p.open(west, true, group)
		lost += p.takeOver(b)
		for range 20 {
			if p.act(b); p.random.IntN(3) == 0 {
				p.takenOver(b)
			}
			p.arrive(p.world.Region(p.random.IntN(2)), p.random.IntN(8))
		}
		p.world.Settle()
		want := p.takenOver(b)
		p.world.Settle()
		// Commits that are lost may have deleted values there that are needed again.
		east.Archive().CopyFrom(west.Archive())
		for _, h := range []*holder{p.open(east, true, group), p.open(west, true, group)} {
			if got := p.takenOver(h); !got.equal(want) {
				p.violation("%s loads %v, west had %v", h.region.Name, got, want)
			}
			p.world.Settle()
		}
	})
	t.Logf("%d commits and claims of the old region were lost", lost)
}

// takeOver loads in a region that takes over until what it needs has arrived, and returns how
// many heads are lost.
func (p *play) takeOver(b *holder) int {
	p.t.Helper()
	p.world.Random = nil // so that nothing arrives during a load
	defer func() { p.world.Random = p.random }()
	for {
		newest, lost := p.arrived(b.region)
		got, err := p.load(b)
		if err == nil {
			p.counts.takeovers++
			if want := p.heads[newest].state; !got.equal(want) {
				p.violation("the takeover gives %v, the newest head here has %v", got, want)
			}
			for i, id := range p.order[:len(p.order)-1] { // the last is the claim
				if kept := i < len(p.order)-1-lost; p.leads(id, b.last) != kept {
					p.violation("head %d of %d, of which %d had not arrived: kept is %v", i, len(p.order)-1, lost, !kept)
				}
			}
			return lost
		}
		if !errors.Is(err, sds.ErrIncomplete) || b.region.Pending() == 0 {
			p.violation("a takeover with %d changes on their way: %v", b.region.Pending(), err)
		}
		p.arrive(b.region, 1)
	}
}

// takenOver loads where that must succeed.
func (p *play) takenOver(h *holder) state {
	p.t.Helper()
	got, err := p.load(h)
	if err != nil {
		p.violation("after the takeover: %v", err)
	}
	return got
}

// TestEveryPartOfWhatIsOnItsWay takes over when each part of the items of three commits has
// arrived, and lets the rest arrive later.
func TestEveryPartOfWhatIsOnItsWay(t *testing.T) {
	for parts, all := 0, 1; parts < all; parts++ {
		p := newPlay(t, nil, &counts{})
		p.threeCommits()
		west := p.world.Region(1)
		coming := west.Coming()
		all = 1 << len(coming)
		here := map[uint64]bool{} // offsets of messages
		for i, c := range slices.Backward(coming) {
			if parts&(1<<i) == 0 {
				continue
			}
			if o, ok := c.Message(); ok {
				here[o] = true
			}
			west.Arrive(i)
		}
		newest, lost := p.arrived(west)
		whole := true
		for _, o := range needed[len(needed)-1-min(lost, 3)] {
			whole = whole && here[o]
		}
		b := p.open(west, true, 1)
		got, err := p.load(b)
		switch {
		case whole != (err == nil) || err != nil && !errors.Is(err, sds.ErrIncomplete):
			t.Fatalf("%b of %v have arrived: %v", parts, coming, err)
		case whole && !got.equal(p.heads[newest].state):
			t.Fatalf("%b of %v have arrived: %v", parts, coming, got)
		}
		p.world.Settle()
		after := p.takenOver(b)
		if want := p.heads[b.last].state; whole && !after.equal(got) || !after.equal(want) {
			t.Fatalf("%b of %v had arrived: %v, when all has, %v", parts, coming, got, after)
		}
		p.world.Settle()
		if other := p.takenOver(p.open(p.world.Region(0), true, 1)); !other.equal(after) {
			t.Fatalf("%b of %v had arrived: west loads %v, east %v", parts, coming, after, other)
		}
	}
}

// TestDeletesOfTheOldRegionComeLate: it has archived by a head that did not arrive, and its
// deletes come after the takeover.
func TestDeletesOfTheOldRegionComeLate(t *testing.T) {
	p := newPlay(t, nil, &counts{})
	p.threeCommits()
	p.world.Settle()
	east := p.open(p.world.Region(0), false, 1)
	if err := p.do(east, same, func() error { _, err := east.Archive(t.Context(), channel); return err }); err != nil {
		t.Fatal(err)
	}
	meta := &sds.ChannelMeta{SchemaVersion: 1, LamportTimestamp: 4}
	u := &sds.HistoryUpdate{Evict: []string{"m1", "m2"}}
	next := func(s state) state { return s.apply(t, meta, u) }
	if err := p.do(east, next, func() error { return east.Commit(t.Context(), channel, meta, u) }); err != nil {
		t.Fatal(err)
	}
	if err := p.do(east, same, func() error { _, err := east.Archive(t.Context(), channel); return err }); err != nil {
		t.Fatal(err)
	}
	west := p.open(p.world.Region(1), true, 1)
	got := p.takenOver(west)
	if len(got.live) != 3 {
		t.Fatalf("%v", got)
	}
	p.world.Settle()
	if after := p.takenOver(west); !after.equal(got) {
		t.Errorf("%v, before the deletes came %v", after, got)
	}
}

// needed are the offsets that an empty head and the three commits need.
var needed = [][]uint64{{}, {0, 1}, {1, 2}, {1, 2, 3}}

// threeCommits commits, in the first region, what needed says.
func (p *play) threeCommits() {
	a := p.open(p.world.Region(0), false, 1)
	for i, u := range []sds.HistoryUpdate{
		{Append: []sds.Message{{MessageID: "m0"}, {MessageID: "m1"}}},
		{Append: []sds.Message{{MessageID: "m2"}}, Evict: []string{"m0"}},
		{Append: []sds.Message{{MessageID: "m3"}}},
	} {
		meta := &sds.ChannelMeta{SchemaVersion: 1, LamportTimestamp: int64(i + 1)}
		next := func(s state) state { return s.apply(p.t, meta, &u) }
		if err := p.do(a, next, func() error { return a.Commit(p.t.Context(), channel, meta, &u) }); err != nil {
			p.t.Fatal(fmt.Errorf("commit %d: %w", i, err))
		}
	}
}
