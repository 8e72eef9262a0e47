// Package export is the file that channels are exported to and imported from. docs/format.md, section 8, has
// its format.
package export

import (
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

// magic begins a file. What follows is one stream of zstd.
const magic = "sdsaws export 1\n"

// Kind says what a record is.
type Kind byte

// The kinds of records.
const (
	Namespace  Kind = 1 // of the channels, the first record
	Channel    Kind = 2 // begins a channel: its id
	Snapshot   Kind = 3 // encoded, the first record of a channel
	Message    Kind = 4
	Hint       Kind = 5
	EndChannel Kind = 6 // the sums of its channel, snapshot and message records, and of its hints
	End        Kind = 7 // counts, and the sum of all before it
)

const maxWindow = 8 << 20 // bytes, of the zstd stream

// Sum is a SHA-256.
type Sum = [sha256.Size]byte

// Where says where a message was.
type Where byte

// The places of messages, in the order in which a channel has them: archived ones come first.
const (
	Archived Where = 0 // in a segment
	Evicted  Where = 1 // in the log, waiting to be archived
	History  Where = 2 // in the log
)

// Place is where a message is that is history, or was, and was archived at some time, or wasn't.
func Place(live bool, archivedAt time.Time) Where {
	switch {
	case live:
		return History
	case !archivedAt.IsZero():
		return Archived
	}
	return Evicted
}

// Counts say how much a channel, or a file, has.
type Counts struct {
	Channels, History, Evicted, Archived, Hints uint64
}

// Add adds others.
func (c *Counts) Add(o Counts) {
	c.Channels += o.Channels
	c.History += o.History
	c.Evicted += o.Evicted
	c.Archived += o.Archived
	c.Hints += o.Hints
}

func (c *Counts) message(w Where) {
	switch w {
	case Archived:
		c.Archived++
	case Evicted:
		c.Evicted++
	default:
		c.History++
	}
}

func (c *Counts) append(b []byte) []byte {
	for _, n := range []uint64{c.Channels, c.History, c.Evicted, c.Archived, c.Hints} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// Writer writes a file. What a Reader would refuse it refuses; after an error the file is of no use.
type Writer struct {
	z          *zstd.Encoder
	all        hash.Hash // of the file
	one, hints hash.Hash // of the channel
	rules      rules
	total, now Counts
}

// NewWriter begins a file with channels of a namespace.
func NewWriter(w io.Writer, namespace string) (*Writer, error) {
	if _, err := io.WriteString(w, magic); err != nil {
		return nil, err
	}
	z, err := zstd.NewWriter(w, zstd.WithWindowSize(maxWindow), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	e := &Writer{z: z, all: sha256.New(), one: sha256.New(), hints: sha256.New(), rules: newRules()}
	return e, e.record(Namespace, nil, []byte(namespace))
}

// record writes a record, whose payload is given in parts, and adds it to a sum.
func (w *Writer) record(k Kind, sum hash.Hash, payload ...[]byte) error {
	size := 0
	for _, p := range payload {
		size += len(p)
	}
	if err := w.rules.follows(k, uint64(size)); err != nil { //nolint:gosec // not below 0
		return fmt.Errorf("export: %w", err)
	}
	return w.write(k, sum, size, payload...)
}

func (w *Writer) write(k Kind, sum hash.Hash, size int, payload ...[]byte) error {
	out := []io.Writer{w.z, w.all}
	if sum != nil {
		out = append(out, sum)
	}
	to := io.MultiWriter(out...)
	if _, err := to.Write(binary.AppendUvarint([]byte{byte(k)}, uint64(size))); err != nil { //nolint:gosec // not below 0
		return err
	}
	for _, p := range payload {
		if _, err := to.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// Channel begins a channel.
func (w *Writer) Channel(id string, snapshot []byte) error {
	w.one.Reset()
	w.hints.Reset()
	w.now = Counts{Channels: 1}
	if err := w.record(Channel, w.one, []byte(id)); err != nil {
		return err
	}
	if err := errors.Join(w.rules.channel(id), w.rules.snapshot(snapshot)); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return w.record(Snapshot, w.one, snapshot)
}

// Message adds a message to the channel. The time is that of an archived one.
func (w *Writer) Message(where Where, archivedAt time.Time, encoded []byte) error {
	w.now.message(where)
	if err := w.rules.message(where, archivedAt, encoded); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return w.record(Message, w.one, messageHead(where, archivedAt), encoded)
}

func messageHead(where Where, archivedAt time.Time) []byte {
	head := []byte{byte(where)}
	if where == Archived {
		head = binary.BigEndian.AppendUint64(head, uint64(archivedAt.UnixMilli())) //nolint:gosec // two's complement
	}
	return head
}

// Hint adds a retrieval hint of one of the channel's messages: in the snapshot, or among the last 64.
func (w *Writer) Hint(h store.Hint) error {
	w.now.Hints++
	if err := w.rules.hint(h); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return w.record(Hint, w.hints, binary.AppendUvarint(nil, uint64(len(h.MessageID))), []byte(h.MessageID), h.Value)
}

// EndChannel ends the channel. It returns what it has, and the sum of all but its hints.
func (w *Writer) EndChannel() (Counts, Sum, error) {
	w.total.Add(w.now)
	sum := Sum(w.one.Sum(nil))
	err := w.record(EndChannel, nil, sum[:], w.hints.Sum(nil))
	w.rules.inside = false
	return w.now, sum, err
}

// Close ends the file. It returns what it has.
func (w *Writer) Close() (Counts, Sum, error) {
	sum := Sum(w.all.Sum(nil))
	if err := w.record(End, nil, w.total.append(nil), sum[:]); err != nil {
		return w.total, sum, err
	}
	return w.total, sum, w.z.Close()
}
