package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/parquet-go/parquet-go/bloom"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sdsaws/sdsaws/internal/offsets"
	"github.com/sdsaws/sdsaws/store"
)

// State is how far the archiving of a segment has come. It only goes on, but for a
// sweeper that comes late: what it then repeats does no harm.
type State byte

// The states of a segment.
const (
	Writing State = 1 // the intent: the object may or may not be there
	Written State = 2 // the object is there, verified; messages may be deleted
	Done    State = 3 // the messages are deleted
)

// MaxRows bounds how many messages one segment may have, and so what a reader does because
// a manifest says so.
const MaxRows = 1 << 20

// MaxSegment is the largest object of a segment, in bytes, that is written or read. Usual ones
// have up to 32 MiB of messages before they are compressed.
const MaxSegment = 512 << 20

// Manifest is what the body of a store.Segment says.
type Manifest struct {
	State      State
	Origin     uint64      // the head's, when the manifest was added
	History    offsets.Set // the offsets that were history: those of the object's rows
	ArchivedAt time.Time   // in milliseconds

	// From here on valid when written, and zero when nothing was history.
	Version                string // of the object
	Size                   int64  // bytes
	Sum                    Sum    // SHA-256 of the object
	MinLamport, MaxLamport int64
	filter                 []byte // over the ids
}

// Name returns the end of the object's name.
func (m *Manifest) Name(s store.Segment) string {
	return fmt.Sprintf("%d-%d-%d.parquet", m.Origin, s.From, s.To)
}

func hashID(id string) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.LittleEndian.Uint64(sum[:8])
}

// bitsPerID makes the filter wrong for one foreign id in some 100,000.
const bitsPerID = 32

// SetIDs notes the ids of the segment's messages.
func (m *Manifest) SetIDs(ids []string) {
	f := make(bloom.SplitBlockFilter, max(1, bloom.NumSplitBlocksOf(int64(len(ids)), bitsPerID)))
	for _, id := range ids {
		f.Insert(hashID(id))
	}
	m.filter = bytes.Clone(f.Bytes())
}

// MayHold reports whether a message with this id may be in the segment: false is
// certain.
func (m *Manifest) MayHold(id string) bool {
	if len(m.filter) == 0 || len(m.filter)%bloom.BlockSize != 0 {
		return false
	}
	return bloom.MakeSplitBlockFilter(bytes.Clone(m.filter)).Check(hashID(id))
}

const (
	manifestFormat = 1

	fieldState      protowire.Number = 1
	fieldOrigin     protowire.Number = 2
	fieldOffsets    protowire.Number = 3
	fieldArchivedAt protowire.Number = 4
	fieldObject     protowire.Number = 5
	fieldBytes      protowire.Number = 6
	fieldChecksum   protowire.Number = 7
	fieldMinLamport protowire.Number = 8
	fieldMaxLamport protowire.Number = 9
	fieldFilter     protowire.Number = 10
)

// Body encodes m as the body of the segment at, whose key and offsets are bound into
// the checksum.
func (m *Manifest) Body(key store.Key, at store.Segment) []byte {
	b := make([]byte, 1+headCheck, len(m.filter)+256)
	b[0] = manifestFormat
	varint := func(n protowire.Number, v uint64) {
		b = protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
	}
	field := func(n protowire.Number, v []byte) {
		b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
	}
	varint(fieldState, uint64(m.State))
	varint(fieldOrigin, m.Origin)
	field(fieldOffsets, m.History.Append(nil))
	varint(fieldArchivedAt, uint64(m.ArchivedAt.UnixMilli())) //nolint:gosec // two's complement
	if m.State != Writing {
		field(fieldObject, []byte(m.Version))
		varint(fieldBytes, uint64(m.Size)) //nolint:gosec // above 0
		field(fieldChecksum, m.Sum[:])
		varint(fieldMinLamport, uint64(m.MinLamport)) //nolint:gosec // two's complement
		varint(fieldMaxLamport, uint64(m.MaxLamport)) //nolint:gosec // two's complement
		field(fieldFilter, m.filter)
	}
	copy(b[1:], manifestSum(key, at, b[1+headCheck:]))
	return b
}

func manifestSum(key store.Key, at store.Segment, rest []byte) []byte {
	return placeSum(manifestFormat, key, []uint64{at.From, at.To}, rest)
}

// OpenManifest reads the body of a stored segment.
func OpenManifest(key store.Key, at store.Segment) (*Manifest, error) {
	body := at.Body
	if len(body) > 0 && body[0] != manifestFormat {
		return nil, fmt.Errorf("%w: manifest format %d", ErrFormat, body[0])
	}
	if len(body) < 1+headCheck || !bytes.Equal(body[1:1+headCheck], manifestSum(key, at, body[1+headCheck:])) {
		return nil, fmt.Errorf("%w: checksum of a manifest", ErrCorrupt)
	}
	m := &Manifest{}
	for b := body[1+headCheck:]; len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, fmt.Errorf("%w: manifest: %w", ErrCorrupt, protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if size < 0 {
			return nil, fmt.Errorf("%w: manifest: %w", ErrCorrupt, protowire.ParseError(size))
		}
		if err := m.set(number, kind, b[n:n+size]); err != nil {
			return nil, fmt.Errorf("%w: manifest field %d: %w", ErrCorrupt, number, err)
		}
		b = b[n+size:]
	}
	low, ok := m.History.Min()
	if high, _ := m.History.Max(); at.From >= at.To || ok && (low < at.From || high >= at.To) ||
		m.State < Writing || m.State > Done {
		return nil, fmt.Errorf("%w: manifest: offsets or state", ErrCorrupt)
	}
	if m.Size < 0 || m.Size > MaxSegment || m.Size == 0 && m.State != Writing && m.History.Len() > 0 {
		return nil, fmt.Errorf("%w: manifest: size of the object", ErrCorrupt)
	}
	return m, nil
}

func (m *Manifest) set(number protowire.Number, kind protowire.Type, raw []byte) (err error) {
	switch kind {
	case protowire.VarintType:
		v, _ := protowire.ConsumeVarint(raw)
		return m.setNumber(number, v)
	case protowire.BytesType:
	default:
		return fmt.Errorf("wire type %d", kind)
	}
	v, _ := protowire.ConsumeBytes(raw)
	switch number {
	case fieldOffsets:
		m.History, err = offsets.Decode(v, MaxRows)
	case fieldObject:
		m.Version = string(v)
	case fieldChecksum:
		if len(v) != len(m.Sum) {
			return fmt.Errorf("%d bytes", len(v))
		}
		m.Sum = Sum(v)
	case fieldFilter:
		m.filter = v
	default:
		return fmt.Errorf("unknown")
	}
	return err
}

func (m *Manifest) setNumber(number protowire.Number, v uint64) error {
	switch number {
	case fieldState:
		m.State = State(min(v, 255)) //nolint:gosec // bounded
	case fieldOrigin:
		m.Origin = v
	case fieldArchivedAt:
		m.ArchivedAt = time.UnixMilli(int64(v)) //nolint:gosec // two's complement
	case fieldBytes:
		m.Size = int64(v) //nolint:gosec // compared in OpenManifest
	case fieldMinLamport:
		m.MinLamport = int64(v) //nolint:gosec // two's complement
	case fieldMaxLamport:
		m.MaxLamport = int64(v) //nolint:gosec // two's complement
	default:
		return fmt.Errorf("unknown")
	}
	return nil
}
