package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws/store"
)

// Clock is a clock that only a test moves. Its zero value stands at the year 1; use
// [NewClock].
type Clock struct {
	mu  sync.Mutex // protects now
	now time.Time
}

// NewClock returns a clock that stands at the present.
func NewClock() *Clock { return &Clock{now: time.Now()} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// TestHints checks that a store.Hints keeps what its interface promises, as [TestLog] does.
// With a clock, which the Hints from open must go by, it moves that to see hints
// expire; else it waits for one to, some seconds.
func TestHints(t *testing.T, open func(t *testing.T) store.Hints, clock ...*Clock) {
	t.Helper()
	t.Run("Hints", func(t *testing.T) {
		for _, test := range hintTests {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.run(newHints(t, open(t)))
			})
		}
		t.Run("Expiry", func(t *testing.T) {
			t.Parallel()
			h := newHints(t, open(t))
			if len(clock) > 0 {
				h.expireBy(clock[0])
			} else {
				h.expire()
			}
		})
	})
}

type hintTest struct {
	name string
	run  func(*hints)
}

// hints drives one namespace of the hints under test beside a model of what it holds.
type hints struct {
	*testing.T
	store     store.Hints
	namespace string
	values    map[string][]byte
	gone      map[string]bool
}

func newHints(t *testing.T, s store.Hints) *hints {
	return &hints{T: t, store: s, namespace: namespace(),
		values: map[string][]byte{}, gone: map[string]bool{}}
}

// beside returns the hints of another namespace in the same store.
func (h *hints) beside(namespace string) *hints {
	o := newHints(h.T, h.store)
	o.namespace = namespace
	return o
}

func (h *hints) set(ttl time.Duration, all ...store.Hint) {
	h.Helper()
	if err := h.store.SetHints(h.Context(), h.namespace, all, ttl); err != nil {
		h.Fatalf("SetHints: %v", err)
	}
	for _, hint := range all {
		h.values[hint.MessageID] = bytes.Clone(hint.Value)
	}
}

func (h *hints) remove(ids ...string) {
	h.Helper()
	if err := h.store.DeleteHints(h.Context(), h.namespace, ids); err != nil {
		h.Fatalf("DeleteHints: %v", err)
	}
	for _, id := range ids {
		delete(h.values, id)
		h.gone[id] = true
	}
}

// check compares what the store has under every id that was ever used with the model.
func (h *hints) check() {
	h.Helper()
	ids := slices.Collect(maps.Keys(h.values))
	for id := range h.gone {
		ids = append(ids, id)
	}
	h.checkIDs(append(ids, "never set"))
}

func (h *hints) checkIDs(ids []string) {
	h.Helper()
	got := h.get(ids)
	want := 0
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		if _, ok := h.values[id]; ok {
			want++
		}
	}
	for i, hint := range got {
		value, ok := h.values[hint.MessageID]
		switch {
		case !ok:
			h.Errorf("Hints: one for %.40q, want none", hint.MessageID)
		case !bytes.Equal(hint.Value, value):
			h.Errorf("Hints: the one for %.40q has other %d bytes than the %d set",
				hint.MessageID, len(hint.Value), len(value))
		case i > 0 && got[i-1].MessageID == hint.MessageID:
			h.Errorf("Hints: %.40q twice", hint.MessageID)
		}
	}
	if len(got) != want {
		h.Errorf("Hints: %d hints, want %d", len(got), want)
	}
}

// get returns hints by message id.
func (h *hints) get(ids []string) []store.Hint {
	h.Helper()
	got, err := h.store.Hints(h.Context(), h.namespace, ids)
	if err != nil {
		h.Fatalf("Hints: %v", err)
	}
	slices.SortFunc(got, func(a, b store.Hint) int { return cmp.Compare(a.MessageID, b.MessageID) })
	return got
}

func newHint(id string) store.Hint { return store.Hint{MessageID: id, Value: random(40)} }

func manyHints(n int) (all []store.Hint) {
	for i := range n {
		all = append(all, newHint(fmt.Sprintf("id-%d", i)))
	}
	return all
}

