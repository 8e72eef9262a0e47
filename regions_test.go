package sdsaws_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// in returns the options of an adapter in a region.
func in(region string) sdsaws.Options {
	o := quiet
	o.Region = region
	return o
}

// takingOver returns the options of an adapter that takes channels over.
func takingOver(region string) sdsaws.Options {
	o := in(region)
	o.Takeover = true
	return o
}

// TestElsewhere: away from a channel's home nothing that writes does anything, and an accepted
// commit is given up; those without a region, and readers, go on as ever.
func TestElsewhere(t *testing.T) {
	ops := map[string]func(a *sdsaws.Adapter) error{
		"load": func(a *sdsaws.Adapter) error { _, err := a.LoadChannel(t.Context(), channel); return err },
		"commit": func(a *sdsaws.Adapter) error {
			err := a.Commit(t.Context(), channel, meta(2), appends("two"))
			again := a.Commit(t.Context(), channel, meta(3), appends("three"))
			if errors.Is(err, sds.ErrElsewhere) && !errors.Is(again, sds.ErrElsewhere) {
				t.Errorf("another commit: %v", again)
			}
			return err
		},
		"drop":    func(a *sdsaws.Adapter) error { return a.DropChannel(t.Context(), channel) },
		"archive": func(a *sdsaws.Adapter) error { _, err := a.Archive(t.Context(), channel); return err },
		"sweep":   func(a *sdsaws.Adapter) error { _, err := a.Sweep(t.Context(), channel, nil); return err },
		"repair": func(a *sdsaws.Adapter) error {
			_, err := a.Check(t.Context(), channel, &sdsaws.CheckOptions{Repair: true})
			return err
		},
	}
	for name, op := range ops {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			home := open(t, m, in("east"))
			if err := home.Commit(t.Context(), channel, meta(1), appends("one", "two")); err != nil {
				t.Fatal(err)
			}
			if err := home.Commit(t.Context(), channel, meta(1), &sds.HistoryUpdate{Evict: []string{"one"}}); err != nil {
				t.Fatal(err)
			}
			one, err := m.Messages(t.Context(), key, []uint64{0})
			if err == nil {
				_, err = home.Archive(t.Context(), channel)
			}
			if err != nil {
				t.Fatal(err)
			}
			// Garbage, so that a repair has something to do.
			m.Edit(key, func(_ *store.Head, messages map[uint64]store.Message) { messages[0] = one[0] })
			head := m.head(t)
			before := m.inLog()
			if err := op(open(t, m, in("west"))); !errors.Is(err, sds.ErrElsewhere) {
				t.Errorf("%v", err)
			}
			if m.head(t).CommitID != head.CommitID || m.inLog() != before {
				t.Errorf("something was written")
			}
			if err := op(open(t, m, in("east"))); errors.Is(err, sds.ErrElsewhere) {
				t.Errorf("at home: %v", err)
			}
		})
	}
}

// TestATakeoverMovesTheHome, and a sweep waits for it.
func TestATakeoverMovesTheHome(t *testing.T) {
	m := newMemory()
	east := open(t, m, in("east"))
	if err := east.Commit(t.Context(), channel, meta(1), appends("one")); err != nil {
		t.Fatal(err)
	}
	west := open(t, m, takingOver("west"))
	if _, err := west.Sweep(t.Context(), channel, nil); !errors.Is(err, sds.ErrElsewhere) {
		t.Errorf("a sweep before the takeover: %v", err)
	}
	if d, err := west.LoadChannel(t.Context(), channel); err != nil || len(d.MessageHistory) != 1 {
		t.Fatalf("%v, %v", d, err)
	}
	if h := m.head(t); h.Region != "west" {
		t.Errorf("home is %q", h.Region)
	}
	if _, err := west.Sweep(t.Context(), channel, nil); err != nil {
		t.Error(err)
	}
	if err := east.Commit(t.Context(), channel, meta(2), appends("two")); !errors.Is(err, sds.ErrFenced) {
		t.Errorf("the old holder: %v", err)
	}
	if _, err := east.LoadChannel(t.Context(), channel); !errors.Is(err, sds.ErrElsewhere) {
		t.Errorf("the old holder loads: %v", err)
	}
}

func TestATakeoverNeedsARegion(t *testing.T) {
	m := newMemory()
	_, err := sdsaws.New(sdsaws.Backend{Log: m, Hints: m, Archive: &m.archive}, &sdsaws.Options{Namespace: "a", Takeover: true})
	if !errors.Is(err, sds.ErrInvalidArgument) {
		t.Error(err)
	}
}

