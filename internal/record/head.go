package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
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

// Head is what the body of a head says.
type Head struct {
	Snapshot []byte   // a packed Skeleton; empty: none was ever saved, or it is in the archive
	Against  []uint64 // offsets of the messages that it was packed against
	Value    *Value   // of the packed skeleton, when that is in the archive
	Sum      Sum      // of the snapshot, see SnapshotSum; zero: none was ever saved

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
	fieldSkeleton  protowire.Number = 11
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
	if len(h.Against) > 0 {
		field(fieldAgainst, AppendAgainst(nil, at.Next, h.Against))
	}
	if h.Sum != (Sum{}) {
		field(fieldSkeleton, h.Sum[:])
	}
	field(fieldLive, h.Live.Append(nil))
	field(fieldHistory, h.History.Append(nil))
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
		if h.Against, rest, err = CutAgainst(v, at.Next); err == nil && len(rest) > 0 {
			err = ErrCorrupt
		}
	case fieldSkeleton:
		if len(v) != len(h.Sum) {
			return fmt.Errorf("%d bytes", len(v))
		}
		h.Sum = Sum(v)
	case fieldLive:
		h.Live, err = offsets.Decode(v, MaxNeeded)
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
	for name, set := range map[string]*offsets.Set{"live": &h.Live, "history": &h.History} {
		low, ok := set.Min()
		if high, _ := set.Max(); ok && (high >= at.Next || low < at.Origin) {
			return fmt.Errorf("%w: head: %s offsets outside the log", ErrCorrupt, name)
		}
	}
	if low, ok := h.Live.Min(); ok && low < at.Start {
		return fmt.Errorf("%w: head: history below the start", ErrCorrupt)
	}
	if low, ok := h.History.Min(); h.Archived > at.Start || ok && low < h.Archived || h.Evicted() < 0 {
		return fmt.Errorf("%w: head: archived offsets", ErrCorrupt)
	}
	return nil
}
