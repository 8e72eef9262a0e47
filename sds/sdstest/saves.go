package sdstest

import (
	"bytes"
	mathrand "math/rand/v2"

	"github.com/sdsaws/sdsaws/sds"
)

func unknownChannel(e *env) {
	s := e.open()
	c := e.chat("unknown")
	c.holds(s)
	c.holds(s) // a load leaves nothing that a second one finds
	got, err := s.LoadChannel(e.ctx, "unknown too")
	e.ok(err)
	if m := got.Meta; m.SchemaVersion != sds.SchemaVersion || m.LamportTimestamp != 0 ||
		len(m.OutgoingBuffer)+len(m.IncomingBuffer) != 0 || len(got.MessageHistory) != 0 {
		e.Errorf("an unknown channel is %+v", got)
	}
	c.holdsAnew(s)
}

func pairComesBack(e *env) {
	s := e.open()
	c := e.chat("c")
	c.holds(s)
	for _, id := range []string{"a", "b", "d"} {
		c.pair(s, one(id, 1, "content of "+id))
		c.holds(s)
	}
	s = c.holdsAnew(s)
	c.pair(s, some("e", "f"), "a")
	c.holdsAnew(c.holdsAnew(s))
}

func decodedAndEncoded(e *env) {
	s := e.open()
	c := e.chat("c")
	u := sds.EncodedHistoryUpdate{Append: some("a", "b", "d"), Evict: []string{"a"}}
	meta := snapshotValue(7)
	e.ok(s.SaveChannelMeta(e.ctx, c.id, &meta))
	e.ok(s.UpdateHistory(e.ctx, c.id, decodedUpdate(u)))
	c.meta = snapshot(7)
	c.update(u)
	s = c.holdsAnew(s)

	c = e.chat("d")
	meta = snapshotValue(8)
	e.ok(s.Commit(e.ctx, c.id, &meta, decodedUpdate(u)))
	c.meta = snapshot(8)
	c.update(u)
	s = c.holdsAnew(s)

	got, err := s.LoadChannel(e.ctx, c.id)
	e.ok(err)
	var messages [][]byte
	for i := range got.MessageHistory {
		messages = append(messages, encode(got.MessageHistory[i].MarshalBinary()))
	}
	data := sds.EncodedChannelData{Meta: encode(got.Meta.MarshalBinary()), Messages: messages}
	if d := c.difference(data); d != "" {
		e.Errorf("decoded: %s", d)
	}
}

func snapshotAfterFlush(e *env) {
	s := e.open()
	c := e.chat("c")
	c.save(s)
	c.holdsAnew(s)

	s = e.open()
	c.pair(s, some("a"))
	c.save(s)
	c.save(s)
	c.holdsAnew(s)
}

func snapshotAfterClose(e *env) {
	s := e.open()
	c := e.chat("c")
	c.pair(s, some("a"))
	c.save(s)
	e.ok(s.Close(e.ctx))
	c.holds(e.open())
}

func savingAgain(e *env) {
	s := e.open()
	c := e.chat("c")
	c.pair(s, some("a"))
	for range 3 {
		e.ok(s.SaveEncodedMeta(e.ctx, c.id, c.meta))
		c.edit(s, some("a"))
	}
	s = c.holdsAnew(s)
	e.ok(s.SaveEncodedMeta(e.ctx, c.id, c.meta))
	u := sds.EncodedHistoryUpdate{Append: some("a")}
	e.ok(s.CommitEncoded(e.ctx, c.id, c.meta, u))
	s = c.holdsAnew(s)

	// What equals an older snapshot counts none the less.
	first := c.meta
	for range 2 {
		c.pair(s, nil)
		c.meta = first
		e.ok(s.SaveEncodedMeta(e.ctx, c.id, first))
		c.edit(s, nil)
	}
	c.holdsAnew(s)
}

func emptyUpdate(e *env) {
	s := e.open()
	c := e.chat("c")
	e.ok(s.UpdateHistory(e.ctx, c.id, &sds.HistoryUpdate{}))
	c.edit(s, nil)
	s = c.holdsAnew(s)
	c.pair(s, some("a"))
	e.ok(s.UpdateHistory(e.ctx, c.id, &sds.HistoryUpdate{}))
	s = c.holdsAnew(s)
	c.pair(s, nil)
	s = c.holdsAnew(s)
	c.commit(s, nil)
	c.holdsAnew(s)
}

// large is how much a single value may have for sure: it fits a DynamoDB item even when
// it can't be compressed.
const large = 280 << 10

func largeValues(e *env) {
	noise := mathrand.NewChaCha8([32]byte{1})
	content := func() string {
		b := make([]byte, large)
		_, _ = noise.Read(b) // never fails
		return string(b)
	}
	s := e.open()
	c := e.chat("c")
	meta := snapshotValue(1)
	meta.OutgoingBuffer[0].Message.Content = []byte(content())
	c.meta = encode(meta.MarshalBinary())
	e.ok(s.SaveEncodedMeta(e.ctx, c.id, c.meta))
	c.edit(s, append(one("a", 1, content()), one("b", 2, content())...))
	s = c.holdsAnew(s)
	c.commit(s, one("big but regular", 3, string(bytes.Repeat([]byte("text "), large/5))), "a")
	c.holdsAnew(s)
}
