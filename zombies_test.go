package sdsaws_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// lived makes a channel that has something of everything: history, large and small, an
// archived segment, evicted messages that wait for one, and what a crashed writer has
// put and staged in vain.
func lived(t *testing.T) (*memory, *kept) {
	t.Helper()
	m, k := newMemory(), &kept{}
	a := open(t, m, quiet)
	k.commit(t, a, largeMeta(1), update(append(names(0, 12), "L0", "L1"), []string{"m0", "m1", "L0"}))
	k.commit(t, a, meta(2), update(nil, []string{"m2"}))
	if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
	m.setFault(at("commit", refuse))
	if err := a.Commit(t.Context(), channel, largeMeta(3), update(append(names(500, 100), "L2"), nil)); !errors.Is(err, errInjected) {
		t.Fatal(err)
	}
	m.setFault(func(string) fault { return none })
	a = open(t, m, quiet)
	k.commit(t, a, largeMeta(4), update([]string{"L3", "m12"}, []string{"m3", "m4", "L1", "m6"}))
	return m, k
}

// call is what a process does when it is frozen, or dies.
type call struct {
	name string
	do   func(t *testing.T, a *sdsaws.Adapter) error
	note func(t *testing.T, k *kept) // what it changes when its commit has landed
}

func calls() []call {
	commit := func(name string, meta *sds.ChannelMeta, u *sds.HistoryUpdate) call {
		return call{name, func(t *testing.T, a *sdsaws.Adapter) error {
			if err := a.Commit(t.Context(), channel, meta, u); err != nil {
				return err
			}
			return a.Flush(t.Context()) // also of what is deleted in the background
		}, func(t *testing.T, k *kept) { k.apply(t, meta, u) }}
	}
	nothing := func(*testing.T, *kept) {}
	return []call{
		commit("commit", meta(51), update([]string{"z0", "L50"}, []string{"m5"})),
		commit("staged commit", largeMeta(52), update(append(names(900, 110), "L51"), []string{"m5"})),
		{"sweep", func(t *testing.T, a *sdsaws.Adapter) error {
			_, err := a.Sweep(t.Context(), channel, nil)
			return err
		}, nothing},
		{"archive", func(t *testing.T, a *sdsaws.Adapter) error {
			_, err := a.Archive(t.Context(), channel)
			return err
		}, nothing},
		{"drop", func(t *testing.T, a *sdsaws.Adapter) error {
			return a.DropChannel(t.Context(), channel)
		}, func(_ *testing.T, k *kept) { *k = kept{} }},
		{"load", func(t *testing.T, a *sdsaws.Adapter) error {
			_, err := a.LoadChannel(t.Context(), channel)
			return err
		}, nothing},
	}
}

// successor is what the adapter that replaces another does before the other's request arrives.
type successor struct {
	name string
	do   func(t *testing.T, a *sdsaws.Adapter, k *kept)
}

var successors = []successor{
	{"claims", func(*testing.T, *sdsaws.Adapter, *kept) {}},
	{"commits", goesOn},
	{"sweeps", func(t *testing.T, a *sdsaws.Adapter, k *kept) {
		goesOn(t, a, k)
		if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
			t.Fatal(err)
		}
	}},
	{"archives", func(t *testing.T, a *sdsaws.Adapter, k *kept) {
		goesOn(t, a, k)
		if _, err := a.Archive(t.Context(), channel); err != nil {
			t.Fatal(err)
		}
	}},
	{"drops", drops},
	{"drops and creates", func(t *testing.T, a *sdsaws.Adapter, k *kept) {
		drops(t, a, k)
		k.commit(t, a, largeMeta(60), update(append(names(0, 6), "L0", "L50", "z0"), []string{"m0"}))
		goesOn(t, a, k)
	}},
}

// goesOn commits: new messages, large ones, one that is seen again after it was evicted, and
// the oldest go.
func goesOn(t *testing.T, a *sdsaws.Adapter, k *kept) {
	t.Helper()
	u := update([]string{"m0", "s0", "s1", "L60"}, []string{"m5", "m7", "L3", "s0"})
	k.commit(t, a, largeMeta(61), u)
	k.commit(t, a, largeMeta(62), update([]string{"L61"}, []string{"m8"}))
}

func drops(t *testing.T, a *sdsaws.Adapter, k *kept) {
	t.Helper()
	if err := a.DropChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	*k = kept{}
}

