package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sdsaws/sdsaws/internal/offsets"
	"github.com/sdsaws/sdsaws/store"
)

const (
	headFormat = 1
	headCheck  = 16
)

// MaxNeeded bounds how many messages one head may need, and so what a reader
// allocates because a head says so.
const MaxNeeded = 1 << 24

// MaxBuffered bounds how many messages one snapshot may have: what a reader allocates because a head
// says so.
const MaxBuffered = 1 << 20

// Head is what the body of a head says.
type Head struct {
	Snapshot []byte   // its packed skeleton; empty: none was ever saved, or it is in the archive
	Value    *Value   // of the packed skeleton, when that is in the archive
	Messages []uint64 // offsets of the messages in the snapshot, in its order
	Against  []uint64 // offsets of others that the skeleton was packed against, see Dictionary
	Sum      Sum      // of the snapshot, see SnapshotSum; zero: none was ever saved

	Envelopes bool        // the skeleton was packed against the envelopes of Dictionary's messages
	Live      offsets.Set // the offsets that are history now
	History   offsets.Set // the offsets from Archived on that are or were history
	Digest    Digest      // over the messages that are history or in the snapshot
	Committed time.Time   // when, by the writer's clock, in milliseconds

	// Archived is the end of the last written segment that the writer knew of. It never
	// goes back. Which offsets below it were history, the manifests say.
	Archived uint64

	EvictedBytes uint64    // packed, of the messages in History that are not in Live
	EvictedSince time.Time // when the first of them was evicted, in milliseconds
}

// MaxEnvelopes is how many messages of a snapshot its skeleton is packed against.
const MaxEnvelopes = 64

// Dictionary returns the offsets of the messages whose envelopes (sds.Envelope), one after the other, a
// skeleton can be packed against: the first ones of the snapshot, which have the ids that it names, and
// those of Against.
func (h *Head) Dictionary() []uint64 {
	var all []uint64
	for _, o := range h.Messages {
		if len(all) == MaxEnvelopes {
			break
		}
		if !slices.Contains(all, o) {
			all = append(all, o)
		}
	}
	return append(all, h.Against...)
}

// Needed returns the offsets of the messages that are history or in the snapshot.
func (h *Head) Needed() offsets.Set {
	all := h.Live.Clone()
	for _, o := range h.Messages {
		all.Add(o)
	}
	return all
}

// Evicted returns how many messages are history no more and not known to be archived.
func (h *Head) Evicted() int { return h.History.Len() - h.Live.Len() }

// Trim takes note that what lies below archived is in segments.
func (h *Head) Trim(archived uint64) {
	if archived <= h.Archived {
		return
	}
	before := h.Evicted()
	h.Archived, h.History = archived, h.History.Between(archived, math.MaxUint64)
	h.EvictedSince = time.Time{}
	if after := h.Evicted(); before > 0 && 0 <= after && after < before {
		h.EvictedBytes = h.EvictedBytes / uint64(before) * uint64(after)
	}
}

// Numbers of the fields of a head's body, which is otherwise protobuf's wire format.
const (
	fieldSnapshot  protowire.Number = 1
	fieldLive      protowire.Number = 2
	fieldHistory   protowire.Number = 3
	fieldDigest    protowire.Number = 4
	fieldCommitted protowire.Number = 5
	fieldValue     protowire.Number = 6
	fieldArchived  protowire.Number = 7
	fieldEvicted   protowire.Number = 8
	fieldSince     protowire.Number = 9
	fieldAgainst   protowire.Number = 10
	fieldSnapSum   protowire.Number = 11
	fieldMessages  protowire.Number = 12
)

