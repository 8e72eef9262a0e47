// Package regions simulates a global table of eventual consistency, and a bucket with
// replication, in several regions: each has a replica of its own, on which alone conditions
// look; what is written in one arrives in the others item by item, late and in any order; and of
// two writes to one item the later one stays. Nothing moves by itself: a test says what
// arrives when.
package regions

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"

	"github.com/sdsaws/sdsaws/store"
	"github.com/sdsaws/sdsaws/store/storetest"
)

// World is a table and a bucket in several regions.
type World struct {
	// Random, when it is set, lets some of what is under way arrive before requests: one change
	// before one request of four.
	Random *rand.Rand

	mu      sync.Mutex // protects what follows, and holds whenever a replica changes
	now     uint64     // of the latest write
	regions []*Region
	writes  int
	noted   func(key store.Key, prev store.CommitID, head store.Head)
}

// New returns a world of regions of these names, all empty.
func New(names ...string) *World {
	w := &World{}
	for _, name := range names {
		w.regions = append(w.regions, &Region{Name: name, world: w, written: map[place]uint64{}})
	}
	return w
}

// Region returns the i-th region.
func (w *World) Region(i int) *Region { return w.regions[i] }

// OnHead makes the world call f with each head that is written by a commit or a claim, and the
// commit id of the one that it replaced. f must make no requests.
func (w *World) OnHead(f func(key store.Key, prev store.CommitID, head store.Head)) { w.noted = f }

// Writes returns how many requests have changed something, so that a test can see that
// none has.
func (w *World) Writes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes
}

// Settle lets everything arrive everywhere, each region's changes in random order when the
// world has a Random.
func (w *World) Settle() {
	for _, r := range w.regions {
		for r.Pending() > 0 {
			i := 0
			if w.Random != nil {
				i = w.Random.IntN(r.Pending())
			}
			r.Arrive(i)
		}
	}
}

// Region is a region's replicas of the table and the bucket. It is a store.Log and a
// store.Hints; Archive returns the bucket.
type Region struct {
	Name string

	world   *World
	table   storetest.Memory
	bucket  storetest.MemoryArchive
	written map[place]uint64 // when each item was last written, deleted ones too
	coming  []Change         // written elsewhere, not here yet
}

// place is where an item is: in a table, or an object in a bucket.
type place struct {
	kind   kind
	key    store.Key
	offset uint64 // of a message or manifest
	name   string // of an object
}

type kind string

const (
	headItem    kind = "head"
	messageItem kind = "message"
	segmentItem kind = "manifest"
	object      kind = "object"
)

// Change is an item as a write left it, on its way to a region.
type Change struct {
	place
	at    uint64 // when it was written
	value any    // store.Head, store.Message, store.Segment or the bytes of an object; nil: it was deleted
}

// String says which item it is, and when it was written.
func (c Change) String() string {
	what := "put"
	if c.value == nil {
		what = "delete"
	}
	return fmt.Sprintf("%s %s %d%s of write %d", what, c.kind, c.offset, c.name, c.at)
}

// Head returns the head that arrives, or nil.
func (c Change) Head() *store.Head {
	if h, ok := c.value.(store.Head); ok {
		return &h
	}
	return nil
}

// Message returns the offset of the message that arrives; false: it is something else.
func (c Change) Message() (offset uint64, ok bool) {
	m, ok := c.value.(store.Message)
	return m.Offset, ok
}

// Coming returns what was written elsewhere and has not arrived here.
func (r *Region) Coming() []Change {
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	return append([]Change(nil), r.coming...)
}

// Pending returns how much Coming would return.
func (r *Region) Pending() int {
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	return len(r.coming)
}

// Arrive lets the i-th of what is coming arrive: it stays unless the item was written later
// here or elsewhere.
func (r *Region) Arrive(i int) {
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	r.arrive(i)
}

func (r *Region) arrive(i int) {
	c := r.coming[i]
	r.coming = append(r.coming[:i:i], r.coming[i+1:]...)
	if c.at <= r.written[c.place] {
		return
	}
	r.written[c.place] = c.at
	if c.kind == object {
		_ = r.bucket.Delete(background, store.Object{Name: c.name}) // a replica becomes the current version
		_, _ = r.bucket.Put(background, c.name, c.value.([]byte))   //nolint:forcetypeassert // see Change
		return
	}
	r.table.Rewrite(c.key, func(all *storetest.Channel) { c.apply(all) })
}

// apply makes the change. Values are never changed in place, so replicas share them.
func (c Change) apply(all *storetest.Channel) {
	switch v := c.value.(type) {
	case store.Head:
		all.Head = &v
	case store.Message:
		all.Messages[c.offset] = v
	case store.Segment:
		all.Segments[c.offset] = v
	case nil:
		switch c.kind {
		case messageItem:
			delete(all.Messages, c.offset)
		case segmentItem:
			delete(all.Segments, c.offset)
		default:
			panic("a head is never deleted")
		}
	}
}

// step lets something arrive before a request, perhaps. The world is locked.
func (r *Region) step() {
	x := r.world.Random
	if x != nil && len(r.coming) > 0 && x.IntN(4) == 0 {
		r.arrive(x.IntN(len(r.coming)))
	}
}

// write does a request that may change items of a channel and sends what it has changed, or
// put, to the other regions. The world is locked.
func (r *Region) write(key store.Key, request func() error, put ...place) error {
	before := r.items(key)
	if err := request(); err != nil {
		return err
	}
	after := r.items(key)
	changed := map[place]bool{}
	for _, p := range put {
		changed[p] = true
	}
	for p, v := range after {
		if old, ok := before[p]; !ok || !equal(old, v) {
			changed[p] = true
		}
	}
	for p := range before {
		if _, ok := after[p]; !ok {
			changed[p] = true
		}
	}
	if len(changed) == 0 {
		return nil
	}
	r.world.writes++
	r.world.now++
	for _, p := range sorted(maps.Keys(changed)) {
		r.send(Change{p, r.world.now, after[p]})
	}
	return nil
}

// send notes a change that was made here, and that it is on its way to the other regions. The world is locked.
func (r *Region) send(c Change) {
	r.written[c.place] = c.at
	for _, other := range r.world.regions {
		if other != r {
			other.coming = append(other.coming, c)
		}
	}
}

// items returns what is stored of a channel.
func (r *Region) items(key store.Key) map[place]any {
	all := map[place]any{}
	r.table.Rewrite(key, func(c *storetest.Channel) {
		if c.Head != nil {
			all[place{kind: headItem, key: key}] = *c.Head
		}
		for o, m := range c.Messages {
			all[place{kind: messageItem, key: key, offset: o}] = m
		}
		for o, s := range c.Segments {
			all[place{kind: segmentItem, key: key, offset: o}] = s
		}
	})
	return all
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case store.Head:
		b, ok := b.(store.Head)
		return ok && a.CommitID == b.CommitID
	case store.Message:
		b, ok := b.(store.Message)
		return ok && a.ID == b.ID && a.Staged == b.Staged && bytes.Equal(a.Body, b.Body)
	case store.Segment:
		b, ok := b.(store.Segment)
		return ok && a.To == b.To && bytes.Equal(a.Body, b.Body)
	}
	return false
}
