package sdsaws_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// TestOverloadEndsWithoutAStorm has a thousand channels behind when a minute of throttling
// ends. The requests in flight are capped, and the channels don't come back all at once.
func TestOverloadEndsWithoutAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const channels, inFlight = 1000, 64
		seed := overloadSeed(t)
		tb := newTable(seed)
		a := tb.adapter(t, sdsaws.Options{Durability: sdsaws.Accepted})
		ps := make([]*talker, channels)
		for i := range ps {
			ps[i] = &talker{a: a, channel: fmt.Sprint("c", i), random: rand.New(rand.NewPCG(seed, uint64(i+1)))}
			ps[i].work(t)
		}
		time.Sleep(10 * time.Second)
		if p := a.Pending(); p.Channels > 0 {
			t.Fatalf("before the throttling: %+v", p)
		}
		if tb.peak > inFlight || tb.peak < inFlight/2 {
			t.Errorf("%d commits in flight, Options.MaxInFlight is %d", tb.peak, inFlight)
		}
		tb.refuse(1)
		for range 3 {
			for _, p := range ps {
				p.work(t)
			}
			time.Sleep(20 * time.Second)
		}
		if p := a.Pending(); p.Channels != channels {
			t.Errorf("a minute of throttling: %+v", p)
		}
		tb.refuse(0)
		tb.mu.Lock()
		throttled := tb.perSecond
		tb.peak, tb.perSecond, tb.start = tb.inFlight, nil, time.Now()
		tb.mu.Unlock()
		waited := time.Duration(0)
		for ; a.Pending().Channels > 0 && waited < time.Minute; waited += time.Second {
			time.Sleep(time.Second)
		}
		t.Logf("throttled, attempts in each second: %v", throttled[10:])
		t.Logf("then: %v; at most %d in flight; nothing waits after %v", tb.perSecond, tb.peak, waited)
		if a.Pending().Channels > 0 || waited > 35*time.Second {
			t.Errorf("after %v: %+v", waited, a.Pending())
		}
		if tb.peak > inFlight/4 { // all have failed
			t.Errorf("%d commits in flight at once, of channels that have failed", tb.peak)
		}
		for i, n := range tb.perSecond {
			if n > channels/4 {
				t.Errorf("%d attempts in second %d after it, of %d channels", n, i, channels)
			}
		}
		for i := 0; i < channels; i += 4 {
			ps[i].verify(t, a)
		}
	})
}

// TestOverloadOfSomeLeavesPlacesToOthers throttles more channels than may commit at once,
// and then has others commit, who mustn't wait for them.
func TestOverloadOfSomeLeavesPlacesToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const throttled = 60
		tb := newTable(overloadSeed(t))
		tb.quota = 1 << 30 // so that a throttled commit takes its 20 s
		tb.never = func(key store.Key) bool { return strings.HasPrefix(key.Channel, "throttled") }
		a := tb.adapter(t, sdsaws.Options{Durability: sdsaws.Accepted, MaxInFlight: 8})
		for i := range throttled {
			if err := a.UpdateHistory(t.Context(), fmt.Sprint("throttled", i), appends("m")); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Minute)
		for i := range 100 {
			start := time.Now()
			if err := a.Commit(t.Context(), fmt.Sprint("c", i), meta(1), appends("m")); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > 4*tableLatency { // it loads, claims and commits
				t.Fatalf("commit %d waited for %v", i, took)
			}
			time.Sleep(time.Second)
		}
		if p := a.Pending(); p.Channels != throttled {
			t.Errorf("%+v", p)
		}
	})
}