var hintTests = []hintTest{
	{"SetGetReplaceDelete", func(h *hints) {
		h.check()
		h.set(0, newHint("a"), newHint("b"))
		h.check()
		h.set(0, newHint("b"), newHint("c"))
		h.set(time.Hour, newHint("a"))
		h.set(0, newHint("a"))
		h.check()
		h.remove("b", "never set")
		h.check()
		h.remove("b")
		h.set(0, newHint("b"))
		h.check()
	}},
	{"NoneAtAll", func(h *hints) {
		h.set(0)
		h.remove()
		h.checkIDs(nil)
	}},
	{"Many", func(h *hints) {
		h.set(0, manyHints(230)...)
		h.check()
		h.set(0, manyHints(120)...)
		h.check()
		var ids []string
		for i := 10; i < 140; i++ {
			ids = append(ids, fmt.Sprintf("id-%d", i))
		}
		h.remove(ids...)
		h.check()
		h.checkIDs(ids)
	}},
	{"Large", func(h *hints) {
		size := min(h.store.HintLimit(h.namespace)-10, 300_000)
		for _, id := range []string{"a", "b"} {
			var all []store.Hint
			for i := range 30 { // 9 MB
				all = append(all, store.Hint{MessageID: fmt.Sprint(id, i), Value: random(size)})
			}
			h.set(0, all...)
		}
		h.check()
	}},
	{"SameIDTwice", func(h *hints) {
		h.set(0, newHint("a"), newHint("b"))
		h.checkIDs([]string{"a", "b", "a", "none", "none", "a"})
		h.remove("a", "a")
		h.check()
	}},
	{"Values", func(h *hints) {
		h.set(0, store.Hint{MessageID: "empty", Value: []byte{}}, store.Hint{MessageID: "nil"},
			store.Hint{MessageID: "zero", Value: []byte{0}}, store.Hint{MessageID: "every", Value: everyByte()})
		h.check()
		h.set(0, newHint("empty"), store.Hint{MessageID: "every"})
		h.check()
	}},
	{"HostileIDs", func(h *hints) {
		var all []store.Hint
		for _, id := range slices.Compact(slices.Sorted(slices.Values(hostile()))) {
			all = append(all, newHint(id))
		}
		h.set(0, all...)
		h.check()
		for i, hint := range all {
			if i%3 == 0 {
				h.remove(hint.MessageID)
			}
		}
		h.check()
	}},
	{"Namespaces", func(h *hints) {
		spaces := map[string]*hints{}
		for k := range colliding(h.namespace) {
			if spaces[k.Namespace] == nil {
				spaces[k.Namespace] = h.beside(k.Namespace)
			}
			spaces[k.Namespace].set(0, newHint(k.Channel))
		}
		for _, o := range spaces {
			o.check()
		}
		for k := range colliding(h.namespace) {
			for _, o := range spaces {
				o.gone[k.Channel] = true // asked for everywhere
			}
		}
		spaces[h.namespace].remove(slices.Collect(maps.Keys(spaces[h.namespace].values))...)
		for _, o := range spaces {
			for id := range o.values {
				delete(o.gone, id)
			}
			o.check()
		}
	}},
	{"Limit", func(h *hints) {
		limit := h.store.HintLimit(h.namespace)
		if limit > testable {
			h.Logf("not tried: a hint can have up to %d bytes", limit)
			return
		}
		for _, id := range []string{"", "a", string(random(min(limit, 2048))), string(random(min(limit, 100<<10)))} {
			h.set(0, store.Hint{MessageID: id, Value: random(limit - len(id))})
			h.check()
			above := []store.Hint{newHint("b"), {MessageID: id, Value: random(limit - len(id) + 1)}}
			h.gone["b"] = true
			if err := h.store.SetHints(h.Context(), h.namespace, above, 0); !errors.Is(err, store.ErrTooLarge) {
				h.Errorf("hint one above the limit of %d: %v, want ErrTooLarge", limit, err)
			}
			h.check()
		}
	}},
	{"Ownership", func(h *hints) {
		all := []store.Hint{newHint("a"), newHint("b")}
		h.set(0, all...)
		for i := range all {
			scribble(all[i].Value)
			all[i].MessageID = "changed"
		}
		h.check()
		for _, hint := range h.get([]string{"a", "b"}) {
			scribble(hint.Value)
		}
		h.check()
		ids := []string{"b", "a", "b"}
		h.checkIDs(ids)
		if !slices.Equal(ids, []string{"b", "a", "b"}) {
			h.Errorf("Hints changed its argument to %q", ids)
		}
	}},
	{"Concurrent", func(h *hints) {
		all := manyHints(40)
		each(all, func(hint store.Hint) {
			for range 3 {
				if err := h.store.SetHints(h.Context(), h.namespace, []store.Hint{hint}, 0); err != nil {
					h.Errorf("SetHints beside others: %v", err)
				}
				got, err := h.store.Hints(h.Context(), h.namespace, []string{hint.MessageID})
				if err != nil || len(got) != 1 || !bytes.Equal(got[0].Value, hint.Value) {
					h.Errorf("Hints beside others: %d hints, %v", len(got), err)
				}
			}
		})
		for _, hint := range all {
			h.values[hint.MessageID] = hint.Value
		}
		h.check()
	}},
	{"Cancelled", func(h *hints) {
		h.set(0, newHint("a"))
		h.gone["b"] = true
		ctx, cancel := context.WithCancel(h.Context())
		cancel()
		cancelled(h.T, "SetHints", func() error {
			return h.store.SetHints(ctx, h.namespace, []store.Hint{newHint("a"), newHint("b")}, 0)
		})
		cancelled(h.T, "DeleteHints", func() error {
			return h.store.DeleteHints(ctx, h.namespace, []string{"a"})
		})
		cancelled(h.T, "Hints", func() error {
			_, err := h.store.Hints(ctx, h.namespace, []string{"a"})
			return err
		})
		h.check()
	}},
}

// expireBy sees hints expire by a clock. A backend may round their time up to a second.
func (h *hints) expireBy(clock *Clock) {
	h.set(0, newHint("stays"), newHint("overwritten"))
	h.set(time.Minute, newHint("minute"), newHint("overwritten"), newHint("renewed"), newHint("kept"))
	h.set(time.Hour, newHint("hour"))
	clock.Advance(58 * time.Second)
	h.check()
	h.set(time.Hour, newHint("renewed"))
	h.set(0, newHint("kept"))
	clock.Advance(3 * time.Second)
	h.expired("minute", "overwritten")
	h.check()
	h.set(time.Minute, newHint("minute")) // in the place of an expired one
	h.check()
	clock.Advance(2 * time.Hour)
	h.expired("minute", "renewed", "hour")
	h.check()
	h.remove("hour")
	clock.Advance(100 * 365 * 24 * time.Hour)
	h.check()
}

func (h *hints) expired(ids ...string) {
	for _, id := range ids {
		delete(h.values, id)
		h.gone[id] = true
	}
}

// expire sees a hint expire by the machine's clock.
func (h *hints) expire() {
	h.set(time.Hour, newHint("hour"))
	h.set(0, newHint("stays"))
	h.set(time.Millisecond, newHint("soon"))
	ctx, cancel := context.WithTimeout(h.Context(), 10*time.Second)
	defer cancel()
	for len(h.get([]string{"soon"})) > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	h.expired("soon")
	h.check()
}
