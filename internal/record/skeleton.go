package record

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// A skeleton is a snapshot without the messages in it: the literals that lie between them, one more
// than there are messages. Where in the log the messages are says the head.

// Skeleton encodes literals.
func Skeleton(literals [][]byte) []byte {
	last, size := len(literals)-1, 0
	for _, l := range literals {
		size += len(l)
	}
	b := make([]byte, 0, size+2*last)
	for _, l := range literals[:last] {
		b = binary.AppendUvarint(b, uint64(len(l)))
	}
	for _, l := range literals {
		b = append(b, l...)
	}
	return b
}

// OpenSkeleton returns the literals of a packed skeleton around so many messages. Dictionary is what it
// was packed against. It allocates what unpack does, and 32 bytes for each message.
func (c *Codec) OpenSkeleton(packed []byte, messages int, dictionary []byte) ([][]byte, error) {
	b, err := c.unpack(packed, dictionary)
	if err != nil {
		return nil, err
	}
	damaged := fmt.Errorf("%w: skeleton of a snapshot", ErrCorrupt)
	if messages > len(b) { // each has a length
		return nil, damaged
	}
	sizes := make([]uint64, messages)
	for i := range sizes {
		size, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, damaged
		}
		sizes[i], b = size, b[n:]
	}
	literals := make([][]byte, messages+1)
	for i, size := range sizes {
		if size > uint64(len(b)) {
			return nil, damaged
		}
		literals[i], b = b[:size:size], b[size:]
	}
	literals[messages] = b
	return literals, nil
}

// Join returns the snapshot, given what lies between its messages, and their plain bytes.
func Join(literals, messages [][]byte) ([]byte, error) {
	size := 0
	for _, l := range literals {
		size += len(l)
	}
	for _, m := range messages {
		size += len(m)
	}
	if size > MaxPlain {
		return nil, fmt.Errorf("%w: snapshot of %d bytes", ErrCorrupt, size)
	}
	b := make([]byte, 0, size)
	for i, m := range messages {
		b = append(append(b, literals[i]...), m...)
	}
	return append(b, literals[len(messages)]...), nil
}

// SnapshotSum stands for a snapshot: a hash over what lies between its messages and their sums.
func SnapshotSum(literals [][]byte, messages []Sum) Sum {
	h := sha256.New()
	var b []byte
	for i, l := range literals {
		b = binary.AppendUvarint(b[:0], uint64(len(l)))
		h.Write(b)
		h.Write(l)
		if i < len(messages) {
			h.Write(messages[i][:])
		}
	}
	return Sum(h.Sum(nil))
}
