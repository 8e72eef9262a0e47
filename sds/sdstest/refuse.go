package sdstest

import (
	"bytes"
	"context"
	"fmt"
	"math"

	"github.com/sdsaws/sdsaws/sds"
)

// attempt is a call that must be refused.
type attempt struct {
	what string
	call func(s Store) error
}

// refused expects that each attempt on the channel fails with one of want, and that
// none changes anything.
func (c *chat) refused(attempts []attempt, want ...error) {
	c.e.Helper()
	s := c.e.open()
	c.pair(s, some("a", "b"), "a")
	for _, a := range attempts {
		c.e.fails(a.what, a.call(s), want...)
		c.holds(s)
	}
	s = c.holdsAnew(s)
	c.pair(s, some("d"))
	c.holdsAnew(s)
}

func load(s Store, ctx context.Context, id string) error { //nolint:revive // as methods have it
	_, err := s.LoadChannel(ctx, id)
	return err
}

func loadEncoded(s Store, ctx context.Context, id string) error { //nolint:revive // likewise
	_, err := s.LoadEncodedChannel(ctx, id)
	return err
}

// operations returns every operation on a channel, with good arguments.
func operations(ctx context.Context, id string) []attempt {
	meta, update := snapshotValue(99), decodedUpdate(sds.EncodedHistoryUpdate{Append: some("z")})
	raw, encodedUpdate := snapshot(99), sds.EncodedHistoryUpdate{Append: some("z")}
	return []attempt{
		{"SaveChannelMeta", func(s Store) error { return s.SaveChannelMeta(ctx, id, &meta) }},
		{"SaveEncodedMeta", func(s Store) error { return s.SaveEncodedMeta(ctx, id, raw) }},
		{"UpdateHistory", func(s Store) error { return s.UpdateHistory(ctx, id, update) }},
		{"UpdateEncodedHistory", func(s Store) error { return s.UpdateEncodedHistory(ctx, id, encodedUpdate) }},
		{"Commit", func(s Store) error { return s.Commit(ctx, id, &meta, update) }},
		{"CommitEncoded", func(s Store) error { return s.CommitEncoded(ctx, id, raw, encodedUpdate) }},
		{"LoadChannel", func(s Store) error { return load(s, ctx, id) }},
		{"LoadEncodedChannel", func(s Store) error { return loadEncoded(s, ctx, id) }},
		{"DropChannel", func(s Store) error { return s.DropChannel(ctx, id) }},
	}
}

// others returns the operations that are on no channel.
func (e *env) others(ctx context.Context) []attempt {
	all := []attempt{
		{"SetRetrievalHint", func(s Store) error { return s.SetRetrievalHint(ctx, "a", []byte("hint")) }},
		{"Flush", func(s Store) error { return s.Flush(ctx) }},
	}
	if e.offers&hinting != 0 {
		all = append(all, attempt{"Hints", func(s Store) error {
			_, err := s.Hints(ctx, "a")
			return err
		}})
	}
	return all
}

func emptyChannelID(e *env) {
	e.chat("c").refused(operations(e.ctx, ""), sds.ErrInvalidArgument)
}

func nilArguments(e *env) {
	meta, update := snapshotValue(99), decodedUpdate(sds.EncodedHistoryUpdate{Append: some("z")})
	var none context.Context
	c := e.chat("c")
	c.refused(append(append(operations(none, c.id), e.others(none)...),
		attempt{"nil snapshot", func(s Store) error { return s.SaveChannelMeta(e.ctx, c.id, nil) }},
		attempt{"nil update", func(s Store) error { return s.UpdateHistory(e.ctx, c.id, nil) }},
		attempt{"pair without snapshot", func(s Store) error { return s.Commit(e.ctx, c.id, nil, update) }},
		attempt{"pair without update", func(s Store) error { return s.Commit(e.ctx, c.id, &meta, nil) }},
	), sds.ErrInvalidArgument)
}

func numbersOutOfRange(e *env) {
	c := e.chat("c")
	var all []attempt
	for _, n := range []int64{-1, math.MinInt64} {
		for name, meta := range outOfRange(n) {
			raw := encode(meta.MarshalBinary())
			all = append(all,
				attempt{name, func(s Store) error { return s.SaveChannelMeta(e.ctx, c.id, &meta) }},
				attempt{name + ", encoded", func(s Store) error { return s.SaveEncodedMeta(e.ctx, c.id, raw) }},
				attempt{name + ", pair", func(s Store) error {
					return s.Commit(e.ctx, c.id, &meta, &sds.HistoryUpdate{Evict: []string{"b"}})
				}})
		}
		// A good message before the bad one must not be taken either.
		u := sds.HistoryUpdate{
			Append: []sds.Message{messageValue("good", 1, "x"), messageValue("bad", n, "x")},
			Evict:  []string{"b"}}
		raw := sds.EncodedHistoryUpdate{
			Append: append(some("good"), message("bad", n, "x")), Evict: u.Evict}
		all = append(all,
			attempt{"appended message", func(s Store) error { return s.UpdateHistory(e.ctx, c.id, &u) }},
			attempt{"appended message, encoded", func(s Store) error {
				return s.UpdateEncodedHistory(e.ctx, c.id, raw)
			}})
	}
	c.refused(all, sds.ErrOutOfRange)
}

