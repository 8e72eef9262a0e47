package sds

import "slices"

// Each type has a length and an append of the same fields in the same order: nested
// values are written with their length in front, in one pass.

func (e *HistoryEntry) len() int {
	n := fieldLen(len(e.MessageID))
	if len(e.RetrievalHint) > 0 {
		n += fieldLen(len(e.RetrievalHint))
	}
	if e.SenderID != "" {
		n += fieldLen(len(e.SenderID))
	}
	return n
}

func (e *HistoryEntry) append(b []byte) []byte {
	b = appendField(b, 1, e.MessageID)
	if len(e.RetrievalHint) > 0 {
		b = appendField(b, 2, e.RetrievalHint)
	}
	if e.SenderID != "" {
		b = appendField(b, 3, e.SenderID)
	}
	return b
}

func (m *Message) len() int {
	n := fieldLen(len(m.MessageID)) + varintFieldLen(uint64(m.LamportTimestamp)) +
		fieldLen(len(m.ChannelID)) + fieldLen(len(m.Content)) + fieldLen(len(m.BloomFilter))
	for i := range m.CausalHistory {
		n += fieldLen(m.CausalHistory[i].len())
	}
	if m.SenderID != "" {
		n += fieldLen(len(m.SenderID))
	}
	for i := range m.RepairRequest {
		n += fieldLen(m.RepairRequest[i].len())
	}
	return n
}

func (m *Message) append(b []byte) []byte {
	b = appendField(b, 1, m.MessageID)
	b = appendVarintField(b, 2, uint64(m.LamportTimestamp))
	for i := range m.CausalHistory {
		b = nested(b, 3, &m.CausalHistory[i])
	}
	b = appendField(b, 4, m.ChannelID)
	b = appendField(b, 5, m.Content)
	b = appendField(b, 6, m.BloomFilter)
	if m.SenderID != "" {
		b = appendField(b, 7, m.SenderID)
	}
	for i := range m.RepairRequest {
		b = nested(b, 13, &m.RepairRequest[i])
	}
	return b
}

func (o *OutgoingMessage) len() int {
	return fieldLen(o.Message.len()) + varintFieldLen(uint64(o.SendTimeMs)) +
		varintFieldLen(uint64(o.ResendAttempts))
}

func (o *OutgoingMessage) append(b []byte) []byte {
	b = nested(b, 1, &o.Message)
	b = appendVarintField(b, 2, uint64(o.SendTimeMs))
	return appendVarintField(b, 3, uint64(o.ResendAttempts))
}

func (in *IncomingMessage) len() int {
	n := fieldLen(in.Message.len())
	for _, id := range in.MissingDeps {
		n += fieldLen(len(id))
	}
	return n
}

func (in *IncomingMessage) append(b []byte) []byte {
	b = nested(b, 1, &in.Message)
	for _, id := range in.MissingDeps {
		b = appendField(b, 2, id)
	}
	return b
}

func (o *OutgoingRepair) inner() int {
	return fieldLen(o.HistoryEntry.len()) + varintFieldLen(uint64(o.MinTimeMs))
}

func (o *OutgoingRepair) len() int { return fieldLen(len(o.MessageID)) + fieldLen(o.inner()) }

func (o *OutgoingRepair) append(b []byte) []byte {
	b = appendField(b, 1, o.MessageID)
	b = appendHead(b, 2, o.inner())
	b = nested(b, 1, &o.HistoryEntry)
	return appendVarintField(b, 2, uint64(o.MinTimeMs))
}

func (in *IncomingRepair) inner() int {
	return fieldLen(in.HistoryEntry.len()) + fieldLen(len(in.CachedMessage)) +
		varintFieldLen(uint64(in.MinTimeMs))
}

func (in *IncomingRepair) len() int { return fieldLen(len(in.MessageID)) + fieldLen(in.inner()) }

func (in *IncomingRepair) append(b []byte) []byte {
	b = appendField(b, 1, in.MessageID)
	b = appendHead(b, 2, in.inner())
	b = nested(b, 1, &in.HistoryEntry)
	b = appendField(b, 2, in.CachedMessage)
	return appendVarintField(b, 3, uint64(in.MinTimeMs))
}

