package trace

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Writer writes a trace, uncompressed.
type Writer struct {
	b *bufio.Writer
}

// NewWriter returns a writer to w. Flush must be called at the end.
func NewWriter(w io.Writer) *Writer { return &Writer{bufio.NewWriter(w)} }

// Write writes an operation as a line. It refuses one that a Reader would refuse.
func (w *Writer) Write(op Op) error {
	l := op.line()
	err := l.check()
	var b []byte
	if err == nil {
		b, err = json.Marshal(l)
	}
	if err == nil {
		_, err = w.b.Write(append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("trace: write operation %d: %w", op.N, err)
	}
	return nil
}

// Flush writes what is buffered.
func (w *Writer) Flush() error {
	if err := w.b.Flush(); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	return nil
}
