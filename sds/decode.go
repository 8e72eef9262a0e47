package sds

import (
	"bytes"
	"math"
)

// decoder reads values. One code both decodes and validates: with a nil destination
// nothing is built and nothing allocated.
//
// As the reference does, it goes by the last of the fields that may come once, and looks
// into that one only; a known field of another wire type counts as unknown.
type decoder struct {
	typ string
}

func (d decoder) fail(at int, field string, err error) error {
	return &DecodeError{Type: d.typ, Field: field, Offset: at, Err: err}
}

// within says that what err is about lies in a field.
func within(field string, err error) error {
	if e, ok := err.(*DecodeError); ok { //nolint:errorlint // made here, never wrapped
		if e.Field != "" {
			field += "." + e.Field
		}
		e.Field = field
	}
	return err
}

// end is called when next has returned false.
func (d decoder) end(r *fields) error {
	if r.bad {
		return d.fail(r.base+r.pos, "", ErrMalformed)
	}
	return nil
}

// once holds the last occurrence of a field.
type once struct {
	field
	seen bool
}

func (o *once) set(f field, wire byte) {
	if f.wire == wire {
		*o = once{f, true}
	}
}

// need returns an error for the first of the named fields that is missing.
func (d decoder) need(at int, all ...required) error {
	for _, f := range all {
		if !f.seen {
			return d.fail(at, f.name, ErrMissingField)
		}
	}
	return nil
}

type required struct {
	name string
	seen bool
}

// integer checks a Lamport timestamp or a time.
func (d decoder) integer(f once, name string) (int64, error) {
	if f.varint > math.MaxInt64 {
		return 0, d.fail(f.at, name, ErrOutOfRange)
	}
	return int64(f.varint), nil
}

func cloneValue(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}

func (d decoder) historyEntry(b []byte, base int, to *HistoryEntry) error {
	r := fields{b: b, base: base}
	var id, hint, sender once
	for f, ok := r.next(); ok; f, ok = r.next() {
		switch f.number {
		case 1:
			id.set(f, wireBytes)
		case 2:
			hint.set(f, wireBytes)
		case 3:
			sender.set(f, wireBytes)
		}
	}
	if err := d.end(&r); err != nil {
		return err
	}
	if err := d.need(base, required{"messageId", id.seen}); err != nil {
		return err
	}
	if to != nil {
		*to = HistoryEntry{string(id.value), cloneValue(hint.value), string(sender.value)}
	}
	return nil
}

// message decodes an encoded message; info, when not nil, gets its id and clock.
func (d decoder) message(b []byte, base int, to *Message, info *MessageInfo) error {
	r := fields{b: b, base: base}
	var id, lamport, channel, content, bloom, sender once
	var causal, repair []HistoryEntry
	for f, ok := r.next(); ok; f, ok = r.next() {
		var err error
		switch f.number {
		case 1:
			id.set(f, wireBytes)
		case 2:
			lamport.set(f, wireVarint)
		case 3:
			causal, err = addNested(f, causal, to != nil, "causalHistory", d.historyEntry)
		case 4:
			channel.set(f, wireBytes)
		case 5:
			content.set(f, wireBytes)
		case 6:
			bloom.set(f, wireBytes)
		case 7:
			sender.set(f, wireBytes)
		case 13:
			repair, err = addNested(f, repair, to != nil, "repairRequest", d.historyEntry)
		}
		if err != nil {
			return err
		}
	}
	if err := d.end(&r); err != nil {
		return err
	}
	if err := d.need(base, required{"messageId", id.seen}, required{"lamportTimestamp", lamport.seen},
		required{"channelId", channel.seen}, required{"content", content.seen}); err != nil {
		return err
	}
	clock, err := d.integer(lamport, "lamportTimestamp")
	if err != nil {
		return err
	}
	if info != nil {
		*info = MessageInfo{string(id.value), clock, string(sender.value)}
	}
	if to != nil {
		*to = Message{
			MessageID:        string(id.value),
			LamportTimestamp: clock,
			CausalHistory:    causal,
			ChannelID:        string(channel.value),
			Content:          cloneValue(content.value),
			BloomFilter:      cloneValue(bloom.value),
			SenderID:         string(sender.value),
			RepairRequest:    repair,
		}
	}
	return nil
}

// addNested decodes one of a repeated field and, when keep says so, adds it to all.
func addNested[T any](
	f field, all []T, keep bool, name string,
	decode func(b []byte, base int, to *T) error,
) ([]T, error) {
	if f.wire != wireBytes {
		return all, nil
	}
	if !keep {
		return all, within(name, decode(f.value, f.at, nil))
	}
	var v T
	if err := decode(f.value, f.at, &v); err != nil {
		return all, within(name, err)
	}
	return append(all, v), nil
}