// outOfRange returns snapshots with n in one place each.
func outOfRange(n int64) map[string]sds.ChannelMeta {
	all := map[string]sds.ChannelMeta{}
	for name, set := range map[string]func(m *sds.ChannelMeta){
		"snapshot's clock":    func(m *sds.ChannelMeta) { m.LamportTimestamp = n },
		"outgoing clock":      func(m *sds.ChannelMeta) { m.OutgoingBuffer[0].Message.LamportTimestamp = n },
		"outgoing time":       func(m *sds.ChannelMeta) { m.OutgoingBuffer[0].SendTimeMs = n },
		"incoming clock":      func(m *sds.ChannelMeta) { m.IncomingBuffer[0].Message.LamportTimestamp = n },
		"time of own repair":  func(m *sds.ChannelMeta) { m.OutgoingRepairBuffer[0].MinTimeMs = n },
		"time of peer repair": func(m *sds.ChannelMeta) { m.IncomingRepairBuffer[0].MinTimeMs = n },
	} {
		m := snapshotValue(99)
		set(&m)
		all[fmt.Sprintf("%s %d", name, n)] = m
	}
	return all
}

func schemaVersions(e *env) {
	c := e.chat("c")
	var all []attempt
	for _, version := range []uint32{0, 2, math.MaxUint32} {
		meta := snapshotValue(99)
		meta.SchemaVersion = version
		raw := encode(meta.MarshalBinary())
		name := fmt.Sprintf("version %d", version)
		all = append(all,
			attempt{name, func(s Store) error { return s.SaveChannelMeta(e.ctx, c.id, &meta) }},
			attempt{name + ", encoded", func(s Store) error { return s.SaveEncodedMeta(e.ctx, c.id, raw) }},
			attempt{name + ", pair", func(s Store) error {
				return s.Commit(e.ctx, c.id, &meta, &sds.HistoryUpdate{Evict: []string{"b"}})
			}})
	}
	c.refused(all, sds.ErrSchemaVersion)
}

func undecodable(e *env) {
	c := e.chat("c")
	var all []attempt
	for i, meta := range damaged(snapshot(99)) {
		u := sds.EncodedHistoryUpdate{Append: some("good")}
		name := fmt.Sprintf("damaged snapshot %d", i)
		all = append(all,
			attempt{name, func(s Store) error { return s.SaveEncodedMeta(e.ctx, c.id, meta) }},
			attempt{name + ", pair", func(s Store) error { return s.CommitEncoded(e.ctx, c.id, meta, u) }})
	}
	for i, m := range damaged(message("bad", 1, "x")) {
		u := sds.EncodedHistoryUpdate{Append: append(some("good"), m), Evict: []string{"b"}}
		name := fmt.Sprintf("damaged message %d", i)
		all = append(all,
			attempt{name, func(s Store) error { return s.UpdateEncodedHistory(e.ctx, c.id, u) }},
			attempt{name + ", pair", func(s Store) error { return s.CommitEncoded(e.ctx, c.id, snapshot(98), u) }})
	}
	c.refused(all, sds.ErrMalformed, sds.ErrMissingField)
}

// damaged returns what no decoder takes for b's type.
func damaged(b []byte) [][]byte {
	return [][]byte{nil, {}, {0x08}, b[:len(b)-1], b[:1], append(bytes.Clone(b), 0x0b),
		append([]byte{0x88, 0x00, 0x01}, b[2:]...), // a tag longer than it need be
		bytes.Repeat([]byte{0xff}, 40)}
}

// refusedUpdate: the snapshot before a refused update was accepted.
func refusedUpdate(e *env) {
	s := e.open()
	c := e.chat("c")
	c.pair(s, some("a"))
	c.save(s)
	bad := sds.HistoryUpdate{Append: []sds.Message{messageValue("bad", -1, "x")}}
	e.fails("UpdateHistory", s.UpdateHistory(e.ctx, c.id, &bad), sds.ErrOutOfRange)
	c.edit(s, some("b"))
	s = c.holdsAnew(s)
	c.save(s)
	e.fails("UpdateHistory", s.UpdateHistory(e.ctx, c.id, nil), sds.ErrInvalidArgument)
	c.holdsAnew(s)
}

func closedStore(e *env) {
	s := e.open()
	c := e.chat("c")
	c.pair(s, some("a"))
	e.ok(s.Close(e.ctx))
	for _, a := range append(append(operations(e.ctx, c.id), operations(e.ctx, "new")...), e.others(e.ctx)...) {
		e.fails(a.what, a.call(s), sds.ErrClosed)
	}
	s = e.open()
	c.holds(s)
	e.chat("new").holds(s)
}
