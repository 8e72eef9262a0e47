package export

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// What can be wrong with a file.
var (
	ErrFormat  = errors.New("not an export that this version reads")
	ErrCorrupt = errors.New("the export is damaged or cut short")
)

// Item is a record.
type Item struct {
	Kind       Kind
	ID         string // of a namespace or a channel
	Snapshot   []byte
	Where      Where // of a message
	ArchivedAt time.Time
	Message    []byte // encoded
	Hint       store.Hint
	Counts     Counts // at the end of a channel, of the file
	Sum        Sum    // likewise
}

// Reader reads a file, and checks all of it: the order of records, snapshots and messages, counts and sums.
// In memory there is one record at a time.
type Reader struct {
	z        *zstd.Decoder
	in       *bufio.Reader
	all, one hash.Hash
	last     Kind // of the record before
	inside   bool // a channel
	logged   bool // of which a message is in the log
	seen     map[string]bool
	now      Counts
	total    Counts
}

// NewReader begins to read a file. Close it when done.
func NewReader(r io.Reader) (*Reader, error) {
	begin := make([]byte, len(magic))
	if _, err := io.ReadFull(r, begin); err != nil || string(begin) != magic {
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: it doesn't begin with %q", ErrFormat, magic)
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return &Reader{z: z, in: bufio.NewReader(z), all: sha256.New(), one: sha256.New(), seen: map[string]bool{}}, nil
}

// Close frees what the reader has taken.
func (r *Reader) Close() { r.z.Close() }

// Next returns the next record. After the last one, which is of kind End and says that the file is whole, it
// is io.EOF.
func (r *Reader) Next() (*Item, error) {
	if r.last == End {
		switch _, err := r.in.ReadByte(); {
		case err == nil:
			return nil, fmt.Errorf("%w: something follows its end", ErrCorrupt)
		case !errors.Is(err, io.EOF):
			return nil, broken(err)
		}
		return nil, io.EOF
	}
	head, payload, err := r.read()
	if err != nil {
		return nil, err
	}
	i := &Item{Kind: Kind(head[0])}
	if err := r.follows(i.Kind); err != nil {
		return nil, err
	}
	r.last = i.Kind
	if err := r.open(i, payload); err != nil {
		return nil, err
	}
	r.all.Write(head)
	r.all.Write(payload)
	if i.Kind == Channel || i.Kind == Snapshot || i.Kind == Message {
		r.one.Write(head)
		r.one.Write(payload)
	}
	return i, nil
}

// read reads a record. It allocates no more than twice what is there.
func (r *Reader) read() (head, payload []byte, err error) {
	kind, err := r.in.ReadByte()
	if err != nil {
		return nil, nil, broken(err)
	}
	size, err := binary.ReadUvarint(r.in)
	if err != nil {
		return nil, nil, broken(err)
	}
	if size > maxRecord {
		return nil, nil, fmt.Errorf("%w: a record of %d bytes", ErrCorrupt, size)
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r.in, int64(size)); err != nil {
		return nil, nil, broken(err)
	}
	return binary.AppendUvarint([]byte{kind}, size), b.Bytes(), nil
}

// broken is the error of a read that must not end there. Errors of the file itself stay.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrCorrupt)
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// follows reports whether a record may come where it does.
func (r *Reader) follows(k Kind) error {
	ok := false
	switch k {
	case Namespace:
		ok = r.last == 0
	case Channel, End:
		ok = r.last != 0 && !r.inside
	case Snapshot:
		ok = r.last == Channel
	case Message, Hint, EndChannel:
		ok = r.inside && r.last != Channel
	default:
		return fmt.Errorf("%w: a record of kind %d", ErrFormat, k)
	}
	if !ok {
		return fmt.Errorf("%w: a record of kind %d behind one of kind %d", ErrCorrupt, k, r.last)
	}
	return nil
}

func (r *Reader) open(i *Item, b []byte) error {
	switch i.Kind {
	case Namespace:
		i.ID = string(b)
	case Channel:
		i.ID = string(b)
		if i.ID == "" || r.seen[i.ID] {
			return fmt.Errorf("%w: a channel without an id, or twice", ErrCorrupt)
		}
		r.seen[i.ID] = true
		r.inside, r.logged, r.now = true, false, Counts{Channels: 1}
		r.one.Reset()
	case Snapshot:
		if len(b) > record.MaxPlain {
			return fmt.Errorf("%w: a snapshot of %d bytes", ErrCorrupt, len(b))
		}
		if err := sds.ValidateMeta(b); err != nil {
			return fmt.Errorf("%w: a snapshot: %w", ErrCorrupt, err)
		}
		i.Snapshot = b
	case Message:
		return r.message(i, b)
	case Hint:
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) { //nolint:gosec // not below 0
			return fmt.Errorf("%w: a hint", ErrCorrupt)
		}
		b = b[n:]
		i.Hint = store.Hint{MessageID: string(b[:size]), Value: b[size:]}
		r.now.Hints++
	case EndChannel:
		i.Counts, i.Sum = r.now, Sum(r.one.Sum(nil))
		if !bytes.Equal(b, i.Sum[:]) {
			return fmt.Errorf("%w: sum of a channel", ErrCorrupt)
		}
		r.total.Add(r.now)
		r.inside = false
	case End:
		i.Counts, i.Sum = r.total, Sum(r.all.Sum(nil))
		if !bytes.Equal(b, append(r.total.append(nil), i.Sum[:]...)) {
			return fmt.Errorf("%w: its sum", ErrCorrupt)
		}
	}
	return nil
}

func (r *Reader) message(i *Item, b []byte) error {
	damaged := fmt.Errorf("%w: a message", ErrCorrupt)
	if len(b) == 0 || Where(b[0]) > History {
		return damaged
	}
	i.Where, b = Where(b[0]), b[1:]
	if i.Where == Archived {
		if len(b) < 8 || b[0] > 0x7f || r.logged {
			return damaged
		}
		i.ArchivedAt = time.UnixMilli(int64(binary.BigEndian.Uint64(b))) //nolint:gosec // below 2^63
		b = b[8:]
	} else {
		r.logged = true
	}
	if len(b) > record.MaxPlain {
		return fmt.Errorf("%w of %d bytes", damaged, len(b))
	}
	if _, err := sds.InspectMessage(b); err != nil {
		return fmt.Errorf("%w: %w", damaged, err)
	}
	i.Message = b
	r.now.message(i.Where)
	return nil
}
