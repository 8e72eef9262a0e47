package sdsaws_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// Tests of readers, request by request, while others change what they read.

// scattered makes a channel whose log has several pages, and in each of them messages that are
// history and others that were evicted.
func scattered(t *testing.T) (*memory, *kept) {
	t.Helper()
	m, k := newMemory(), &kept{}
	a := open(t, m, quiet)
	k.commit(t, a, meta(1), update(names(0, 70), names(0, 20)))
	if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
	k.commit(t, a, meta(2), update(append(names(70, 80), "L0", "L1"), append(names(30, 30), "L1")))
	k.commit(t, a, largeMeta(3), update(names(150, 10), append(names(100, 15), "m65", "m155")))
	return m, k
}

// meanwhiles are what others do to a channel that is being read. The adapter holds it.
var meanwhiles = []successor{
	{"sweep", func(t *testing.T, a *sdsaws.Adapter, k *kept) {
		k.commit(t, a, meta(10), update(nil, append(names(20, 10), names(60, 10)...)))
		if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
			t.Fatal(err)
		}
	}},
	{"write again and sweep", func(t *testing.T, a *sdsaws.Adapter, _ *kept) {
		if _, err := a.Archive(t.Context(), channel); err != nil {
			t.Fatal(err)
		}
	}},
	{"commit, write again and sweep", func(t *testing.T, a *sdsaws.Adapter, k *kept) {
		k.commit(t, a, meta(11), update([]string{"n0", "Ln", "m0"}, []string{"m29", "m80", "n0"}))
		if _, err := a.Archive(t.Context(), channel); err != nil {
			t.Fatal(err)
		}
		k.commit(t, a, meta(12), update([]string{"n1"}, []string{"m81"}))
	}},
}

// TestHistoryWhileOthersSweepAndWriteAgain stops a reader at each of its requests, lets others
// delete what they have archived and write again what is history, and lets it go on.
func TestHistoryWhileOthersSweepAndWriteAgain(t *testing.T) {
	base, start := scattered(t)
	for _, c := range meanwhiles {
		t.Run(c.name, func(t *testing.T) {
			upwards(t, "request", func(t *testing.T, n int) bool {
				m, k := base.copy(), *start
				a := open(t, m, quiet)
				loadsExactly(t, a, &k)
				reader := open(t, m, quiet)
				var got []string
				f := m.freeze(t, n, every, func() (err error) { got, err = read(t, reader); return err })
				if f.op != "" {
					c.do(t, a, &k)
				}
				if err := f.goOn(); err != nil {
					t.Fatalf("at %s: %v", f.op, err)
				}
				readsAll(t, got, start, &k)
				m.judge(t, &k)
				return f.op != ""
			})
		})
	}
}

// TestHistoryWhileOthersDoSoAtEachRequest: the same before each request of one reader.
func TestHistoryWhileOthersDoSoAtEachRequest(t *testing.T) {
	base, start := scattered(t)
	m, k := base.copy(), *start
	a := open(t, m, quiet)
	loadsExactly(t, a, &k)
	reader := open(t, m, quiet)
	next, busy := 1000, false
	m.setFault(func(string) fault {
		if busy || next > 1100 {
			return none
		}
		busy = true
		return hold
	})
	m.wait = func() {
		id := fmt.Sprint("m", next)
		next++
		k.commit(t, a, meta(int64(next)), update([]string{id, "L" + id}, []string{fmt.Sprint("m", next-1000), "L" + id}))
		if _, err := a.Archive(t.Context(), channel); err != nil {
			t.Error(err)
		}
		if err := a.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		busy = false
	}
	got, err := read(t, reader)
	if err != nil || next < 1010 {
		t.Fatalf("%d times: %v", next-1000, err)
	}
	readsAll(t, got, start, &k)
	m.judge(t, &k)
}

// TestHistoryEndsWithADrop: what a reader gives when the channel is dropped at one of its
// requests is what was there, and no error.
func TestHistoryEndsWithADrop(t *testing.T) {
	base, start := scattered(t)
	upwards(t, "request", func(t *testing.T, n int) bool {
		m, k := base.copy(), *start
		a := open(t, m, quiet)
		loadsExactly(t, a, &k)
		reader := open(t, m, quiet)
		var got []string
		f := m.freeze(t, n, every, func() (err error) { got, err = read(t, reader); return err })
		if f.op != "" {
			drops(t, a, &k)
			k.commit(t, a, meta(20), update([]string{"m0", "m1", "L0"}, []string{"m1"}))
		}
		if err := f.goOn(); err != nil {
			t.Fatalf("at %s: %v", f.op, err)
		}
		for _, b := range got {
			if !slices.Contains(start.all(), b) && !slices.Contains(k.all(), b) {
				t.Fatal("a message that never was")
			}
		}
		m.judge(t, &k)
		return f.op != ""
	})
}

