package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
)

const (
	messageFormat = 1
	messageCheck  = 8 // bytes of a message's term that its body repeats
)

// Sum is the SHA-256 of a message's plain bytes.
type Sum = [sha256.Size]byte

// Term stands for one message in a digest: a hash of its offset, id and plain bytes.
type Term [16]byte

// NewTerm returns the term of a message.
func NewTerm(offset uint64, id string, sum Sum) Term {
	h := sha256.New()
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], offset)
	h.Write(b[:])
	h.Write(sum[:])
	h.Write([]byte(id)) // last, so that no length is needed
	return Term(h.Sum(nil))
}

// Digest is the sum modulo 2^128 of the terms of all messages that a head needs, in
// any order, so that a commit updates it with what it changes.
type Digest [16]byte

// Add adds a term.
func (d *Digest) Add(t Term) { d.apply(t, bits.Add64) }

// Sub takes a term out again.
func (d *Digest) Sub(t Term) { d.apply(t, bits.Sub64) }

func (d *Digest) apply(t Term, op func(x, y, c uint64) (uint64, uint64)) {
	be := binary.BigEndian
	lo, c := op(be.Uint64(d[8:]), be.Uint64(t[8:]), 0)
	hi, _ := op(be.Uint64(d[:8]), be.Uint64(t[:8]), c)
	be.PutUint64(d[8:], lo)
	be.PutUint64(d[:8], hi)
}

// Message returns the body of a message: the format, the first bytes of its term, and
// the packed message.
func Message(term Term, packed []byte) []byte {
	b := make([]byte, 0, 1+messageCheck+len(packed))
	b = append(b, messageFormat)
	b = append(b, term[:messageCheck]...)
	return append(b, packed...)
}

// MessageSize returns the length of the body of a message.
func MessageSize(packed []byte) int { return 1 + messageCheck + len(packed) }

// OpenMessage returns the plain bytes of the message with the given id that was
// written at offset, and its term.
func (c *Codec) OpenMessage(offset uint64, id string, body []byte) ([]byte, Term, error) {
	if len(body) > 0 && body[0] != messageFormat {
		return nil, Term{}, fmt.Errorf("%w: message format %d", ErrFormat, body[0])
	}
	if len(body) < 1+messageCheck {
		return nil, Term{}, fmt.Errorf("%w: message of %d bytes", ErrCorrupt, len(body))
	}
	plain, err := c.unpack(body[1+messageCheck:])
	if err != nil {
		return nil, Term{}, err
	}
	term := NewTerm(offset, id, sha256.Sum256(plain))
	if !bytes.Equal(term[:messageCheck], body[1:1+messageCheck]) {
		return nil, Term{}, fmt.Errorf("%w: checksum of a message", ErrCorrupt)
	}
	return plain, term, nil
}
