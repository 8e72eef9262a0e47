package sdstest

import (
	"errors"

	"github.com/sdsaws/sdsaws/sds"
)

// fenced expects that a store which lost the channel can't write to it. A store that
// only accepts may notice when it flushes.
func (c *chat) fenced(s Store) {
	c.e.Helper()
	err := errors.Join(s.SaveEncodedMeta(c.e.ctx, c.id, snapshot(1000)),
		s.UpdateEncodedHistory(c.e.ctx, c.id, sds.EncodedHistoryUpdate{Append: some("fenced"), Evict: []string{"b"}}))
	if !c.e.durable {
		err = errors.Join(err, s.Flush(c.e.ctx))
	}
	c.e.fails("pair of a fenced store", err, sds.ErrFenced)
	if c.e.offers&committing != 0 {
		c.e.fails("commit of a fenced store", s.CommitEncoded(c.e.ctx, c.id, snapshot(1001),
			sds.EncodedHistoryUpdate{Append: some("fenced")}), sds.ErrFenced)
	}
}

func loadFences(e *env) {
	a, b := e.open(), e.open()
	c := e.chat("c")
	c.holds(a)
	c.pair(a, some("a", "b"))
	if !e.durable {
		e.ok(a.Flush(e.ctx))
	}
	c.holds(b)
	c.fenced(a)
	c.holds(b)
	c.pair(b, some("d"), "a")
	c.fenced(a)
	c.holds(b)

	c.holds(a) // and claims it back
	c.pair(a, some("e"))
	if !e.durable {
		e.ok(a.Flush(e.ctx))
	}
	c.fenced(b)
	c.holds(a)
	c.holdsAnew(a)
}

func staysFenced(e *env) {
	a, b := e.open(), e.open()
	c, free := e.chat("c"), e.chat("free")
	c.commit(a, some("a", "b"))
	free.commit(a, some("a"))
	c.holds(b)
	c.fenced(a)
	for range 3 {
		e.fails("Save", errors.Join(a.SaveEncodedMeta(e.ctx, c.id, snapshot(1000)), a.Flush(e.ctx)),
			sds.ErrFenced)
		e.fails("Flush", a.Flush(e.ctx), sds.ErrFenced)
		c.fenced(a)
		e.fails("DropChannel", a.DropChannel(e.ctx, c.id), sds.ErrFenced)
		free.commit(a, some("b"), "a") // another channel is not concerned
	}
	c.holds(b)
	c.commit(b, some("d"))

	c.holds(a)
	free.pair(a, some("d"))
	e.ok(a.Flush(e.ctx)) // of what was refused nothing is left
	c.holds(a)
	free.holds(a)
	c.fenced(b)
	c.commit(a, nil, "a")
	c.holdsAnew(a)
}

func firstWriteClaims(e *env) {
	a, b := e.open(), e.open()
	c := e.chat("c")
	c.pair(a, some("a", "b")) // nobody has loaded it
	if !e.durable {
		e.ok(a.Flush(e.ctx))
	}
	c.pair(b, some("d"), "a")
	if !e.durable {
		e.ok(b.Flush(e.ctx))
	}
	c.fenced(a)
	c.holds(b)
	c.fenced(a)
	c.commit(e.open(), some("e"), "b")
	c.fenced(b)
	c.holdsAnew(e.open())
}

func unknownChannelClaims(e *env) {
	a, b := e.open(), e.open()
	c := e.chat("c")
	c.holds(a)
	c.holds(b)
	c.fenced(a)
	c.holds(b)
	c.pair(b, some("a"))
	c.holdsAnew(b)
}