func (d decoder) outgoing(b []byte, base int, to *OutgoingMessage) error {
	r := fields{b: b, base: base}
	var message, sent, attempts once
	for f, ok := r.next(); ok; f, ok = r.next() {
		switch f.number {
		case 1:
			message.set(f, wireBytes)
		case 2:
			sent.set(f, wireVarint)
		case 3:
			attempts.set(f, wireVarint)
		}
	}
	if err := d.end(&r); err != nil {
		return err
	}
	if err := d.need(base, required{"message", message.seen}, required{"sendTimeMs", sent.seen}); err != nil {
		return err
	}
	var m *Message
	if to != nil {
		m = &to.Message
	}
	if err := d.message(message.value, message.at, m, nil); err != nil {
		return within("message", err)
	}
	ms, err := d.integer(sent, "sendTimeMs")
	if err != nil {
		return err
	}
	if to != nil {
		to.SendTimeMs = ms
		if attempts.varint <= math.MaxUint32 { // more reads as 0
			to.ResendAttempts = uint32(attempts.varint)
		}
	}
	return nil
}

func (d decoder) incoming(b []byte, base int, to *IncomingMessage) error {
	r := fields{b: b, base: base}
	var message once
	var deps []string
	var seen map[string]bool
	for f, ok := r.next(); ok; f, ok = r.next() {
		switch {
		case f.number == 1:
			message.set(f, wireBytes)
		case f.number == 2 && f.wire == wireBytes && to != nil:
			if seen == nil {
				seen = map[string]bool{}
			}
			if id := string(f.value); !seen[id] {
				seen[id] = true
				deps = append(deps, id)
			}
		}
	}
	if err := d.end(&r); err != nil {
		return err
	}
	if err := d.need(base, required{"message", message.seen}); err != nil {
		return err
	}
	var m *Message
	if to != nil {
		m, to.MissingDeps = &to.Message, deps
	}
	return within("message", d.message(message.value, message.at, m, nil))
}

// keyed reads what both repair buffers share: a key and a nested entry.
func (d decoder) keyed(b []byte, base int) (key, entry once, err error) {
	r := fields{b: b, base: base}
	for f, ok := r.next(); ok; f, ok = r.next() {
		switch f.number {
		case 1:
			key.set(f, wireBytes)
		case 2:
			entry.set(f, wireBytes)
		}
	}
	if err = d.end(&r); err == nil {
		err = d.need(base, required{"messageId", key.seen}, required{"entry", entry.seen})
	}
	return key, entry, err
}

func (d decoder) outgoingRepair(b []byte, base int, to *OutgoingRepair) error {
	key, entry, err := d.keyed(b, base)
	if err != nil {
		return err
	}
	r := fields{b: entry.value, base: entry.at}
	var history, from once
	for f, ok := r.next(); ok; f, ok = r.next() {
		switch f.number {
		case 1:
			history.set(f, wireBytes)
		case 2:
			from.set(f, wireVarint)
		}
	}
	if err := d.end(&r); err != nil {
		return err
	}
	if err := d.need(base, required{"historyEntry", history.seen}, required{"minTimeMs", from.seen}); err != nil {
		return err
	}
	ms, err := d.integer(from, "minTimeMs")
	if err != nil {
		return err
	}
	var e *HistoryEntry
	if to != nil {
		to.MessageID, to.MinTimeMs, e = string(key.value), ms, &to.HistoryEntry
	}
	return within("historyEntry", d.historyEntry(history.value, history.at, e))
}

func (d decoder) incomingRepair(b []byte, base int, to *IncomingRepair) error {
	key, entry, err := d.keyed(b, base)
	if err != nil {
		return err
	}
	r := fields{b: entry.value, base: entry.at}
	var history, cached, from once
	for f, ok := r.next(); ok; f, ok = r.next() {
		switch f.number {
		case 1:
			history.set(f, wireBytes)
		case 2:
			cached.set(f, wireBytes)
		case 3:
			from.set(f, wireVarint)
		}
	}
	if err := d.end(&r); err != nil {
		return err
	}
	if err := d.need(base, required{"historyEntry", history.seen},
		required{"cachedMessage", cached.seen}, required{"minTimeMs", from.seen}); err != nil {
		return err
	}
	ms, err := d.integer(from, "minTimeMs")
	if err != nil {
		return err
	}
	var e *HistoryEntry
	if to != nil {
		to.MessageID, to.MinTimeMs, e = string(key.value), ms, &to.HistoryEntry
		to.CachedMessage = cloneValue(cached.value)
	}
	return within("historyEntry", d.historyEntry(history.value, history.at, e))
}

