package sdstest

import (
	"flag"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"time"
)

// contractOrder has clocks and ids that every other order puts elsewhere: by arrival, as
// text, without case, as UTF-8, by length.
func contractOrder(e *env) {
	var all [][]byte
	for _, lamport := range []int64{0, 9, 10, 100, 1 << 40, math.MaxInt64} {
		for _, id := range []string{"", "\x00", "B", "a", "ab", "b", "é", "\xc3", "\xff", "\xff\x00", "\U0001F600"} {
			all = append(all, message(fmt.Sprintf("%s%d", id, lamport%7), lamport, "x"))
		}
	}
	r := mathrand.New(mathrand.NewPCG(1, 2)) //nolint:gosec // a test's
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	s := e.open()
	c := e.chat("c")
	half := len(all) / 2
	c.pair(s, all[:half])
	c.edit(s, all[half:half+1])
	c.edit(s, all[half+1:])
	c.holds(s)
	c.holdsAnew(s)
}

func appendSame(e *env) {
	s := e.open()
	c := e.chat("c")
	c.pair(s, some("a", "b"))
	c.pair(s, some("a", "b", "d"))
	c.pair(s, append(some("a"), some("a")...))
	c.holds(s)
	s = c.holdsAnew(s)
	c.pair(s, some("a"))
	s = c.holdsAnew(s)
	c.pair(s, nil, "a") // once appended twice, and gone
	c.holdsAnew(s)
}

func appendOther(e *env) {
	s := e.open()
	c := e.chat("c")
	c.pair(s, some("a", "b"))
	c.pair(s, one("a", 1, "second"))
	c.holds(s)
	s = c.holdsAnew(s)
	c.pair(s, one("a", 3, "third, and now after b"))
	s = c.holdsAnew(s)
	c.pair(s, append(one("b", 2, "second"), one("b", 2, "third")...))
	s = c.holdsAnew(s)
	c.pair(s, some("a")) // the first bytes again
	s = c.holdsAnew(s)
	c.pair(s, nil, "a")
	c.holdsAnew(s)
}

func evictUnknown(e *env) {
	s := e.open()
	c := e.chat("c")
	c.pair(s, nil, "a")
	s = c.holdsAnew(s)
	c.pair(s, some("a"), "b", "", "a\x00", "in", "out") // in and out are in buffers alone
	s = c.holdsAnew(s)
	c.pair(s, nil, "a", "a", "b")
	c.pair(s, nil, "a")
	c.holdsAnew(s)
}

func appendEvicted(e *env) {
	s := e.open()
	c := e.chat("c")
	c.pair(s, some("a", "b"))
	c.pair(s, nil, "a")
	c.pair(s, some("a"))
	s = c.holdsAnew(s)
	c.pair(s, nil, "a", "b")
	s = c.holdsAnew(s)
	c.pair(s, one("a", 1, "other bytes"))
	c.holds(s)
	s = c.holdsAnew(s)
	c.pair(s, nil, "a")
	c.pair(s, some("b"))
	c.holdsAnew(s)
}

func appendsFirst(e *env) {
	s := e.open()
	c := e.chat("c")
	c.pair(s, some("a", "b"), "a")
	s = c.holdsAnew(s)
	c.pair(s, one("b", 2, "replaced and evicted"), "b")
	s = c.holdsAnew(s)
	c.commit(s, some("a"), "a", "b")
	c.holdsAnew(s)
}

func evictUncommitted(e *env) {
	s := e.open()
	c := e.chat("c")
	c.edit(s, some("a", "b"))
	c.edit(s, nil, "a")
	s = c.holdsAnew(s)
	c.pair(s, some("a"))
	c.pair(s, nil, "a", "b")
	c.pair(s, some("a"))
	c.pair(s, one("a", 5, "other"), "b")
	c.pair(s, nil, "a")
	c.holdsAnew(s)
}

var seed = flag.Int64("sdstest.seed", 0, "seed of the random tests of package sdstest; 0: a new one")

func newRand(t *testing.T) *mathrand.Rand {
	t.Helper()
	n := *seed
	if n == 0 {
		n = time.Now().UnixNano()
	}
	t.Logf("repeat with -sdstest.seed=%d", n)
	return mathrand.New(mathrand.NewPCG(uint64(n), 0)) //nolint:gosec // a test's
}

// latestDecides does random things to three channels and holds what loads against what
// maps say.
func latestDecides(e *env) {
	steps := 150
	if testing.Short() {
		steps = 50
	}
	w := &walk{e: e, r: newRand(e.T), s: e.open()}
	for _, id := range []string{"a", "b", "a/b"} {
		w.chats = append(w.chats, e.chat(id))
	}
	for range steps {
		w.step()
	}
	for _, c := range w.chats {
		w.s = c.holdsAnew(w.s)
	}
}

type walk struct {
	e     *env
	r     *mathrand.Rand
	s     Store
	chats []*chat
}

func (w *walk) step() {
	w.e.Helper()
	c := w.chats[w.r.IntN(len(w.chats))]
	switch n := w.r.IntN(20); {
	case n < 3:
		c.save(w.s)
	case n < 7:
		c.edit(w.s, w.messages(), w.ids()...)
	case n < 11:
		c.pair(w.s, w.messages(), w.ids()...)
	case n < 14:
		c.commit(w.s, w.messages(), w.ids()...)
	case n < 16:
		c.holds(w.s)
	case n < 17:
		w.e.ok(w.s.Flush(w.e.ctx))
	case n < 18:
		c.drop(w.s)
	default:
		w.s = c.holdsAnew(w.s)
	}
}

// ids returns up to three of a few ids: most are known, and many are repeated.
func (w *walk) ids() []string {
	pool := []string{"", "a", "b", "ab", "\x00", "\xff", "é", "a/b"}
	ids := make([]string, w.r.IntN(4))
	for i := range ids {
		ids[i] = pool[w.r.IntN(len(pool))]
	}
	return ids
}

func (w *walk) messages() [][]byte {
	var all [][]byte
	for _, id := range w.ids() {
		version := w.r.Int64N(3)
		all = append(all, message(id, version/2, fmt.Sprint("version ", version)))
	}
	return all
}

func messageIDs(e *env) {
	s := e.open()
	c := e.chat("c")
	ids := append([]string{""}, hostileIDs...)
	var all [][]byte
	for _, id := range slices.Backward(ids) {
		all = append(all, message(id, 1, "content"))
	}
	c.pair(s, all)
	s = c.holdsAnew(s)
	for i, id := range ids {
		if i%2 == 0 {
			c.edit(s, nil, id)
		}
	}
	s = c.holdsAnew(s)
	c.commit(s, all[:3], ids[:3]...)
	got, err := s.LoadChannel(e.ctx, c.id)
	e.ok(err)
	for i, b := range c.sorted() {
		if i >= len(got.MessageHistory) || got.MessageHistory[i].MessageID != inspect(b).MessageID {
			e.Fatalf("message %d of %d is not %s", i, len(got.MessageHistory), names([][]byte{b}))
		}
	}
}