func (m *ChannelMeta) len() int {
	return varintFieldLen(uint64(m.SchemaVersion)) + varintFieldLen(uint64(m.LamportTimestamp)) +
		allLen(m.OutgoingBuffer) + allLen(m.IncomingBuffer) +
		allLen(m.OutgoingRepairBuffer) + allLen(m.IncomingRepairBuffer)
}

func (m *ChannelMeta) append(b []byte) []byte {
	b = appendVarintField(b, 1, uint64(m.SchemaVersion))
	b = appendVarintField(b, 2, uint64(m.LamportTimestamp))
	b = appendAll(b, 3, m.OutgoingBuffer)
	b = appendAll(b, 4, m.IncomingBuffer)
	b = appendAll(b, 5, m.OutgoingRepairBuffer)
	return appendAll(b, 6, m.IncomingRepairBuffer)
}

func (d *ChannelData) len() int { return fieldLen(d.Meta.len()) + allLen(d.MessageHistory) }

func (d *ChannelData) append(b []byte) []byte {
	return appendAll(nested(b, 1, &d.Meta), 2, d.MessageHistory)
}

func (u *HistoryUpdate) len() int {
	n := allLen(u.Append)
	for _, id := range u.Evict {
		n += fieldLen(len(id))
	}
	return n
}

func (u *HistoryUpdate) append(b []byte) []byte {
	b = appendAll(b, 1, u.Append)
	for _, id := range u.Evict {
		b = appendField(b, 2, id)
	}
	return b
}

// value is a pointer to one of the types.
type value interface {
	len() int
	append(b []byte) []byte
}

func nested(b []byte, number int, v value) []byte {
	return v.append(appendHead(b, number, v.len()))
}

type pointer[T any] interface {
	*T
	value
}

func allLen[T any, P pointer[T]](all []T) (n int) {
	for i := range all {
		n += fieldLen(P(&all[i]).len())
	}
	return n
}

func appendAll[T any, P pointer[T]](b []byte, number int, all []T) []byte {
	for i := range all {
		b = nested(b, number, P(&all[i]))
	}
	return b
}

func appendValue(b []byte, v value) []byte { return v.append(slices.Grow(b, v.len())) }

// AppendBinary appends the encoding of e to b. It never fails.
func (e *HistoryEntry) AppendBinary(b []byte) ([]byte, error) { return appendValue(b, e), nil }

// MarshalBinary returns the encoding of e. It never fails.
func (e *HistoryEntry) MarshalBinary() ([]byte, error) { return appendValue(nil, e), nil }

// AppendBinary appends the encoding of m to b. It never fails; a negative Lamport
// timestamp gives bytes that every decoder refuses.
func (m *Message) AppendBinary(b []byte) ([]byte, error) { return appendValue(b, m), nil }

// MarshalBinary returns the encoding of m, as AppendBinary has it.
func (m *Message) MarshalBinary() ([]byte, error) { return appendValue(nil, m), nil }

// AppendBinary appends the encoding of m to b. It never fails; an unknown schema version
// and negative integers give bytes that every decoder refuses.
func (m *ChannelMeta) AppendBinary(b []byte) ([]byte, error) { return appendValue(b, m), nil }

// MarshalBinary returns the encoding of m, as AppendBinary has it.
func (m *ChannelMeta) MarshalBinary() ([]byte, error) { return appendValue(nil, m), nil }

// AppendBinary appends the encoding of d to b, as ChannelMeta.AppendBinary does.
func (d *ChannelData) AppendBinary(b []byte) ([]byte, error) { return appendValue(b, d), nil }

// MarshalBinary returns the encoding of d, as AppendBinary has it.
func (d *ChannelData) MarshalBinary() ([]byte, error) { return appendValue(nil, d), nil }

// AppendBinary appends the encoding of u to b. It fails with ErrEmptyUpdate when u holds
// nothing.
func (u *HistoryUpdate) AppendBinary(b []byte) ([]byte, error) {
	if len(u.Append) == 0 && len(u.Evict) == 0 {
		return b, ErrEmptyUpdate
	}
	return appendValue(b, u), nil
}

// MarshalBinary returns the encoding of u, as AppendBinary has it.
func (u *HistoryUpdate) MarshalBinary() ([]byte, error) { return u.AppendBinary(nil) }
