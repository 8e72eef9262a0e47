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
	Snapshot  []byte      // packed; empty: none was ever saved
	Live      offsets.Set // the offsets that are history now
	History   offsets.Set // the offsets that are or were history and aren't archived
	Digest    Digest      // over the messages at the offsets in Live
	Committed time.Time   // when, by the writer's clock, in milliseconds
}

// Numbers of the fields of a head's body, which is otherwise protobuf's wire format.
const (
	fieldSnapshot  protowire.Number = 1
	fieldLive      protowire.Number = 2
	fieldHistory   protowire.Number = 3
	fieldDigest    protowire.Number = 4
	fieldCommitted protowire.Number = 5
)

// Body encodes h as the body of the head at. The offsets of at and its key are bound
// into the checksum; what a claim changes isn't.
func (h *Head) Body(key store.Key, at store.Head) []byte {
	b := make([]byte, 1+headCheck, len(h.Snapshot)+256)
	b[0] = headFormat
	field := func(n protowire.Number, v []byte) {
		b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
	}
	field(fieldSnapshot, h.Snapshot)
	field(fieldLive, h.Live.Append(nil))
	field(fieldHistory, h.History.Append(nil))
	field(fieldDigest, h.Digest[:])
	b = protowire.AppendTag(b, fieldCommitted, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(h.Committed.UnixMilli()))
	copy(b[1:], headSum(key, at, b[1+headCheck:]))
	return b
}

func headSum(key store.Key, at store.Head, rest []byte) []byte {
	h := sha256.New()
	var b []byte
	b = append(b, headFormat)
	b = binary.AppendUvarint(b, uint64(len(key.Namespace)))
	b = append(b, key.Namespace...)
	b = binary.AppendUvarint(b, uint64(len(key.Channel)))
	b = append(b, key.Channel...)
	for _, v := range []uint64{at.Origin, at.Start, at.Next} {
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
		if err := h.set(number, kind, b[n:n+size]); err != nil {
			return nil, fmt.Errorf("%w: head field %d: %w", ErrCorrupt, number, err)
		}
		b = b[n+size:]
	}
	return h, h.check(at)
}

func (h *Head) set(number protowire.Number, kind protowire.Type, raw []byte) (err error) {
	if number == fieldCommitted && kind == protowire.VarintType {
		v, _ := protowire.ConsumeVarint(raw)
		h.Committed = time.UnixMilli(int64(v))
		return nil
	}
	if kind != protowire.BytesType {
		return fmt.Errorf("wire type %d", kind)
	}
	v, _ := protowire.ConsumeBytes(raw)
	switch number {
	case fieldSnapshot:
		h.Snapshot = v
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
	return nil
}

// OpenSnapshot returns the plain bytes of a packed snapshot.
func (c *Codec) OpenSnapshot(packed []byte) ([]byte, error) { return c.unpack(packed) }