// Body encodes h as the body of the head at. The offsets of at and its key are bound
// into the checksum; what a claim changes isn't.
func (h *Head) Body(key store.Key, at store.Head) []byte {
	b := make([]byte, 1+headCheck, len(h.Snapshot)+256)
	b[0] = headFormat
	field := func(n protowire.Number, v []byte) {
		b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
	}
	if h.Value == nil {
		field(fieldSnapshot, h.Snapshot)
	} else {
		field(fieldValue, h.Value.append(nil))
	}
	if h.Envelopes {
		field(fieldAgainst, appendAgainst(nil, at.Next, h.Against))
	}
	if h.Sum != (Sum{}) {
		field(fieldSnapSum, h.Sum[:])
	}
	if len(h.Messages) > 0 {
		field(fieldMessages, encodeOffsets(h.Messages))
	}
	field(fieldHistory, h.History.Append(nil))
	field(fieldLive, h.appendLive(nil))
	field(fieldDigest, h.Digest[:])
	varint := func(n protowire.Number, v uint64) {
		b = protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
	}
	varint(fieldCommitted, uint64(h.Committed.UnixMilli()))
	if h.Archived > 0 {
		varint(fieldArchived, h.Archived)
	}
	if h.Evicted() > 0 {
		varint(fieldEvicted, h.EvictedBytes)
		varint(fieldSince, uint64(h.EvictedSince.UnixMilli()))
	}
	copy(b[1:], headSum(key, at, b[1+headCheck:]))
	return b
}

func headSum(key store.Key, at store.Head, rest []byte) []byte {
	return placeSum(headFormat, key, []uint64{at.Origin, at.Start, at.Next}, rest)
}

