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

// MaxLine bounds a line of a trace in bytes, and so what a Reader keeps in memory: one
// line and what it decodes to, and, of a compressed trace, a window of up to 128 MiB.
const MaxLine = 256 << 20

// window bounds what a compressed trace makes its reader allocate.
const window = 1 << 27

// Reader reads a trace, plain or compressed with zstd: its first bytes say which.
type Reader struct {
	b       *bufio.Reader
	z       *zstd.Decoder
	line    int
	buf     []byte
	maxLine int
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
		return &Reader{b: b, maxLine: MaxLine}, nil
	}
	z, err := zstd.NewReader(b, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	return &Reader{b: bufio.NewReaderSize(z, 1<<20), z: z, maxLine: MaxLine}, nil
}

// Close ends the decompression. It does not close what the trace is read from.
func (r *Reader) Close() {
	if r.z != nil {
		r.z.Close()
	}
}

// Next returns the next operation, and io.EOF after the last. The operation's bytes
// belong to the caller. Other errors name the line, counted from 1, and the key.
func (r *Reader) Next() (Op, error) {
	b, err := r.read()
	if errors.Is(err, io.EOF) {
		return Op{}, io.EOF
	}
	var l line
	var op Op
	if err == nil {
		if err = json.Unmarshal(b, &l); err != nil {
			err = explain(b, err)
		} else {
			op, err = l.op()
		}
	}
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
		err := r.readLine()
		if err != nil && (len(r.buf) == 0 || !errors.Is(err, io.EOF)) {
			return nil, err
		}
		if b := bytes.TrimSpace(r.buf); len(b) > 0 {
			return b, nil
		}
	}
}

// readLine appends a line to r.buf. The last one may lack its newline: io.EOF comes
// along with it.
func (r *Reader) readLine() error {
	for {
		part, err := r.b.ReadSlice('\n')
		if len(r.buf)+len(part) > r.maxLine {
			return fmt.Errorf("has more than %d bytes: record the trace again with smaller snapshots",
				r.maxLine)
		}
		r.buf = append(r.buf, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}
