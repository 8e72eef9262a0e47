package sdstest

import (
	"bytes"

	"github.com/sdsaws/sdsaws/sds"
)

// scribble overwrites bytes.
func scribble(all ...[]byte) {
	for _, b := range all {
		for i := range b {
			b[i] ^= 0xff
		}
	}
}

func scribbleMessage(m *sds.Message) {
	scribble(m.Content, m.BloomFilter)
	for _, entries := range [][]sds.HistoryEntry{m.CausalHistory, m.RepairRequest} {
		for i := range entries {
			scribble(entries[i].RetrievalHint)
			entries[i] = sds.HistoryEntry{MessageID: "scribbled"}
		}
	}
	m.MessageID = "scribbled"
}

func scribbleMeta(m *sds.ChannelMeta) {
	for i := range m.OutgoingBuffer {
		scribbleMessage(&m.OutgoingBuffer[i].Message)
	}
	for i := range m.IncomingBuffer {
		scribbleMessage(&m.IncomingBuffer[i].Message)
		for j := range m.IncomingBuffer[i].MissingDeps {
			m.IncomingBuffer[i].MissingDeps[j] = "scribbled"
		}
	}
	for i := range m.OutgoingRepairBuffer {
		scribble(m.OutgoingRepairBuffer[i].HistoryEntry.RetrievalHint)
		m.OutgoingRepairBuffer[i] = sds.OutgoingRepair{}
	}
	for i := range m.IncomingRepairBuffer {
		scribble(m.IncomingRepairBuffer[i].CachedMessage)
		m.IncomingRepairBuffer[i] = sds.IncomingRepair{}
	}
	m.LamportTimestamp = 1 << 40
}

// given hands over copies of a pair and scribbles over them at once.
func (c *chat) given(how string, s Store, appended [][]byte, evicted ...string) {
	c.e.Helper()
	want := sds.EncodedHistoryUpdate{Append: appended, Evict: evicted}
	raw := sds.EncodedHistoryUpdate{Evict: idsOf(evicted)}
	for _, b := range appended {
		raw.Append = append(raw.Append, bytes.Clone(b))
	}
	rawMeta := bytes.Clone(c.snapshot())
	meta := snapshotValue(c.saves)
	update := decodedUpdate(want)
	update.Evict = idsOf(evicted)
	ctx := c.e.ctx
	switch how {
	case "encoded":
		c.e.ok(s.SaveEncodedMeta(ctx, c.id, rawMeta))
		scribble(rawMeta)
		c.e.ok(s.UpdateEncodedHistory(ctx, c.id, raw))
	case "decoded":
		c.e.ok(s.SaveChannelMeta(ctx, c.id, &meta))
		scribbleMeta(&meta)
		c.e.ok(s.UpdateHistory(ctx, c.id, update))
	case "encoded pair":
		c.e.ok(s.CommitEncoded(ctx, c.id, rawMeta, raw))
		scribble(rawMeta)
	case "decoded pair":
		c.e.ok(s.Commit(ctx, c.id, &meta, update))
		scribbleMeta(&meta)
	}
	scribble(raw.Append...)
	for i := range raw.Append {
		raw.Append[i] = message("scribbled", 1, "x")
		scribbleMessage(&update.Append[i])
	}
	for i := range evicted {
		raw.Evict[i], update.Evict[i] = "scribbled", "scribbled"
	}
	c.update(want)
}

// idsOf returns the ids in a slice of its own.
func idsOf(ids []string) []string { return append([]string(nil), ids...) }

func slicesReused(e *env) {
	for _, how := range []string{"encoded", "decoded", "encoded pair", "decoded pair"} {
		s := e.open()
		c := e.chat(how)
		c.given(how, s, some("a", "b", "d"))
		c.given(how, s, one("e", 1, "x"), "a", "b")
		c.given(how, s, one("f", 9, "x"), "e")
		c.holds(s)
		c.holdsAnew(s)
	}
}

func hintSlices(e *env) {
	s := e.open()
	hint := []byte("hint")
	want := map[string]string{"a": "hint"}
	e.ok(s.SetRetrievalHint(e.ctx, "a", hint))
	scribble(hint)
	for range 2 {
		e.hints(s, want)
		got, err := s.Hints(e.ctx, "a")
		e.ok(err)
		scribble(got["a"])
		delete(got, "a")
		e.hints(s, want)
		e.ok(s.Flush(e.ctx))
	}
	e.hints(e.open(), want)
}

func loadedIsOwned(e *env) {
	s := e.open()
	c := e.chat("c")
	unknown := e.chat("unknown")
	c.pair(s, some("a", "b", "d"))
	for range 2 {
		for _, each := range []*chat{c, unknown} {
			got := each.load(s)
			scribble(got.Meta)
			scribble(got.Messages...)
			clear(got.Messages)
			decoded, err := s.LoadChannel(e.ctx, each.id)
			e.ok(err)
			scribbleMeta(&decoded.Meta)
			for i := range decoded.MessageHistory {
				scribbleMessage(&decoded.MessageHistory[i])
			}
			each.holds(s)
		}
		c.pair(s, some("e"), "a")
		s = c.holdsAnew(s)
	}
	e.chat("unknown too").holds(s)
}
