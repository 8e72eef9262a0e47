// Package trace reads recorded traffic of SDS participants: what each asked of its
// persistence backend, in order, one JSON object a line. docs/traces.md has the format.
package trace

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Kind names one of the five operations as traces do.
type Kind string

// The operations.
const (
	SaveChannelMeta  Kind = "saveChannelMeta"
	UpdateHistory    Kind = "updateHistory"
	LoadChannel      Kind = "loadChannel"
	DropChannel      Kind = "dropChannel"
	SetRetrievalHint Kind = "setRetrievalHint"
)

// MaxLine bounds a line of a trace in bytes, and so what a Reader keeps in memory.
const MaxLine = 256 << 20

// window bounds what a compressed trace makes its reader allocate.
const window = 1 << 27

// Op is one operation of a trace. Ids are arbitrary bytes.
type Op struct {
	N           int
	MS          int64 // since the start of the recording
	Participant string
	Kind        Kind
	Channel     string

	Meta   []byte   // saveChannelMeta: an encoded ChannelMeta
	Append [][]byte // updateHistory: encoded Messages
	Evict  []string // updateHistory: message ids

	MessageID string // setRetrievalHint
	Hint      []byte

	// loadChannel: what a correct store returns.
	Messages      int
	MetaSHA256    string // of the encoded ChannelMeta, hex
	HistorySHA256 string // of the encoded Messages one after the other, hex
}

// line is an Op as JSON has it.
type line struct {
	N             int      `json:"n"`
	MS            int64    `json:"ms"`
	Participant   []byte   `json:"participant"`
	Op            Kind     `json:"op"`
	Channel       []byte   `json:"channel"`
	Meta          []byte   `json:"meta,omitempty"`
	Append        [][]byte `json:"append,omitempty"`
	Evict         [][]byte `json:"evict,omitempty"`
	MessageID     []byte   `json:"messageId,omitempty"`
	Hint          []byte   `json:"hint,omitempty"`
	Messages      *int     `json:"messages,omitempty"`
	MetaSHA256    string   `json:"metaSha256,omitempty"`
	HistorySHA256 string   `json:"historySha256,omitempty"`
}

// Reader reads a trace, plain or compressed with zstd.
type Reader struct {
	b    *bufio.Reader
	z    *zstd.Decoder
	line int
	buf  []byte
}

var magic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// NewReader returns a reader of the trace in r.
func NewReader(r io.Reader) (*Reader, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	start, err := b.Peek(len(magic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("trace: %w", err)
	}
	if !bytes.Equal(start, magic) {
		return &Reader{b: b}, nil
	}
	z, err := zstd.NewReader(b, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	return &Reader{b: bufio.NewReaderSize(z, 1<<20), z: z}, nil
}

// Close ends the decompression. It does not close what the trace is read from.
func (r *Reader) Close() {
	if r.z != nil {
		r.z.Close()
	}
}

// Next returns the next operation, and io.EOF after the last.
func (r *Reader) Next() (Op, error) {
	b, err := r.read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return Op{}, io.EOF
		}
		return Op{}, fmt.Errorf("trace: line %d: %w", r.line, err)
	}
	var l line
	if err := json.Unmarshal(b, &l); err != nil {
		return Op{}, fmt.Errorf("trace: line %d is not a JSON object of a trace: %w", r.line, err)
	}
	op, err := l.op()
	if err != nil {
		return Op{}, fmt.Errorf("trace: line %d: %w", r.line, err)
	}
	return op, nil
}

// read returns the next line that isn't blank. It is valid until the next read.
func (r *Reader) read() ([]byte, error) {
	for {
		r.line++
		r.buf = r.buf[:0]
		for {
			part, err := r.b.ReadSlice('\n')
			if len(r.buf)+len(part) > MaxLine {
				return nil, fmt.Errorf("has more than %d bytes", MaxLine)
			}
			r.buf = append(r.buf, part...)
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			if err != nil && (len(r.buf) == 0 || !errors.Is(err, io.EOF)) {
				return nil, err
			}
			break
		}
		if b := bytes.TrimSpace(r.buf); len(b) > 0 {
			return b, nil
		}
	}
}

func (l *line) op() (Op, error) {
	op := Op{N: l.N, MS: l.MS, Participant: string(l.Participant), Kind: l.Op, Channel: string(l.Channel),
		Meta: l.Meta, Append: l.Append, MessageID: string(l.MessageID), Hint: l.Hint,
		MetaSHA256: l.MetaSHA256, HistorySHA256: l.HistorySHA256}
	for _, id := range l.Evict {
		op.Evict = append(op.Evict, string(id))
	}
	if len(l.Participant) == 0 {
		return op, errors.New(`key "participant" is missing`)
	}
	switch l.Op {
	case SaveChannelMeta:
		if l.Meta == nil {
			return op, errors.New(`key "meta" is missing`)
		}
	case LoadChannel:
		if l.Messages == nil || l.MetaSHA256 == "" || l.HistorySHA256 == "" {
			return op, errors.New(`one of the keys "messages", "metaSha256", "historySha256" is missing`)
		}
		op.Messages = *l.Messages
	case UpdateHistory, DropChannel, SetRetrievalHint:
	default:
		return op, fmt.Errorf("unknown operation %q", l.Op)
	}
	return op, nil
}

// Write writes an operation as a line of a trace.
func Write(w io.Writer, op Op) error {
	l := line{N: op.N, MS: op.MS, Participant: []byte(op.Participant), Op: op.Kind, Channel: []byte(op.Channel),
		Meta: op.Meta, Append: op.Append, MessageID: []byte(op.MessageID), Hint: op.Hint,
		MetaSHA256: op.MetaSHA256, HistorySHA256: op.HistorySHA256}
	for _, id := range op.Evict {
		l.Evict = append(l.Evict, []byte(id))
	}
	if op.Kind == LoadChannel {
		l.Messages = &op.Messages
	}
	b, err := json.Marshal(l)
	if err == nil {
		_, err = w.Write(append(b, '\n'))
	}
	return err
}
