package sdsaws_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// Tests of requests that were done and whose replies were lost, or that were done later than
// anybody waited for.

// step is one thing that a participant does.
type step func(t *testing.T, a *sdsaws.Adapter, k *kept) error

// day is a participant's work: each kind of write occurs. What is committed is noted whether an
// error is reported or not, since it stays accepted.
func day() []step {
	commit := func(meta *sds.ChannelMeta, appended, evicted []string) step {
		return func(t *testing.T, a *sdsaws.Adapter, k *kept) error {
			u := update(appended, evicted)
			k.apply(t, meta, u)
			return a.Commit(t.Context(), channel, meta, u)
		}
	}
	return []step{
		commit(meta(1), names(0, 8), nil), // creates the head
		func(t *testing.T, a *sdsaws.Adapter, _ *kept) (err error) { // claims it; nobody knows who holds it before
			for range 10 {
				if _, err = a.LoadChannel(t.Context(), channel); err == nil {
					break
				}
			}
			return err
		},
		commit(largeMeta(2), []string{"L0", "L1", "m8"}, names(0, 3)),
		commit(meta(3), append(names(100, 120), "L2"), []string{"m3", "L0"}), // is staged
		func(t *testing.T, a *sdsaws.Adapter, _ *kept) error {
			_, err := a.Sweep(t.Context(), channel, nil)
			return err
		},
		commit(largeMeta(4), nil, []string{"m5"}),
		func(t *testing.T, a *sdsaws.Adapter, _ *kept) error {
			_, err := a.Archive(t.Context(), channel)
			return err
		},
		func(t *testing.T, a *sdsaws.Adapter, _ *kept) error { // and what was replaced is deleted
			if err := a.SetRetrievalHint(t.Context(), "m9", []byte("hint")); err != nil {
				return err
			}
			return a.Flush(t.Context())
		},
		commit(meta(5), []string{"m9", "m0"}, []string{"m6", "m8"}),
	}
}

// TestALostReplyThenANewCommit loses the reply of each write of a day's work in turn, and in a
// second round those of the next three tries too, as when the SDK has given up. The caller, who
// hands everything over once, goes on, and commits something new. All of it is stored, once.
// (TestADropFailsAtEveryStep does so with a drop.)
func TestALostReplyThenANewCommit(t *testing.T) {
	for _, tries := range []int{1, 4} {
		upwards(t, fmt.Sprintf("%d replies from write", tries), func(t *testing.T, n int) bool {
			m, k := newMemory(), &kept{}
			a := open(t, m, quiet)
			seen, op, lost := 0, "", 0
			m.setFault(func(o string) fault {
				if writes(o) {
					seen++
				}
				switch {
				case seen == n && op == "" && writes(o):
					op = o
				case o != op || lost == tries:
					return none
				}
				lost++
				return lose
			})
			for _, s := range day() {
				if err := s(t, a, k); err != nil && !errors.Is(err, errInjected) {
					t.Fatal(err)
				}
			}
			m.setFault(func(string) fault { return none })
			if lost == 0 {
				return false
			}
			t.Log(op)
			u := update([]string{"last", "Llast"}, []string{"L1"})
			k.commit(t, a, largeMeta(99), u)
			if err := a.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if hints, err := m.Hints(t.Context(), key.Namespace, []string{"m9"}); err != nil || len(hints) != 1 {
				t.Fatalf("the hint: %v, %v", hints, err)
			}
			m.judge(t, k)
			return true
		})
	}
}

// plans are commits whose outcome gets lost, of each kind.
var plans = map[string]struct{ appended, evicted []string }{
	"in one transaction": {[]string{"p0", "p1", "L10"}, []string{"m5"}},
	"staged":             {append(names(200, 110), "p0", "p1", "L10"), []string{"m5"}},
	"of a snapshot":      {nil, nil},
}

// TestACommitOutlivesItsToken: a commit gets no reply, and its sender tries again when the time
// is over for which its token would have made a second one harmless (the backend of these
// tests knows no tokens at all). The request arrives once more when much else has happened.
// The condition alone protects.
func TestACommitOutlivesItsToken(t *testing.T) {
	base, start := lived(t)
	for name, p := range plans {
		for _, first := range []string{"landed", "arrives before", "arrives behind", "arrives late"} {
			t.Run(name+", the first one "+first, func(t *testing.T) {
				m, k := base.copy(), *start
				a := open(t, m, quiet)
				loadsExactly(t, a, &k)
				u := update(p.appended, p.evicted)
				call := func() error { return a.Commit(t.Context(), channel, largeMeta(20), u) }
				var arrive func() error
				if first == "landed" {
					m.setFault(at("commit", lose))
					if err := call(); !errors.Is(err, sds.ErrUnknownOutcome) {
						t.Fatal(err)
					}
					m.setFault(func(string) fault { return none })
					arrive = func() error { return nil }
				} else {
					d, err := m.delay(1, only("commit"), call)
					if !errors.Is(err, sds.ErrUnknownOutcome) {
						t.Fatal(err)
					}
					arrive = d.arrive
				}
				k.apply(t, largeMeta(20), u)
				if first == "arrives before" {
					if err := arrive(); err != nil {
						t.Fatal(err)
					}
				}
				sweeper := open(t, m, quiet)
				if _, err := sweeper.Sweep(t.Context(), channel, nil); err != nil {
					t.Fatal(err)
				}
				if err := a.Flush(t.Context()); err != nil {
					t.Fatalf("the second: %v", err)
				}
				if first == "arrives behind" {
					if err := arrive(); !errors.Is(err, store.ErrConflict) {
						t.Fatalf("the first, behind the second: %v", err)
					}
				}
				goesOn(t, a, &k)
				if _, err := a.Archive(t.Context(), channel); err != nil {
					t.Fatal(err)
				}
				if first == "arrives late" {
					if err := arrive(); !errors.Is(err, store.ErrConflict) {
						t.Fatalf("the first, much later: %v", err)
					}
				}
				m.judge(t, &k)
			})
		}
	}
}

