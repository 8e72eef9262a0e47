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
	Sum        Sum    // likewise; of a channel without its hints
	HintSum    Sum    // of a channel's hints
}

// Reader reads a file, and checks all of it: the order of records, snapshots and messages, what hints are of, counts
// and sums. In memory there are one record at a time, some 50 bytes for each channel of the file, and as much for each
// message that is history in a channel, or in its snapshot.
type Reader struct {
	z          *zstd.Decoder
	in         *bufio.Reader
	all        hash.Hash // of the file
	one, hints hash.Hash // of the channel
	rules      rules
	now        Counts
	total      Counts
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
	return &Reader{z: z, in: bufio.NewReader(z), all: sha256.New(), one: sha256.New(), hints: sha256.New(),
		rules: newRules()}, nil
}

// Close frees what the reader has taken.
func (r *Reader) Close() { r.z.Close() }

// Next returns the next record. After the last one, which is of kind End and says that the file is whole, it
// is io.EOF.
func (r *Reader) Next() (*Item, error) {
	if r.rules.last == End {
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
	if err := r.open(i, payload); err != nil {
		return nil, err
	}
	r.all.Write(head)
	r.all.Write(payload)
	sum := r.one
	switch i.Kind {
	case Hint:
		sum = r.hints
	case Channel, Snapshot, Message:
	default:
		return i, nil
	}
	sum.Write(head)
	sum.Write(payload)
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
	if Kind(kind) > End {
		return nil, nil, fmt.Errorf("%w: a record of kind %d", ErrFormat, kind)
	}
	if err := r.rules.follows(Kind(kind), size); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
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

// open reads a payload. What it breaks of the rules is damage.
func (r *Reader) open(i *Item, b []byte) (err error) {
	switch i.Kind {
	case Namespace:
		i.ID = string(b)
	case Channel:
		i.ID = string(b)
		r.now = Counts{Channels: 1}
		r.one.Reset()
		r.hints.Reset()
		err = r.rules.channel(i.ID)
	case Snapshot:
		i.Snapshot = b
		err = r.rules.snapshot(b)
	case Message:
		err = r.message(i, b)
	case Hint:
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) { //nolint:gosec // not below 0
			return fmt.Errorf("%w: a hint", ErrCorrupt)
		}
		b = b[n:]
		i.Hint = store.Hint{MessageID: string(b[:size]), Value: b[size:]}
		r.now.Hints++
		err = r.rules.hint(i.Hint)
	default:
		return r.end(i, b)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// end compares the sums at the end of a channel, or of the file.
func (r *Reader) end(i *Item, b []byte) error {
	if i.Kind == EndChannel {
		i.Counts, i.Sum, i.HintSum = r.now, Sum(r.one.Sum(nil)), Sum(r.hints.Sum(nil))
		if !bytes.Equal(b, append(i.Sum[:], i.HintSum[:]...)) {
			return fmt.Errorf("%w: sum of a channel", ErrCorrupt)
		}
		r.total.Add(r.now)
		r.rules.inside = false
		return nil
	}
	i.Counts, i.Sum = r.total, Sum(r.all.Sum(nil))
	if !bytes.Equal(b, append(r.total.append(nil), i.Sum[:]...)) {
		return fmt.Errorf("%w: its sum", ErrCorrupt)
	}
	return nil
}

func (r *Reader) message(i *Item, b []byte) error {
	if len(b) == 0 {
		return errors.New("an empty message")
	}
	i.Where, b = Where(b[0]), b[1:]
	if i.Where == Archived {
		if len(b) < maxTime {
			return errors.New("a message without the time when it was archived")
		}
		i.ArchivedAt = time.UnixMilli(int64(binary.BigEndian.Uint64(b))) //nolint:gosec // the rules look at it
		b = b[maxTime:]
	}
	i.Message = b
	r.now.message(i.Where)
	return r.rules.message(i.Where, i.ArchivedAt, b)
}