// placeSum returns a checksum over the rest of a body and the place that it belongs to.
func placeSum(format byte, key store.Key, offsets []uint64, rest []byte) []byte {
	h := sha256.New()
	b := []byte{format}
	b = binary.AppendUvarint(b, uint64(len(key.Namespace)))
	b = append(b, key.Namespace...)
	b = binary.AppendUvarint(b, uint64(len(key.Channel)))
	b = append(b, key.Channel...)
	for _, v := range offsets {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	h.Write(b)
	h.Write(rest)
	return h.Sum(nil)[:headCheck]
}

// OpenHead reads the body of a stored head.
func OpenHead(key store.Key, at store.Head) (*Head, error) {
	body := at.Body
	if len(body) > 0 && body[0] != headFormat {
		return nil, fmt.Errorf("%w: head format %d", ErrFormat, body[0])
	}
	if len(body) < 1+headCheck || !bytes.Equal(body[1:1+headCheck], headSum(key, at, body[1+headCheck:])) {
		return nil, fmt.Errorf("%w: checksum of the head", ErrCorrupt)
	}
	h := &Head{}
	// The checksum holds, so damage is not expected from here on; a mistake of ours is.
	for b := body[1+headCheck:]; len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, fmt.Errorf("%w: head: %w", ErrCorrupt, protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if size < 0 {
			return nil, fmt.Errorf("%w: head: %w", ErrCorrupt, protowire.ParseError(size))
		}
		if err := h.set(at, number, kind, b[n:n+size]); err != nil {
			return nil, fmt.Errorf("%w: head field %d: %w", ErrCorrupt, number, err)
		}
		b = b[n+size:]
	}
	return h, h.check(at)
}

func (h *Head) set(at store.Head, number protowire.Number, kind protowire.Type, raw []byte) (err error) {
	switch kind {
	case protowire.VarintType:
		v, _ := protowire.ConsumeVarint(raw)
		return h.setNumber(number, v)
	case protowire.BytesType:
	default:
		return fmt.Errorf("wire type %d", kind)
	}
	v, _ := protowire.ConsumeBytes(raw)
	switch number {
	case fieldSnapshot:
		h.Snapshot = v
	case fieldValue:
		h.Value, err = openValue(v)
	case fieldAgainst:
		var rest []byte
		h.Envelopes = true
		if h.Against, rest, err = cutAgainst(v, at.Next); err == nil && len(rest) > 0 {
			err = ErrCorrupt
		}
	case fieldMessages:
		h.Messages, err = openOffsets(v, at)
	case fieldSnapSum:
		if len(v) != len(h.Sum) {
			return fmt.Errorf("%d bytes", len(v))
		}
		h.Sum = Sum(v)
	case fieldLive:
		err = h.openLive(v)
	case fieldHistory:
		h.History, err = offsets.Decode(v, math.MaxInt)
	case fieldDigest:
		if len(v) != len(h.Digest) {
			return fmt.Errorf("%d bytes", len(v))
		}
		h.Digest = Digest(v)
	default:
		return fmt.Errorf("unknown")
	}
	return err
}

func (h *Head) setNumber(number protowire.Number, v uint64) error {
	switch number {
	case fieldCommitted:
		h.Committed = time.UnixMilli(int64(v))
	case fieldArchived:
		h.Archived = v
	case fieldEvicted:
		h.EvictedBytes = v
	case fieldSince:
		h.EvictedSince = time.UnixMilli(int64(v))
	default:
		return fmt.Errorf("unknown")
	}
	return nil
}

// check holds the parts of a head against each other.
func (h *Head) check(at store.Head) error {
	if at.Origin > at.Start || at.Start > at.Next {
		return fmt.Errorf("%w: head: offsets %d, %d, %d", ErrCorrupt, at.Origin, at.Start, at.Next)
	}
	low, ok := h.History.Min()
	if high, _ := h.History.Max(); ok && (high >= at.Next || low < at.Origin) {
		return fmt.Errorf("%w: head: history offsets outside the log", ErrCorrupt)
	}
	if low, ok := h.Live.Min(); ok && low < at.Start {
		return fmt.Errorf("%w: head: history below the start", ErrCorrupt)
	}
	if h.Archived > at.Start || ok && low < h.Archived {
		return fmt.Errorf("%w: head: archived offsets", ErrCorrupt)
	}
	return nil
}

// appendLive encodes which offsets of the history are live: those from the first one on, but some.
func (h *Head) appendLive(b []byte) []byte {
	from, ok := h.Live.Min()
	if high, some := h.History.Max(); !ok && some {
		from = high + 1
	}
	rest := h.History.Between(from, math.MaxUint64)
	evicted := rest.Minus(&h.Live)
	return evicted.Append(binary.AppendUvarint(b, from))
}

// openLive undoes appendLive. The history is there.
func (h *Head) openLive(b []byte) error {
	from, n := binary.Uvarint(b)
	if n <= 0 {
		return ErrCorrupt
	}
	evicted, err := offsets.Decode(b[n:], math.MaxInt)
	if err != nil {
		return err
	}
	rest := h.History.Between(from, math.MaxUint64)
	h.Live = rest.Minus(&evicted)
	if h.Live.Len() > MaxNeeded {
		return ErrCorrupt
	}
	return nil
}

// encodeOffsets encodes offsets in any order: as runs, each the distance of its first from the end of
// the one before, and its length.
func encodeOffsets(all []uint64) (b []byte) {
	end := uint64(0)
	for i := 0; i < len(all); {
		n := 1
		for i+n < len(all) && all[i+n] == all[i]+uint64(n) { //nolint:gosec // above 0
			n++
		}
		b = binary.AppendVarint(b, int64(all[i]-end)) //nolint:gosec // two's complement
		b = binary.AppendUvarint(b, uint64(n))        //nolint:gosec // above 0
		end = all[i] + uint64(n)                      //nolint:gosec // above 0
		i += n
	}
	return b
}

// openOffsets undoes encodeOffsets. It takes up to MaxBuffered offsets that a head at that place can need.
func openOffsets(b []byte, at store.Head) (all []uint64, err error) {
	end := uint64(0)
	for len(b) > 0 {
		gap, n := binary.Varint(b)
		if n <= 0 {
			return nil, ErrCorrupt
		}
		length, m := binary.Uvarint(b[n:])
		from := end + uint64(gap) //nolint:gosec // two's complement
		if m <= 0 || length == 0 || length > uint64(MaxBuffered-len(all)) || from < at.Start || from >= at.Next || length > at.Next-from {
			return nil, ErrCorrupt
		}
		for i := range length {
			all = append(all, from+i)
		}
		end, b = from+length, b[n+m:]
	}
	return all, nil
}
