package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
)

const messageCheck = 8 // bytes of a message's term that its body repeats

// Sum is the SHA-256 of a message's plain bytes.
type Sum = [sha256.Size]byte

// Term stands for one message in a digest: a hash of its offset, id and plain bytes.
type Term [16]byte

// NewTerm returns the term of a message.
func NewTerm(offset uint64, id string, sum Sum) Term {
	var room [128]byte // or an allocation for long ids
	b := binary.BigEndian.AppendUint64(room[:0], offset)
	b = append(append(b, sum[:]...), id...) // the id last, so that no length is needed
	term := sha256.Sum256(b)
	return Term(term[:])
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

// A message's body begins with its format and the first bytes of its term. Then follow:
const (
	messageFormat = 1 // the packed message
	valueFormat   = 2 // a reference to an object that holds the packed message
	deltaFormat   = 3 // which earlier messages it was packed against, and the packed message
)

// MaxDictionaries is how many messages one can be packed against.
const MaxDictionaries = 8

// Message returns the body of a message that begins a group: it was packed by itself.
func Message(term Term, packed []byte) []byte {
	b := make([]byte, 0, 1+messageCheck+len(packed))
	b = append(b, messageFormat)
	b = append(b, term[:messageCheck]...)
	return append(b, packed...)
}

// Delta returns the body of another message of a group: it was packed against those at these
// offsets, all of them below its own, or by itself when there are none. The dictionary is the plain
// bytes of the first and the envelopes (sds.Envelope) of the others, one after the other.
func Delta(offset uint64, term Term, against []uint64, packed []byte) []byte {
	b := make([]byte, 0, 2+messageCheck+5*len(against)+len(packed))
	b = append(b, deltaFormat)
	b = append(b, term[:messageCheck]...)
	return append(appendAgainst(b, offset, against), packed...)
}

// appendAgainst appends which messages something at an offset was packed against.
func appendAgainst(b []byte, offset uint64, against []uint64) []byte {
	b = binary.AppendUvarint(b, uint64(len(against)))
	for _, o := range against {
		b = binary.AppendUvarint(b, offset-o)
	}
	return b
}

// cutAgainst undoes appendAgainst, and returns what follows.
func cutAgainst(b []byte, offset uint64) (against []uint64, rest []byte, err error) {
	count, n := binary.Uvarint(b)
	if n <= 0 || count > MaxDictionaries {
		return nil, nil, fmt.Errorf("%w: what it was packed against", ErrCorrupt)
	}
	b = b[n:]
	for range count {
		distance, n := binary.Uvarint(b)
		if n <= 0 || distance == 0 || distance > offset {
			return nil, nil, fmt.Errorf("%w: what it was packed against", ErrCorrupt)
		}
		against, b = append(against, offset-distance), b[n:]
	}
	return against, b, nil
}

// MessageSize returns the most bytes that the body of a message has.
func MessageSize(packed []byte) int {
	return 1 + messageCheck + 1 + MaxDictionaries*binary.MaxVarintLen64 + len(packed)
}

// Begins reports whether a body begins a group: the messages from there on, up to the next that does.
// None is packed against one of another group.
func Begins(body []byte) bool {
	return len(body) > 0 && (body[0] == messageFormat || body[0] == valueFormat)
}

// Against returns the offsets of the messages that the body at an offset was packed against.
func Against(offset uint64, body []byte) ([]uint64, error) {
	if len(body) < 1+messageCheck || body[0] != deltaFormat {
		return nil, nil
	}
	against, _, err := cutAgainst(body[1+messageCheck:], offset)
	return against, err
}

// OpenMessage returns the plain bytes of the message with the given id that was
// written at offset, and its term. Dictionary is what it was packed against, see Delta.
func (c *Codec) OpenMessage(offset uint64, id string, body, dictionary []byte) ([]byte, Term, error) {
	if len(body) > 0 && body[0] != messageFormat && body[0] != deltaFormat {
		return nil, Term{}, fmt.Errorf("%w: message format %d", ErrFormat, body[0])
	}
	if len(body) < 1+messageCheck {
		return nil, Term{}, fmt.Errorf("%w: message of %d bytes", ErrCorrupt, len(body))
	}
	packed := body[1+messageCheck:]
	if body[0] == deltaFormat {
		var err error
		if _, packed, err = cutAgainst(packed, offset); err != nil {
			return nil, Term{}, err
		}
	}
	plain, err := c.unpack(packed, dictionary)
	if err != nil {
		return nil, Term{}, err
	}
	term := NewTerm(offset, id, sha256.Sum256(plain))
	if !bytes.Equal(term[:messageCheck], body[1:1+messageCheck]) {
		return nil, Term{}, fmt.Errorf("%w: checksum of a message", ErrCorrupt)
	}
	return plain, term, nil
}
