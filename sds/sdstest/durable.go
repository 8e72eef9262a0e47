package sdstest

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sdsaws/sdsaws/sds"
)

func commitIsDurable(e *env) {
	c := e.chat("c")
	for i := range 5 {
		s := e.open() // and abandoned
		c.commit(s, one(fmt.Sprint(i), int64(i), "x"), fmt.Sprint(i-2))
		c.holds(e.open())
	}
	s := e.open()
	c.pair(s, some("a"))
	c.save(s)
	c.commit(s, some("b")) // brings along what was accepted before
	c.holds(e.open())
}

func updateIsDurable(e *env) {
	c := e.chat("c")
	for i := range 5 {
		s := e.open()
		c.pair(s, one(fmt.Sprint(i), int64(i), "x"), fmt.Sprint(i-2))
		c.holds(e.open())
		s = e.open()
		c.edit(s, one(fmt.Sprint("b", i), int64(i), "x"))
		c.holds(e.open())
	}
	s := e.open()
	c.save(s)
	c.save(s)
	c.edit(s, nil, "4")
	c.holds(e.open())
}

func updateAfterFlush(e *env) {
	s := e.open()
	c, d := e.chat("c"), e.chat("d")
	c.pair(s, some("a", "b"))
	d.pair(s, some("b"), "a")
	c.edit(s, nil, "b")
	e.ok(s.Flush(e.ctx))
	fresh := e.open()
	c.holds(fresh)
	d.holds(fresh)
	e.ok(fresh.Flush(e.ctx)) // of nothing
	c.holds(fresh)
}

func updateAfterClose(e *env) {
	s := e.open()
	c, d := e.chat("c"), e.chat("d")
	c.pair(s, some("a", "b"))
	d.pair(s, some("b"), "a")
	c.edit(s, nil, "b")
	e.ok(s.Close(e.ctx))
	fresh := e.open()
	c.holds(fresh)
	d.holds(fresh)
}

// snapshotAlone abandons a store after a save: the old snapshot or the new one loads,
// with the history of before.
func snapshotAlone(e *env) {
	s := e.open()
	c := e.chat("c")
	c.pair(s, some("a", "b"), "a")
	s = c.holdsAnew(s)
	before := c.clone()
	c.save(s)
	fresh := e.open()
	got := c.load(fresh)
	if c.difference(got) != "" && before.difference(got) != "" {
		e.Fatalf("neither the state before nor after: %s", c.difference(got))
	}
	c.meta = got.Meta
	c.pair(fresh, some("d"))
	c.holdsAnew(fresh)
}

// steps returns the states that a channel goes through: after n pairs, each of which
// appends a message and evicts an older one.
type steps []state

func newSteps(n int) steps {
	all := steps{emptyState()}
	for i := 1; i <= n; i++ {
		next := all[i-1].clone()
		next.meta = snapshot(int64(i))
		next.update(stepUpdate(i))
		all = append(all, next)
	}
	return all
}

func stepUpdate(i int) sds.EncodedHistoryUpdate {
	return sds.EncodedHistoryUpdate{
		Append: one(fmt.Sprint(i), int64(i), "x"), Evict: []string{fmt.Sprint(i - 3)}}
}

// reached returns after how many pairs a channel is as it loaded.
func (all steps) reached(got sds.EncodedChannelData) (int, bool) {
	for i := range all {
		if all[i].difference(got) == "" {
			return i, true
		}
	}
	return 0, false
}

func abandonedPrefix(e *env) {
	const most = 12
	all := newSteps(most)
	for n := range most + 1 {
		s := e.open()
		c := e.chat(fmt.Sprint(n))
		c.holds(s) // claims it, which the load of a new store ends
		for i := 1; i <= n; i++ {
			c.save(s)
			c.edit(s, stepUpdate(i).Append, stepUpdate(i).Evict...)
		}
		fresh := e.open()
		got := c.load(fresh)
		k, ok := all.reached(got)
		if !ok || k > n {
			e.Fatalf("of %d pairs none leads to the history %q with snapshot %s",
				n, names(got.Messages), clip(got.Meta))
		}
		if e.durable && k < n {
			e.Fatalf("only %d of %d pairs are there", k, n)
		}
		// What the abandoned store may still send comes too late.
		_ = s.Flush(e.ctx)
		c.state = all[k].clone()
		c.holds(e.open())
	}
}

// pairNeverCut loads while another store writes pairs: that fences it at some point,
// which must lie between two pairs.
func pairNeverCut(e *env) {
	const most = 60
	all := newSteps(most)
	r := newRand(e.T)
	for round := range 20 {
		id := fmt.Sprint(round)
		s := e.open()
		w := &pairWriter{reached: make(chan struct{}), at: int64(1 + r.IntN(10))}
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.run(e, s, id, most)
		}()
		<-w.reached
		got, err := e.open().LoadEncodedChannel(e.ctx, id)
		<-done
		e.ok(err)
		if _, ok := all.reached(got); ok {
			continue
		}
		if w.slowest.Load() > int64(patience) {
			e.Logf("round %d says nothing: a save waited too long for its update", round)
			continue
		}
		e.Fatalf("between no two pairs: the history %q with snapshot %s", names(got.Messages), clip(got.Meta))
	}
}

// patience is for how long a store may be relied on to leave an open snapshot to its
// update: after some lag of its own it may store it alone.
const patience = 20 * time.Millisecond

// pairWriter writes pairs and tells when it has begun with number at.
type pairWriter struct {
	reached chan struct{}
	at      int64
	slowest atomic.Int64 // nanoseconds from a save to its update
}

func (w *pairWriter) run(e *env, s Store, id string, most int) {
	for i := 1; i <= most; i++ {
		if int64(i) == w.at {
			close(w.reached)
		}
		begin := time.Now()
		err := s.SaveEncodedMeta(e.ctx, id, snapshot(int64(i)))
		w.slowest.Store(max(w.slowest.Load(), int64(time.Since(begin))))
		if err == nil {
			err = s.UpdateEncodedHistory(e.ctx, id, stepUpdate(i))
		}
		if err != nil { // fenced
			break
		}
	}
}