// read returns what History gives.
func read(t *testing.T, a *sdsaws.Adapter) (all []string, err error) {
	for h, err := range a.History(t.Context(), channel, sdsaws.HistoryRange{}) {
		if err != nil {
			return all, err
		}
		all = append(all, string(h.Encoded))
	}
	return all, nil
}

// readsAll expects that a reader has got what was and is history before it began: once, or
// twice where it may have been written again; and nothing that isn't there afterwards.
func readsAll(t *testing.T, got []string, before, after *kept) {
	t.Helper()
	count := map[string]int{}
	for _, b := range got {
		count[b]++
	}
	for _, b := range before.evicted {
		if count[b] != 1 {
			t.Errorf("%.20q, evicted before, is given %d times", b, count[b])
		}
	}
	for id, b := range before.live {
		if count[b] != 1 && count[b] != 2 {
			t.Errorf("%s is given %d times", id, count[b])
		}
	}
	for b := range count {
		if !slices.Contains(after.all(), b) {
			t.Errorf("%.20q never was history", b)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// paged is a log whose loads take a request for each few messages, as those of DynamoDB do for
// each MB: the head and the newest messages come first, and what is older is read as it is
// later.
type paged struct{ *memory }

func (p paged) Load(ctx context.Context, key store.Key, from uint64) (head *store.Head, all []store.Message, err error) {
	const page = 16
	err = p.do(ctx, "load", func(ctx context.Context) error {
		var newest []store.Message
		if head, newest, err = p.Memory.Load(ctx, key, from); head != nil {
			all = newest[len(newest)-min(len(newest), page):]
		}
		return err
	})
	for err == nil && len(all) > 0 {
		low, high := max(from, head.Start), all[0].Offset
		if low >= high {
			break
		}
		low = max(low, high-min(high, page))
		err = p.do(ctx, "load more", func(ctx context.Context) error {
			older, _, err := p.Memory.Page(ctx, key, low, high)
			if len(older) == 0 { // it goes on below what is gone
				older = []store.Message{{Offset: low}}
			}
			all = append(older, all...)
			return err
		})
	}
	all = slices.DeleteFunc(all, func(m store.Message) bool { return m.Body == nil })
	return head, all, err
}

// TestALoadOfSeveralPages stops a load at each of its requests while a successor, or who held
// the channel before, works with it. It ends with what is stored then, and nothing of before.
func TestALoadOfSeveralPages(t *testing.T) {
	base, start := scattered(t)
	others := append(slices.Clone(successors), meanwhiles...)
	for _, c := range others {
		t.Run(c.name, func(t *testing.T) {
			upwards(t, "request", func(t *testing.T, n int) bool {
				m, k := base.copy(), *start
				a := open(t, m, quiet)
				loadsExactly(t, a, &k)
				o := quiet
				o.Namespace = key.Namespace
				slow, err := sdsaws.New(sdsaws.Backend{Log: paged{m}, Hints: m, Archive: &m.archive}, &o)
				if err != nil {
					t.Fatal(err)
				}
				var got sds.EncodedChannelData
				f := m.freeze(t, n, every, func() (err error) {
					got, err = slow.LoadEncodedChannel(t.Context(), channel)
					return err
				})
				if f.op != "" {
					t.Log(f.op)
					if n%2 == 0 {
						a = open(t, m, quiet)
						loadsExactly(t, a, &k)
					}
					c.do(t, a, &k)
				}
				if err := f.goOn(); err != nil {
					t.Fatalf("at %s: %v", f.op, err)
				}
				k.holds(t, got)
				k.commit(t, slow, meta(70), update([]string{"last"}, []string{"m90"}))
				m.judge(t, &k)
				return f.op != ""
			})
		})
	}
}

// TestMessageFindsWhatIsHistoryBeforeWhatWas: a message that waited in a buffer lies in the log before
// another one with its id that was delivered earlier, and evicted when it was delivered.
func TestMessageFindsWhatIsHistoryBeforeWhatWas(t *testing.T) {
	m := newMemory()
	a := open(t, m, quiet)
	waits := sds.Message{MessageID: "m", Content: []byte("waits")}
	buffers := meta(1)
	buffers.IncomingBuffer = []sds.IncomingMessage{{Message: waits}}
	for _, u := range []*sds.HistoryUpdate{appends("m"), {Append: []sds.Message{waits}}} {
		if err := a.Commit(t.Context(), channel, buffers, u); err != nil {
			t.Fatal(err)
		}
		for who, a := range map[string]*sdsaws.Adapter{"its holder": a, "another": open(t, m, quiet)} {
			want := encoded(t, &u.Append[0])
			if got, err := a.Message(t.Context(), channel, "m"); err != nil || string(got.Encoded) != want || !got.Live {
				t.Errorf("to %s: %+v, %v", who, got, err)
			}
		}
	}
}
