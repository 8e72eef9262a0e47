package sdsaws_test

import (
	"cmp"
	"errors"
	"fmt"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/store"
)

// Tests of sweepers that stop at one of their requests while others work.

// sweep is a sweep that must succeed.
func sweep(t *testing.T, m *memory) {
	t.Helper()
	if _, err := open(t, m, quiet).Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
}

// TestASweeperWithAnOldHead: what the head said that a sweeper has read, at whichever of its
// requests it stops, isn't true any more when it goes on. Meanwhile the holder of the channel has
// seen messages again that the sweeper knows as evicted, has evicted others and written others
// again, and has written where there was nothing.
func TestASweeperWithAnOldHead(t *testing.T) {
	base, start := lived(t)
	again := func(t *testing.T, a *sdsaws.Adapter, k *kept) { // all that the sweeper is about to archive, and more
		k.commit(t, a, meta(20), update(append(names(2, 9), "L1"), append(names(6, 4), "L3")))
	}
	for _, c := range []struct {
		name string
		do   func(t *testing.T, m *memory, a *sdsaws.Adapter, k *kept)
	}{
		{"messages are seen again", func(t *testing.T, _ *memory, a *sdsaws.Adapter, k *kept) { again(t, a, k) }},
		{"messages are seen again and archived", func(t *testing.T, m *memory, a *sdsaws.Adapter, k *kept) {
			again(t, a, k)
			sweep(t, m)
		}},
		{"messages are written again and archived", func(t *testing.T, _ *memory, a *sdsaws.Adapter, k *kept) {
			again(t, a, k)
			if _, err := a.Archive(t.Context(), channel); err != nil {
				t.Fatal(err)
			}
		}},
		{"messages are staged and committed", func(t *testing.T, m *memory, a *sdsaws.Adapter, k *kept) {
			u := update(append(names(200, 120), "L10"), append(names(2, 11), "L10"))
			f := m.freeze(t, 1, only("commit"), func() error { return a.Commit(t.Context(), channel, meta(21), u) })
			sweep(t, m)
			if err := f.goOn(); err != nil {
				t.Fatal(err)
			}
			k.apply(t, meta(21), u)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			upwards(t, "request", func(t *testing.T, n int) bool {
				m, k := base.copy(), *start
				a, old := open(t, m, quiet), open(t, m, quiet)
				loadsExactly(t, a, &k)
				f := m.freeze(t, n, every, func() error {
					_, err := old.Sweep(t.Context(), channel, nil)
					return err
				})
				if f.op != "" {
					t.Log(f.op)
					c.do(t, m, a, &k)
				}
				if err := f.goOn(); err != nil {
					t.Fatalf("at %s: %v", f.op, err)
				}
				k.commit(t, a, meta(30), update([]string{"last"}, []string{"m10"}))
				m.judge(t, &k)
				return f.op != ""
			})
		})
	}
}

// TestTwoSweepersAdoptOneManifest: one that nobody has finished, in each state that a sweeper can
// leave it in. One of two that go on with it stops at one of its requests until the other is
// through, and more is archived behind it.
func TestTwoSweepersAdoptOneManifest(t *testing.T) {
	for _, state := range []struct {
		name string
		op   string // the request at which its sweeper stopped for good
		n    int
		f    fault
	}{
		{"only begun", "put", 1, refuse},
		{"its object put", "replace segment", 1, refuse},
		{"written", "delete", 1, refuse},
		{"its messages deleted in part", "delete", 1, refuse},
		{"its messages deleted", "delete", 1, lose},
		{"its values deleted", "remove", 1, lose},
		{"marked as done, and nobody told", "replace segment", 2, lose},
	} {
		base, start := lived(t)
		base.setFault(nth(state.n, only(state.op), state.f, func(string) {}))
		if _, err := open(t, base, quiet).Sweep(t.Context(), channel, nil); !errors.Is(err, errInjected) {
			t.Fatal(err)
		}
		base.setFault(func(string) fault { return none })
		if state.name == "its messages deleted in part" {
			base.Edit(key, func(_ *store.Head, all map[uint64]store.Message) {
				delete(all, 3)
				delete(all, 4)
			})
		}
		t.Run(state.name, func(t *testing.T) {
			upwards(t, "request", func(t *testing.T, n int) bool {
				m, k := base.copy(), *start
				first := open(t, m, quiet)
				f := m.freeze(t, n, every, func() error {
					_, err := first.Sweep(t.Context(), channel, nil)
					return err
				})
				if f.op != "" {
					t.Log(f.op)
					a := open(t, m, quiet)
					loadsExactly(t, a, &k)
					if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
						t.Fatal(err)
					}
					// From here on the head says that they are archived, and no more which they are.
					k.commit(t, a, meta(20), update([]string{"L10", "m20"}, append(names(2, 8), "L3")))
					sweep(t, m)
				}
				if err := f.goOn(); err != nil {
					t.Fatalf("at %s: %v", f.op, err)
				}
				m.judge(t, &k)
				return f.op != ""
			})
		})
	}
}

