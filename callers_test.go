package sdsaws_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

// A commit runs in the goroutine of the caller who waits for it. These tests say that others, and the
// adapter, don't depend on that caller.

// stuckAfterOne returns an adapter that holds a channel with clock 1 and one message, and whose next
// commits get no answer.
func stuckAfterOne(t *testing.T) (*memory, *sdsaws.Adapter) {
	t.Helper()
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	if err := a.Commit(t.Context(), channel, meta(1), appends("one")); err != nil {
		t.Fatal(err)
	}
	m.setFault(at("commit", stuck))
	return m, a
}

// TestACallerThatGoesAwayEndsItsWaitAlone: its pair is stored all the same, and so is that of another
// who came meanwhile, and who isn't told of it.
func TestACallerThatGoesAwayEndsItsWaitAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, a := stuckAfterOne(t)
		ctx, leave := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- a.Commit(ctx, channel, meta(2), appends("two")) }()
		synctest.Wait()
		go func() { second <- a.Commit(t.Context(), channel, meta(3), appends("three")) }()
		synctest.Wait()
		m.setFault(func(string) fault { return none })
		leave()
		if err := <-first; !errors.Is(err, sds.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
			t.Errorf("who goes away gets %v, want ErrUnknownOutcome and the end of its context", err)
		}
		if err := <-second; err != nil {
			t.Errorf("who stays gets %v", err)
		}
		loads(t, m, 3, "one", "two", "three")
	})
}

// TestCloseBreaksOffACallersCommit: as any other request that is under way when Close has no time left.
func TestCloseBreaksOffACallersCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a := stuckAfterOne(t)
		done := make(chan error, 1)
		go func() { done <- a.Commit(context.Background(), channel, meta(2), appends("two")) }()
		synctest.Wait()
		ended, end := context.WithCancel(t.Context())
		end()
		if err := a.Close(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("Close: %v, want the end of its context", err)
		}
		if err := <-done; !errors.Is(err, sds.ErrUnknownOutcome) {
			t.Errorf("%v, want ErrUnknownOutcome", err)
		}
	})
}

// TestAPanicInARequestLeavesTheChannelUsable: a caller may recover from what a backend or a client's
// middleware throws. What it has sent is sent again.
func TestAPanicInARequestLeavesTheChannelUsable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, a := stuckAfterOne(t)
		m.mu.Lock()
		m.wait = func() { panic("a middleware") }
		m.fault = nth(1, only("commit"), hold, func(string) {})
		m.mu.Unlock()
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is swallowed")
				}
			}()
			_ = a.Commit(t.Context(), channel, meta(2), appends("two")) // panics
		}()
		if err := a.Commit(t.Context(), channel, meta(3), appends("three")); err != nil {
			t.Error(err)
		}
		loads(t, m, 3, "one", "two", "three")
	})
}

// TestACallersContextMayEndAtEachRequest of a commit that stages messages and puts large ones in the archive:
// all of it is stored by the next one, once.
func TestACallersContextMayEndAtEachRequest(t *testing.T) {
	upwards(t, "request", func(t *testing.T, n int) (more bool) {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			m.Max.Messages = 5
			o := quiet
			o.Clock = nil
			a := openAs(t, m, "alice", o)
			if err := a.Commit(t.Context(), channel, meta(1), appends("one")); err != nil {
				t.Fatal(err)
			}
			ids := []string{"L1", "L2", "L3"}
			for i := range 10 {
				ids = append(ids, fmt.Sprint("m", i))
			}
			ctx, leave := context.WithCancel(t.Context())
			m.mu.Lock()
			m.wait = leave
			m.fault = nth(n, every, hold, func(string) { more = true })
			m.mu.Unlock()
			err := a.Commit(ctx, channel, meta(2), update(ids, nil))
			m.setFault(func(string) fault { return none })
			if more != (err != nil) || err != nil && !errors.Is(err, sds.ErrUnknownOutcome) {
				t.Errorf("%v, and the context ended: %v", err, more)
			}
			if err := a.Commit(t.Context(), channel, meta(3), appends("last")); err != nil {
				t.Error(err)
			}
			loads(t, m, 3, append(ids, "one", "last")...)
		})
		return more
	})
}