// TestAMergedCommitFollowsOneThatMayHaveLanded: the caller was told that nobody knows what
// became of a commit, and hands its messages over again together with the next ones, some of
// them evicted by now; to the same adapter, or to a new one.
func TestAMergedCommitFollowsOneThatMayHaveLanded(t *testing.T) {
	base, start := lived(t)
	for name, p := range plans {
		for _, outcome := range []string{"landed", "did not land", "lands behind the next"} {
			for _, by := range []string{"the same adapter", "a new adapter"} {
				t.Run(fmt.Sprintf("%s, %s, then %s", name, outcome, by), func(t *testing.T) {
					m, k := base.copy(), *start
					o := quiet
					o.Durability, o.Lag = sdsaws.Accepted, time.Hour
					a := open(t, m, o)
					loadsExactly(t, a, &k)
					u := update(p.appended, p.evicted)
					call := func() error { return a.Commit(t.Context(), channel, largeMeta(20), u) }
					var arrive func() error
					switch outcome {
					case "landed":
						m.setFault(at("commit", lose))
						_ = call()
					case "did not land":
						m.setFault(at("commit", refuse))
						_ = call()
					default:
						d, _ := m.delay(1, only("commit"), call)
						arrive = d.arrive
					}
					m.setFault(func(string) fault { return none })
					if by == "a new adapter" {
						a = open(t, m, o)
					}
					if by == "the same adapter" || outcome == "landed" {
						k.apply(t, largeMeta(20), u)
					}
					accepts(t, a, &k, largeMeta(21), update(append(p.appended, "p2"), append(p.evicted, "p0", "L10")))
					accepts(t, a, &k, meta(22), update([]string{"p3", "L11"}, []string{"p1"}))
					if err := a.Flush(t.Context()); err != nil {
						t.Fatal(err)
					}
					if arrive != nil {
						if err := arrive(); !errors.Is(err, store.ErrConflict) {
							t.Fatalf("the first, behind the second: %v", err)
						}
					}
					m.judge(t, &k)
				})
			}
		}
	}
}

// accepts hands a pair over in two calls that don't wait, and notes it.
func accepts(t *testing.T, a *sdsaws.Adapter, k *kept, meta *sds.ChannelMeta, u *sds.HistoryUpdate) {
	t.Helper()
	if err := a.SaveChannelMeta(t.Context(), channel, meta); err != nil {
		t.Fatal(err)
	}
	if err := a.UpdateHistory(t.Context(), channel, u); err != nil {
		t.Fatal(err)
	}
	k.apply(t, meta, u)
}

// TestStagingOfAnAbandonedPlanLandsLate: messages are staged with an outcome that nobody
// knows, so the plan they belong to is given up for another one, or by the death of its
// writer. They land while the next plan, which needs room at the same place, is under way.
func TestStagingOfAnAbandonedPlanLandsLate(t *testing.T) {
	base, start := lived(t)
	for _, by := range []string{"the same adapter", "a successor"} {
		for n := 1; n <= 2; n++ { // the abandoned plan is staged in two requests
			for _, when := range []string{"before the next plan", "when it is staged in part", "when it is staged", "when it has landed"} {
				t.Run(fmt.Sprintf("of %s, part %d, %s", by, n, when), func(t *testing.T) {
					m, k := base.copy(), *start
					a := open(t, m, quiet)
					loadsExactly(t, a, &k)
					u := update(append([]string{"L10", "L11"}, append(names(200, 120), "L12")...), []string{"m5"})
					d, err := m.delay(n, only("stage"), func() error { return a.Commit(t.Context(), channel, largeMeta(20), u) })
					if !errors.Is(err, errInjected) {
						t.Fatal(err)
					}
					meta := largeMeta(20)
					next := func() error { return a.Flush(t.Context()) }
					if by == "a successor" {
						a = open(t, m, quiet)
						loadsExactly(t, a, &k)
						u = update(append([]string{"L20", "L21"}, append(names(400, 120), "L22")...), []string{"m7", "m405"})
						meta = largeMeta(21)
						next = func() error { return a.Commit(t.Context(), channel, meta, u) }
					}
					lands := func() {
						err := d.arrive()
						if may := by == "the same adapter" && when != "when it has landed"; may != (err == nil) {
							t.Errorf("the staging that comes late: %v", err)
						}
					}
					switch when {
					case "before the next plan":
						lands()
						err = next()
					case "when it is staged in part":
						f := m.freeze(t, 2, only("stage"), next)
						lands()
						err = f.goOn()
					case "when it is staged":
						f := m.freeze(t, 1, only("commit"), next)
						lands()
						err = f.goOn()
					default:
						err = next()
						lands()
					}
					if err != nil {
						t.Fatal(err)
					}
					k.apply(t, meta, u)
					m.judge(t, &k)
				})
			}
		}
	}
}