// TestASegmentPutInFlightWhenTheChannelIsDropped: the object arrives when the drop has listed
// what there is. Its sender, if it lives, deletes it; else the next sweep does. Segments of the
// channel created anew stay.
func TestASegmentPutInFlightWhenTheChannelIsDropped(t *testing.T) {
	base, start := lived(t)
	for _, then := range []string{"", " and created", " and created, and archived"} {
		for _, lives := range []bool{true, false} {
			t.Run(fmt.Sprintf("dropped%s, the sender lives: %v", then, lives), func(t *testing.T) {
				m, k := base.copy(), *start
				archiver, a := open(t, m, quiet), open(t, m, quiet)
				loadsExactly(t, a, &k)
				call := func() error {
					_, err := archiver.Sweep(t.Context(), channel, nil)
					return err
				}
				var arrive func() error
				if lives {
					arrive = m.freeze(t, 1, only("put"), call).goOn
				} else {
					d, err := m.delay(1, only("put"), call)
					if !errors.Is(err, errInjected) {
						t.Fatal(err)
					}
					arrive = d.arrive
				}
				drops(t, a, &k)
				if then != "" {
					k.commit(t, a, meta(20), update(append(names(0, 8), "L0", "L10"), append(names(0, 3), "L0")))
				}
				if then == " and created, and archived" {
					sweep(t, m)
				}
				if err := arrive(); err != nil {
					t.Fatal(err)
				}
				if !lives {
					if n := len(m.objects(t, record.Segments)); n == 0 {
						t.Fatal("the object has not arrived")
					}
					sweep(t, m)
				}
				if then == "" {
					m.nothingAtAll(t, key)
				}
				m.judge(t, &k)
			})
		}
	}
}

// objects returns the names of the channel's objects of one kind.
func (m *memory) objects(t *testing.T, kind record.Kind) (names []string) {
	t.Helper()
	for o, err := range m.archive.MemoryArchive.List(t.Context(), record.Folder(kind, key)) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	return names
}

// TestAValueOfACommitUnderWayIsNoGarbage: what a commit has put into the archive, and nothing
// refers to yet, is still there when it has landed, however a sweep meets it.
func TestAValueOfACommitUnderWayIsNoGarbage(t *testing.T) {
	base, start := lived(t)
	first := update(append(names(200, 110), "L10", "L11"), []string{"L3", "L11"})
	second := update([]string{"L12", "L13"}, []string{"L12"})
	check := func(t *testing.T, sweeper bool) {
		upwards(t, "request", func(t *testing.T, n int) bool {
			m, k := base.copy(), *start
			a, other := open(t, m, quiet), open(t, m, quiet)
			loadsExactly(t, a, &k)
			calls := []func() error{
				func() error {
					return cmp.Or(a.Commit(t.Context(), channel, largeMeta(20), first),
						a.Commit(t.Context(), channel, largeMeta(21), second))
				},
				func() error { _, err := other.Sweep(t.Context(), channel, nil); return err },
			}
			if sweeper { // is the one that stops
				calls[0], calls[1] = calls[1], calls[0]
			}
			f := m.freeze(t, n, every, calls[0])
			t.Log(f.op)
			if err := calls[1](); err != nil {
				t.Fatal(err)
			}
			if err := f.goOn(); err != nil {
				t.Fatal(err)
			}
			k.apply(t, largeMeta(20), first)
			k.apply(t, largeMeta(21), second)
			m.judge(t, &k)
			return f.op != ""
		})
	}
	t.Run("a sweep during the commit", func(t *testing.T) { check(t, false) })
	t.Run("a commit during the sweep", func(t *testing.T) { check(t, true) })
}

// TestASweepTellsWhatWaits for the archive: what isn't due, and what a failure has left.
func TestASweepTellsWhatWaits(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{ArchiveMessages: 50})
	fill(t, a, 0, 40, 10)
	waits := func(o *sdsaws.SweepOptions, want uint64) error {
		t.Helper()
		done, err := a.Sweep(t.Context(), channel, o)
		if done.Waiting != want {
			t.Errorf("%d offsets wait, want %d (%v)", done.Waiting, want, err)
		}
		return err
	}
	if err := waits(&sdsaws.SweepOptions{OnlyDue: true}, 30); err != nil {
		t.Fatal(err)
	}
	m.setFault(func(op string) fault {
		if op == "put" {
			return refuse
		}
		return none
	})
	if err := waits(nil, 30); !errors.Is(err, errInjected) {
		t.Fatalf("Sweep: %v", err)
	}
	m.setFault(func(string) fault { return none })
	for range 2 { // goes on, then has nothing to do
		if err := waits(nil, 0); err != nil {
			t.Fatal(err)
		}
	}
}