// TestAZombiesRequests: of each write of each call, one after the other, the process is frozen
// when it sends it, or dies and the network delivers it late; meanwhile another adapter takes
// the channel over and works with it. Then the request arrives, and the frozen process goes on.
// What was committed is as the successor has left it.
func TestAZombiesRequests(t *testing.T) {
	base, k := lived(t)
	for _, c := range calls() {
		for _, s := range successors {
			for _, freezes := range []bool{true, false} {
				how := "dies"
				if freezes {
					how = "is frozen"
				}
				t.Run(fmt.Sprintf("%s, %s, its successor %s", c.name, how, s.name), func(t *testing.T) {
					upwards(t, "write", func(t *testing.T, n int) bool {
						m, k := base.copy(), *k
						return zombie(t, m, &k, c, s, freezes, n)
					})
				})
			}
		}
	}
}

// zombie lets one request arrive late: the n-th write of a call. It returns false when there are
// fewer.
func zombie(t *testing.T, m *memory, k *kept, c call, s successor, freezes bool, n int) bool {
	t.Helper()
	z := open(t, m, quiet)
	if c.name != "load" {
		loadsExactly(t, z, k)
	}
	commits := m.count("commit")
	var op string
	var arrive func() error
	if freezes {
		f := m.freeze(t, n, writes, func() error { return c.do(t, z) })
		op, arrive = f.op, f.goOn
	} else {
		d, _ := m.delay(n, writes, func() error { return c.do(t, z) })
		op, arrive = d.op, d.arrive
	}
	if op == "" {
		return false
	}
	t.Log(op)
	landed := m.count("commit") - commits
	if op == "commit" {
		landed--
	}
	if landed > 0 {
		c.note(t, k)
	}
	a := open(t, m, quiet)
	loadsExactly(t, a, k)
	s.do(t, a, k)
	err := arrive()
	switch {
	case freezes && c.name == "load": // it claims the channel as it is by now
		if err != nil {
			t.Fatal(err)
		}
		k.commit(t, z, meta(98), update([]string{"z0", "L50"}, []string{"m9"}))
	case freezes:
		again := z.Commit(t.Context(), channel, meta(99), appends("zombie"))
		if !errors.Is(again, sds.ErrFenced) {
			t.Fatalf("%v; then a commit: %v, want ErrFenced", err, again)
		}
	case only("commit", "stage", "claim")(op):
		if !errors.Is(err, store.ErrConflict) {
			t.Fatalf("%v, want ErrConflict", err)
		}
	}
	// What is put into the archive can't be fenced: a sweep removes it, or who finds out.
	segments := freezes && (c.name == "sweep" || c.name == "archive")
	if s.name == "drops" && (op != "put" || segments) && c.name != "load" {
		m.nothingAtAll(t, key)
	}
	m.judge(t, k)
	return true
}

// TestAZombiesDropForgetsNoHints: an adapter that was replaced and doesn't know it drops the
// channel. The hints of the messages in its buffers stay, for nothing is dropped.
func TestAZombiesDropForgetsNoHints(t *testing.T) {
	m, k := lived(t)
	z := open(t, m, quiet)
	loadsExactly(t, z, k)
	s := open(t, m, quiet)
	loadsExactly(t, s, k)
	for _, id := range []string{"in", "m5"} {
		if err := s.SetRetrievalHint(t.Context(), id, []byte("hint")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := z.DropChannel(t.Context(), channel); !errors.Is(err, sds.ErrFenced) {
		t.Fatalf("%v, want ErrFenced", err)
	}
	if hints, err := m.Hints(t.Context(), key.Namespace, []string{"in", "m5"}); err != nil || len(hints) != 2 {
		t.Fatalf("%d of 2 hints are there, %v", len(hints), err)
	}
	m.judge(t, k)
}

// TestAZombieCreatesAChannel: the request that creates a channel's head arrives when another
// has created it, and perhaps dropped it.
func TestAZombieCreatesAChannel(t *testing.T) {
	for _, s := range successors {
		t.Run(s.name, func(t *testing.T) {
			m, k := newMemory(), &kept{}
			z := open(t, m, quiet)
			d, err := m.delay(1, only("commit"), func() error {
				return z.Commit(t.Context(), channel, meta(50), appends("z"))
			})
			if !errors.Is(err, errInjected) {
				t.Fatal(err)
			}
			a := open(t, m, quiet)
			loadsExactly(t, a, k)
			s.do(t, a, k)
			if err := d.arrive(); !errors.Is(err, store.ErrConflict) {
				t.Fatalf("%v, want ErrConflict", err)
			}
			m.judge(t, k)
		})
	}
}