func (d decoder) meta(b []byte, base int, to *ChannelMeta) error {
	r := fields{b: b, base: base}
	keep := to != nil
	var version, lamport once
	var m ChannelMeta
	for f, ok := r.next(); ok; f, ok = r.next() {
		var err error
		switch f.number {
		case 1:
			version.set(f, wireVarint)
		case 2:
			lamport.set(f, wireVarint)
		case 3:
			m.OutgoingBuffer, err = addNested(f, m.OutgoingBuffer, keep, "outgoingBuffer", d.outgoing)
		case 4:
			m.IncomingBuffer, err = addNested(f, m.IncomingBuffer, keep, "incomingBuffer", d.incoming)
		case 5:
			m.OutgoingRepairBuffer, err = addNested(f, m.OutgoingRepairBuffer, keep,
				"outgoingRepairBuffer", d.outgoingRepair)
		case 6:
			m.IncomingRepairBuffer, err = addNested(f, m.IncomingRepairBuffer, keep,
				"incomingRepairBuffer", d.incomingRepair)
		}
		if err != nil {
			return err
		}
	}
	if err := d.end(&r); err != nil {
		return err
	}
	if err := d.need(base, required{"schemaVersion", version.seen},
		required{"lamportTimestamp", lamport.seen}); err != nil {
		return err
	}
	if version.varint != SchemaVersion {
		return d.fail(version.at, "schemaVersion", ErrSchemaVersion)
	}
	clock, err := d.integer(lamport, "lamportTimestamp")
	if err != nil {
		return err
	}
	if keep {
		m.SchemaVersion, m.LamportTimestamp = SchemaVersion, clock
		*to = m
	}
	return nil
}

func (d decoder) plainMessage(b []byte, base int, to *Message) error {
	return d.message(b, base, to, nil)
}

// UnmarshalBinary decodes an encoded HistoryEntry. Nothing of b is kept. It fails with a
// *DecodeError, and e is then as it was; so it is with all types here. None allocates more than 128
// bytes for each byte of b, most of it for slices that grow, whatever it holds.
func (e *HistoryEntry) UnmarshalBinary(b []byte) error {
	return decoder{"HistoryEntry"}.historyEntry(b, 0, e)
}

// UnmarshalBinary decodes an encoded Message.
func (m *Message) UnmarshalBinary(b []byte) error {
	return decoder{"Message"}.plainMessage(b, 0, m)
}

// UnmarshalBinary decodes an encoded ChannelMeta.
func (m *ChannelMeta) UnmarshalBinary(b []byte) error {
	return decoder{"ChannelMeta"}.meta(b, 0, m)
}

// UnmarshalBinary decodes an encoded ChannelData.
func (c *ChannelData) UnmarshalBinary(b []byte) error {
	d := decoder{"ChannelData"}
	r := fields{b: b}
	var meta once
	var data ChannelData
	for f, ok := r.next(); ok; f, ok = r.next() {
		var err error
		switch f.number {
		case 1:
			meta.set(f, wireBytes)
		case 2:
			data.MessageHistory, err = addNested(f, data.MessageHistory, true, "messageHistory", d.plainMessage)
		}
		if err != nil {
			return err
		}
	}
	if err := d.end(&r); err != nil {
		return err
	}
	if err := d.need(0, required{"meta", meta.seen}); err != nil {
		return err
	}
	if err := d.meta(meta.value, meta.at, &data.Meta); err != nil {
		return within("meta", err)
	}
	*c = data
	return nil
}

// UnmarshalBinary decodes an encoded HistoryUpdate. Damaged bytes are refused, while the
// reference reads them as an update that does nothing. No bytes at all are an empty
// update.
func (u *HistoryUpdate) UnmarshalBinary(b []byte) error {
	d := decoder{"HistoryUpdate"}
	r := fields{b: b}
	var update HistoryUpdate
	for f, ok := r.next(); ok; f, ok = r.next() {
		var err error
		switch {
		case f.number == 1:
			update.Append, err = addNested(f, update.Append, true, "append", d.plainMessage)
		case f.number == 2 && f.wire == wireBytes:
			update.Evict = append(update.Evict, string(f.value))
		}
		if err != nil {
			return err
		}
	}
	if err := d.end(&r); err != nil {
		return err
	}
	*u = update
	return nil
}

// ValidateMeta returns nil exactly when b is an encoded ChannelMeta that UnmarshalBinary
// decodes. It allocates nothing then.
func ValidateMeta(b []byte) error {
	return decoder{"ChannelMeta"}.meta(b, 0, nil)
}

// InspectMessage returns id and Lamport timestamp of an encoded message, without
// decoding the rest. It fails exactly when UnmarshalBinary would.
func InspectMessage(b []byte) (MessageInfo, error) {
	var info MessageInfo
	err := decoder{"Message"}.message(b, 0, nil, &info)
	return info, err
}