// TestAReplacedHolderIsForked: the head that stands there can't have followed its own. A later
// epoch has, as far as is known.
func TestAReplacedHolderIsForked(t *testing.T) {
	for _, c := range []struct {
		name, region string
		epoch        uint64
		want         error
	}{
		{"lower epoch", "east", 1, sds.ErrForked},
		{"same epoch", "east", 2, sds.ErrForked},
		{"later epoch", "east", 3, sds.ErrFenced},
		{"no regions", "", 1, sds.ErrFenced},
	} {
		for what, op := range map[string]func(a *sdsaws.Adapter) error{
			"commit": func(a *sdsaws.Adapter) error { return a.Commit(t.Context(), channel, meta(2), appends("two")) },
			"load":   func(a *sdsaws.Adapter) error { _, err := a.LoadChannel(t.Context(), channel); return err },
			"drop":   func(a *sdsaws.Adapter) error { return a.DropChannel(t.Context(), channel) },
		} {
			t.Run(c.name+", "+what, func(t *testing.T) {
				m := newMemory()
				o := in(c.region)
				told := make(chan bool, 1)
				o.OnFenced = func(string) { told <- true }
				if _, err := open(t, m, in(c.region)).LoadChannel(t.Context(), channel); err != nil {
					t.Fatal(err)
				}
				a := open(t, m, o)
				if err := a.Commit(t.Context(), channel, meta(1), appends("one")); err != nil {
					t.Fatal(err)
				}
				m.Edit(key, func(h *store.Head, _ map[uint64]store.Message) {
					h.CommitID, h.Epoch, h.Writer = store.CommitID{9}, c.epoch, "other"
				})
				err := op(a)
				if what == "load" && c.want != sds.ErrForked { //nolint:errorlint // it is the sentinel
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				if !errors.Is(err, c.want) {
					t.Fatal(err)
				}
				<-told
				if err := a.Flush(t.Context()); !errors.Is(err, c.want) {
					t.Errorf("before it has loaded: %v", err)
				}
				if _, err := a.LoadChannel(t.Context(), channel); err != nil {
					t.Errorf("the load that follows: %v", err)
				}
			})
		}
	}
}

// TestMessagesOfAnotherLineage: one offset of the log has a sound message that the head was not
// committed with. With several regions that is a fork, else damage; a damaged message is
// damage always.
func TestMessagesOfAnotherLineage(t *testing.T) {
	for _, group := range []int{1, 16} { // with 16 another message is packed against it
		for region, want := range map[string]error{"east": sds.ErrForked, "": sds.ErrCorrupt} {
			m, other := newMemory(), newMemory()
			o := in(region)
			o.GroupSize = group
			for i, b := range []*memory{m, other} {
				u := appends("one", "two")
				u.Append[0].Content = bytes.Repeat([]byte{byte('a' + i)}, 50)
				if err := open(t, b, o).Commit(t.Context(), channel, meta(1), u); err != nil {
					t.Fatal(err)
				}
			}
			all, err := other.Messages(t.Context(), key, []uint64{0})
			if err != nil {
				t.Fatal(err)
			}
			m.Edit(key, func(_ *store.Head, messages map[uint64]store.Message) { messages[0] = all[0] })
			if _, err := open(t, m, o).LoadChannel(t.Context(), channel); !errors.Is(err, want) {
				t.Errorf("group %d, region %q: %v", group, region, err)
			}
			m.Edit(key, func(_ *store.Head, messages map[uint64]store.Message) {
				one := messages[0]
				one.Body = bytes.Clone(one.Body)
				one.Body[3] ^= 1
				messages[0] = one
			})
			if _, err := open(t, m, o).LoadChannel(t.Context(), channel); !errors.Is(err, sds.ErrCorrupt) {
				t.Errorf("group %d, region %q, damaged: %v", group, region, err)
			}
		}
	}
}

// TestAHolderWhoseMessagesWereReplacedArchives ends, with an error: what it holds can't be
// written again.
func TestAHolderWhoseMessagesWereReplacedArchives(t *testing.T) {
	m, other := newMemory(), newMemory()
	a := open(t, m, in("east"))
	for _, h := range []struct {
		a  *sdsaws.Adapter
		id string
	}{{a, "one"}, {open(t, other, in("west")), "another"}} {
		if err := h.a.Commit(t.Context(), channel, meta(1), appends(h.id, "two")); err != nil {
			t.Fatal(err)
		}
	}
	all, err := other.Messages(t.Context(), key, []uint64{0})
	if err != nil {
		t.Fatal(err)
	}
	m.Edit(key, func(_ *store.Head, messages map[uint64]store.Message) { messages[0] = all[0] })
	if err := a.Commit(t.Context(), channel, meta(2), &sds.HistoryUpdate{Evict: []string{"two"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Archive(t.Context(), channel); !errors.Is(err, sds.ErrCorrupt) {
		t.Error(err)
	}
}

// TestNoArchivingByWhatATakeoverHasLost: the old region's manifest has come, the head that it
// follows hasn't.
func TestNoArchivingByWhatATakeoverHasLost(t *testing.T) {
	m, old := newMemory(), newMemory()
	east := open(t, m, in("east"))
	if err := east.Commit(t.Context(), channel, meta(1), appends("one", "two")); err != nil {
		t.Fatal(err)
	}
	old.CopyFrom(&m.Memory)
	goesOn := open(t, old, in("east"))
	if err := goesOn.Commit(t.Context(), channel, meta(2), &sds.HistoryUpdate{Evict: []string{"one"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := goesOn.Archive(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	last, err := old.LastSegment(t.Context(), key, math.MaxUint64)
	if err != nil || last == nil {
		t.Fatal(last, err)
	}
	if err := m.AddSegment(t.Context(), key, 0, *last); err != nil {
		t.Fatal(err)
	}
	west := open(t, m, takingOver("west"))
	if _, err := west.LoadChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	if _, err := west.Sweep(t.Context(), channel, nil); !errors.Is(err, sds.ErrForked) {
		t.Error(err)
	}
	loadsIn(t, m, in("west"), "one", "two")
}

func loadsIn(t *testing.T, m *memory, o sdsaws.Options, ids ...string) {
	t.Helper()
	d, err := open(t, m, o).LoadChannel(t.Context(), channel)
	if err != nil || len(d.MessageHistory) != len(ids) {
		t.Fatalf("%+v, %v", d, err)
	}
	for i, id := range ids {
		if d.MessageHistory[i].MessageID != id {
			t.Errorf("message %d is %q", i, d.MessageHistory[i].MessageID)
		}
	}
}