// TestOverloadOfOnePartition writes half more than a partition gives to one channel, for half
// a minute. That channel is refused, the others are not, and nothing that was accepted is lost.
func TestOverloadOfOnePartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := overloadSeed(t)
		tb := newTable(seed)
		tb.limitPartitions()
		const maxPending = 2 << 20
		a := tb.adapter(t, sdsaws.Options{Durability: sdsaws.Accepted, MaxPending: maxPending})
		random := rand.New(rand.NewPCG(seed, 9))
		var hot kept
		var ps []*talker
		for i := range 20 {
			ps = append(ps, &talker{a: a, channel: fmt.Sprint("c", i), random: random})
		}
		refused, accepted, most := 0, 0, int64(0)
		for i := range 30 * 50 {
			u := &sds.HistoryUpdate{Append: []sds.Message{{MessageID: fmt.Sprint(i), Content: noiseOf(random, 15<<10)}}}
			u.Evict = []string{fmt.Sprint(i - 50)}
			err := a.UpdateHistory(t.Context(), "hot", u)
			switch {
			case errors.Is(err, sds.ErrOverloaded):
				refused++
			case err != nil:
				t.Fatal(err)
			default:
				accepted++
				hot.apply(t, meta(0), u)
			}
			if i%25 == 0 {
				for _, p := range ps {
					p.work(t)
				}
			}
			most = max(most, a.Pending().Bytes)
			time.Sleep(20 * time.Millisecond)
		}
		if err := a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Logf("the partition at its limit: %d updates accepted, %d refused; at most %d bytes waited, of %d",
			accepted, refused, most, maxPending)
		if refused == 0 || most > maxPending {
			t.Error("not bounded")
		}
		for _, p := range ps {
			if p.overloaded > 0 || p.failed > 0 {
				t.Errorf("%s: %d operations refused, %d failed", p.channel, p.overloaded, p.failed)
			}
			p.verify(t, a)
		}
		(&talker{channel: "hot", kept: hot}).verify(t, tb.adapter(t, sdsaws.Options{}))
	})
}

// TestOverloadEndsWithItsCallersContext has a commit that gets no answer hold the only
// place.
func TestOverloadEndsWithItsCallersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		a := open(t, m, sdsaws.Options{MaxInFlight: 1})
		m.setFault(at("commit", stuck))
		holds := make(chan error, 1)
		go func() { holds <- a.Commit(t.Context(), "holds the place", meta(1), appends("x")) }()
		synctest.Wait()
		short, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		for name, call := range map[string]func(context.Context) error{
			"commit":  func(ctx context.Context) error { return a.Commit(ctx, channel, meta(1), appends("x")) },
			"flush":   a.Flush,
			"release": func(ctx context.Context) error { return a.Release(ctx, channel) },
			"load": func(ctx context.Context) error {
				_, err := a.LoadChannel(ctx, channel)
				return err
			},
		} {
			start := time.Now()
			if err := call(short); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(start))
			}
		}
		start := time.Now()
		err := a.Commit(t.Context(), "no deadline", meta(1), appends("x"))
		if took := time.Since(start); took != 30*time.Second || !errors.Is(err, sds.ErrUnknownOutcome) ||
			errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a deadline: %v after %v", err, took)
		}
		if err := a.Close(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close: %v", err)
		}
		if err := <-holds; !errors.Is(err, context.Canceled) {
			t.Errorf("the one that held the place: %v", err)
		}
	})
}

// TestOverloadSendsWhatWaitsForItsLag: memory is full of work that could be stored.
func TestOverloadSendsWhatWaitsForItsLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		a := open(t, m, sdsaws.Options{Durability: sdsaws.Accepted, Lag: time.Hour, MaxPending: 16 << 10})
		const others = 50
		n := 0
		var err error
		for ; err == nil; n++ { // each has one update, so none is sent because of a second
			err = a.UpdateHistory(t.Context(), fmt.Sprint("c", n), appends("m"))
		}
		if !errors.Is(err, sds.ErrOverloaded) || n > others {
			t.Fatalf("update %d: %v", n, err)
		}
		synctest.Wait()
		if err := a.UpdateHistory(t.Context(), fmt.Sprint("c", n), appends("m")); err != nil {
			t.Errorf("after a look at what could be stored: %v", err)
		}
	})
}

