package sdstest

import (
	"fmt"
	"strings"
)

func dropEmpties(e *env) {
	s := e.open()
	c := e.chat("c")
	c.pair(s, some("a", "b", "d"))
	c.pair(s, nil, "a")
	c.holdsAnew(s)
	s = e.open() // that has not loaded it
	c.drop(s)
	c.holds(s)
	c.holds(e.open())

	s = e.open()
	c.commit(s, some("a"))
	c.drop(s) // that has
	c.holds(e.open())
}

func dropIsOfOne(e *env) {
	s := e.open()
	c, d, f := e.chat("c"), e.chat("c/d"), e.chat("b")
	for _, each := range []*chat{c, d, f} {
		each.pair(s, some("a", "b"))
	}
	c.drop(s)
	for _, each := range []*chat{c, d, f} {
		s = each.holdsAnew(s)
	}
}

func useAfterDrop(e *env) {
	s := e.open()
	c := e.chat("c")
	for range 3 {
		c.pair(s, some("a", "b"), "a")
		c.drop(s)
	}
	c.pair(s, some("b", "d"))
	s = c.holdsAnew(s)
	c.drop(s)
	c.commit(s, one("b", 9, "other bytes"))
	s = c.holdsAnew(s)
	c.drop(s)
	c.save(s)
	c.holdsAnew(s)
}

func dropNothing(e *env) {
	s := e.open()
	c := e.chat("c")
	c.drop(s)
	c.holdsAnew(s)
	s = e.open()
	c.pair(s, some("a"))
	c.drop(s)
	c.drop(s)
	s = c.holdsAnew(s)
	c.drop(s)
	c.holdsAnew(s)
}

func dropWaiting(e *env) {
	s := e.open()
	c := e.chat("c")
	c.pair(s, some("a"))
	c.save(s)
	c.drop(s)
	s = c.holdsAnew(s)
	c.edit(s, some("a"))
	c.drop(s)
	c.holdsAnew(s)
}

// hostileIDs look like something else to whoever does not take ids as bytes.
var hostileIDs = []string{
	"\x00", "\x00\x00", "a\x00", "a", "A", "\xff", "\xff\xfe", "\xfe", "\xc3\x28", "é", "e\u0301",
	"/", "a/b", "a%2Fb", "a//b", "..", "../a", ".", "a b", "a+b", "\n", "\"", "'", "*", "?", "#", "~",
	":sha256:", "m#0000000000000000", "n#",
	strings.Repeat("x", 2<<10), strings.Repeat("x", 2<<10) + "y", strings.Repeat("\xff", 100<<10),
}

func channelsApart(e *env) {
	s := e.open()
	var all []*chat
	for i, id := range hostileIDs {
		c := e.chat(id)
		c.saves = int64(i) // a snapshot of its own
		c.pair(s, one("a", 1, fmt.Sprint("of channel ", i)))
		all = append(all, c)
	}
	e.ok(s.Flush(e.ctx))
	s = e.open()
	for _, c := range all {
		c.holds(s)
	}
	for i, c := range all {
		if i%3 == 0 {
			c.drop(s)
		}
	}
	s = e.open()
	for _, c := range all {
		c.holds(s)
	}
}

func participantsApart(e *env) {
	s, other := e.open(), e.openOther(e.T)
	mine, theirs := e.chat("c"), e.chat("c")
	mine.pair(s, some("a"))
	theirs.saves = 50
	theirs.holds(other) // claims nothing of mine
	theirs.pair(other, one("a", 1, "theirs"))
	mine.pair(s, some("b"))
	e.ok(s.SetRetrievalHint(e.ctx, "a", []byte("mine")))
	e.ok(other.Flush(e.ctx))
	s = mine.holdsAnew(s)
	theirs.holds(e.openOther(e.T))
	got, err := e.openOther(e.T).Hints(e.ctx, "a")
	if e.ok(err); len(got) != 0 {
		e.Errorf("another participant has the hint %q", got)
	}
	mine.drop(s)
	theirs.holds(e.openOther(e.T))
}