// TestManyCallersLeaveNothingBehind: a dozen commit to three channels with deadlines of some milliseconds, while
// requests are slow, refused and answered into the void. Whatever was accepted is stored in the end.
func TestManyCallersLeaveNothingBehind(t *testing.T) {
	for round := range uint64(6) {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				m.Max.Messages = 5
				var mu sync.Mutex // protects random and stored
				random := rand.New(rand.NewPCG(round, 1))
				draw := func(n int) int {
					mu.Lock()
					defer mu.Unlock()
					return random.IntN(n)
				}
				m.mu.Lock()
				m.wait = func() { time.Sleep(time.Duration(draw(1500)) * time.Microsecond) }
				m.fault = func(op string) fault {
					if op == "claim" { // a load that fails half-way gives up what was accepted
						return hold
					}
					return []fault{lose, refuse, hold, hold, hold, hold, hold, hold}[draw(8)]
				}
				m.mu.Unlock()
				a := open(t, m, sdsaws.Options{Durability: sdsaws.Durability(round % 2), Lag: 5 * time.Millisecond,
					MaxInFlight: 2, InlineBytes: 200, ArchiveMessages: 4})
				accepted := map[string][]string{}
				var callers sync.WaitGroup
				for caller := range 12 {
					callers.Go(func() {
						for n := range 20 {
							id, ch := fmt.Sprintf("%d/%d", caller, n), fmt.Sprint("channel ", draw(3))
							ctx, end := context.WithTimeout(t.Context(), time.Duration(draw(6000))*time.Microsecond)
							u := appends(id)
							u.Append[0].Content = make([]byte, draw(2)*400)
							err := a.Commit(ctx, ch, meta(int64(n)), u)
							end()
							if err == nil || errors.Is(err, sds.ErrUnknownOutcome) {
								mu.Lock()
								accepted[ch] = append(accepted[ch], id)
								mu.Unlock()
							}
						}
					})
				}
				callers.Wait()
				m.setFault(func(string) fault { return none })
				if err := a.Flush(t.Context()); err != nil {
					t.Error(err)
				}
				if p := a.Pending(); p != (sdsaws.Pending{}) {
					t.Errorf("still pending: %+v", p)
				}
				for ch, ids := range accepted {
					d, err := open(t, m, sdsaws.Options{}).LoadChannel(t.Context(), ch)
					if err != nil {
						t.Fatal(err)
					}
					there := map[string]bool{}
					for _, h := range d.MessageHistory {
						there[h.MessageID] = true
					}
					for _, id := range ids {
						if !there[id] {
							t.Errorf("%s has no %s", ch, id)
						}
					}
				}
			})
		})
	}
}

// TestACallbackThatDoesNotReturn, for it panics or ends the goroutine of the caller who commits: who waits is
// told all the same, and nothing is tried again and again.
func TestACallbackThatDoesNotReturn(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panic("in OnFenced") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				a := open(t, m, sdsaws.Options{OnFenced: func(string) { leave() }})
				if err := a.Commit(t.Context(), channel, meta(1), appends("one")); err != nil {
					t.Fatal(err)
				}
				if _, err := open(t, m, sdsaws.Options{}).LoadChannel(t.Context(), channel); err != nil {
					t.Fatal(err)
				}
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					defer func() { _ = recover() }()
					_ = a.Commit(t.Context(), channel, meta(2), appends("two")) // doesn't return
				}()
				<-ended
				synctest.Wait()
				if p := a.Pending(); p != (sdsaws.Pending{}) {
					t.Errorf("still pending: %+v", p)
				}
				if err := a.Commit(t.Context(), channel, meta(2), appends("two")); !errors.Is(err, sds.ErrFenced) {
					t.Errorf("%v, want ErrFenced", err)
				}
				if _, err := a.LoadChannel(t.Context(), channel); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestPairsPassTheBoundByAsMuchAgain at most: their snapshots were accepted, and pairs aren't cut.
func TestPairsPassTheBoundByAsMuchAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.setFault(func(string) fault { return refuse })
		const bound = 1 << 20
		a := open(t, m, sdsaws.Options{Durability: sdsaws.Accepted, MaxPending: bound, Lag: time.Hour})
		const pairs = 100
		for c := range pairs {
			if err := a.SaveChannelMeta(t.Context(), fmt.Sprint(c), meta(1)); err != nil {
				t.Fatal(err)
			}
		}
		accepted := 0
		for c := range pairs {
			u := &sds.HistoryUpdate{Append: []sds.Message{{MessageID: "a", Content: make([]byte, 900<<10)}}}
			switch err := a.UpdateHistory(t.Context(), fmt.Sprint(c), u); {
			case err == nil:
				accepted++
			case !errors.Is(err, sds.ErrOverloaded):
				t.Fatal(err)
			}
		}
		if p := a.Pending().Bytes; accepted == 0 || p > 2*bound {
			t.Errorf("%d accepted, %d bytes wait, twice the bound is %d", accepted, p, 2*bound)
		}
	})
}