// TestOverloadCountsWhatIsSmall: updates that only evict, and empty hints, take memory too.
func TestOverloadCountsWhatIsSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.setFault(func(string) fault { return refuse })
		a := open(t, m, sdsaws.Options{Durability: sdsaws.Accepted, MaxPending: 64 << 10})
		for name, call := range map[string]func(i int) error{
			"evicts": func(i int) error {
				return a.UpdateHistory(t.Context(), channel, &sds.HistoryUpdate{Evict: []string{fmt.Sprint(i)}})
			},
			"hints": func(i int) error { return a.SetRetrievalHint(t.Context(), fmt.Sprint(i), nil) },
		} {
			var err error
			for i := 0; i < 1000 && err == nil; i++ {
				err = call(i)
			}
			if !errors.Is(err, sds.ErrOverloaded) {
				t.Errorf("%s: %v, want ErrOverloaded", name, err)
			}
		}
		big := &sds.HistoryUpdate{Append: []sds.Message{{MessageID: "big", Content: make([]byte, 64<<10)}}}
		if err := a.UpdateHistory(t.Context(), "other", big); !errors.Is(err, sds.ErrTooLarge) {
			t.Errorf("what never fits: %v, want ErrTooLarge", err)
		}
	})
}

// TestOverloadOfHintsGoesOn: a request for hints fails, and what was written before it is
// not written again.
func TestOverloadOfHintsGoesOn(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{Clock: stopped{}})
	for i := range 100 {
		if err := a.SetRetrievalHint(t.Context(), fmt.Sprint(i), []byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	m.setFault(nth(3, only("hints"), refuse, func(string) {}))
	if err := a.Flush(t.Context()); !errors.Is(err, errInjected) {
		t.Fatalf("%v, want the fault", err)
	}
	if p := a.Pending(); p.Hints != 50 {
		t.Errorf("after two of four requests %+v", p)
	}
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p, n := a.Pending(), m.count("hints"); p != (sdsaws.Pending{}) || n != 5 {
		t.Errorf("%d requests, %+v", n, p)
	}
}

// TestReleaseForgetsAChannel: its memory is free, and the next operation loads it. One that
// was fenced stays so.
func TestReleaseForgetsAChannel(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{Durability: sdsaws.Accepted, Lag: time.Hour})
	update := appends("m0")
	for i := range 3000 {
		update.Append = append(update.Append, sds.Message{MessageID: fmt.Sprint("m", i), LamportTimestamp: int64(i)})
	}
	if err := a.UpdateHistory(t.Context(), channel, update); err != nil {
		t.Fatal(err)
	}
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := heap()
	if err := a.Release(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	if freed := before - heap(); freed < 100<<10 {
		t.Errorf("a release of 3000 messages freed %d bytes", freed)
	}
	if err := a.Release(t.Context(), "never seen"); err != nil {
		t.Fatal(err)
	}
	if n := m.count("load"); n != 1 {
		t.Fatalf("%d loads", n)
	}
	if err := a.Commit(t.Context(), channel, meta(8), appends("new")); err != nil || m.count("load") != 2 {
		t.Fatalf("%v, %d loads", err, m.count("load"))
	}
	if err := a.SaveChannelMeta(t.Context(), channel, meta(9)); err != nil {
		t.Fatal(err)
	}
	if err := a.Release(t.Context(), channel); err != nil || a.Pending() != (sdsaws.Pending{}) {
		t.Fatalf("%v, left is %+v", err, a.Pending())
	}
	if err := a.Commit(t.Context(), channel, meta(9), appends("newer")); err != nil || m.count("load") != 3 {
		t.Fatalf("%v, %d loads", err, m.count("load"))
	}
	other := open(t, m, sdsaws.Options{})
	d, err := other.LoadChannel(t.Context(), channel)
	if err != nil || d.Meta.LamportTimestamp != 9 || len(d.MessageHistory) != 3002 {
		t.Fatalf("%v, %v", d, err)
	}
	if err := a.Commit(t.Context(), channel, meta(9), appends("lost")); !errors.Is(err, sds.ErrFenced) {
		t.Fatalf("%v, want ErrFenced", err)
	}
	if err := a.Release(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(t.Context(), channel, meta(9), appends("lost")); !errors.Is(err, sds.ErrFenced) {
		t.Fatalf("after a release %v, want ErrFenced", err)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what a pool held
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// TestOverloadInMemory fills an adapter with work of each kind until it refuses, while
// nothing can be stored, and holds the heap against the bound that is documented.
func TestOverloadInMemory(t *testing.T) {
	const (
		maxPending = 4 << 20
		channels   = 50
		perChannel = 16 << 10 // what is known of it: here little history, and the attempt's head
		fixed      = 8 << 20  // encoders
		bound      = 2*maxPending + channels*perChannel + fixed
	)
	random := rand.New(rand.NewPCG(overloadSeed(t), 0))
	noise := func(n int) []byte { return noiseOf(random, n) }
	for name, op := range map[string]func(a *sdsaws.Adapter, ctx context.Context, id string, i int) error{
		"messages of 10 KB": func(a *sdsaws.Adapter, ctx context.Context, id string, i int) error {
			u := &sds.HistoryUpdate{Append: []sds.Message{{MessageID: fmt.Sprint(i), Content: noise(10 << 10)}}}
			return a.UpdateHistory(ctx, id, u)
		},
		"messages of 10 bytes": func(a *sdsaws.Adapter, ctx context.Context, id string, i int) error {
			u := &sds.HistoryUpdate{Append: []sds.Message{{MessageID: fmt.Sprint(i), Content: noise(10)}}}
			return a.UpdateHistory(ctx, id, u)
		},
		"50 messages of 10 bytes at once": func(a *sdsaws.Adapter, ctx context.Context, id string, i int) error {
			u := &sds.HistoryUpdate{}
			for j := range 50 {
				u.Append = append(u.Append, sds.Message{MessageID: fmt.Sprint(i, "/", j), Content: noise(10)})
			}
			return a.UpdateHistory(ctx, id, u)
		},
		"messages of 10 bytes with 100 evicts": func(a *sdsaws.Adapter, ctx context.Context, id string, i int) error {
			u := appends(fmt.Sprint(i))
			for j := range 100 {
				u.Evict = append(u.Evict, fmt.Sprint("e", i, "/", j))
			}
			return a.UpdateHistory(ctx, id, u)
		},
		"pairs with 20 small messages buffered": func(a *sdsaws.Adapter, ctx context.Context, id string, i int) error {
			s := meta(int64(i))
			for j := range 20 {
				s.IncomingBuffer = append(s.IncomingBuffer, sds.IncomingMessage{
					Message: sds.Message{MessageID: fmt.Sprint(i, "/", j), Content: noise(30)}})
			}
			if err := a.SaveChannelMeta(ctx, id, s); err != nil {
				return err
			}
			return a.UpdateHistory(ctx, id, appends(fmt.Sprint(i)))
		},
		"hints": func(a *sdsaws.Adapter, ctx context.Context, id string, i int) error {
			return a.SetRetrievalHint(ctx, fmt.Sprint(id, "/", i), noise(8))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				a := open(t, m, sdsaws.Options{Durability: sdsaws.Accepted, MaxPending: maxPending})
				for c := range channels {
					if err := a.Commit(t.Context(), fmt.Sprint(c), meta(0), appends("first")); err != nil {
						t.Fatal(err)
					}
				}
				m.setFault(func(string) fault { return refuse })
				before, refused := heap(), 0
				for i := 0; refused < 3*channels; i++ {
					refused = 0
					for c := range channels {
						if i%10 == 9 {
							time.Sleep(10 * time.Millisecond) // attempts are made meanwhile
						}
						err := op(a, t.Context(), fmt.Sprint(c), i)
						if errors.Is(err, sds.ErrOverloaded) {
							refused += 3
						} else if err != nil {
							t.Fatal(err)
						}
					}
				}
				time.Sleep(time.Minute)
				p, took := a.Pending(), heap()-before
				t.Logf("%.1f MB of heap for %.1f MB that wait, in %d channels and %d hints; the bound is %.1f MB",
					float64(took)/(1<<20), float64(p.Bytes)/(1<<20), p.Channels, p.Hints, float64(bound)/(1<<20))
				if took > bound {
					t.Error("beyond the bound")
				}
				m.setFault(func(string) fault { return none })
				if err := a.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}
