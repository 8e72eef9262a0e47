package record

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Skeleton is a snapshot without the messages in it: what lies between them, and where in
// the log they are.
type Skeleton struct {
	Literals [][]byte // one more than there are messages
	Offsets  []uint64
}

// Append encodes s.
func (s *Skeleton) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.Offsets)))
	last := uint64(0)
	for _, o := range s.Offsets {
		b = binary.AppendVarint(b, int64(o-last)) //nolint:gosec // two's complement
		last = o
	}
	for _, l := range s.Literals[:len(s.Offsets)] {
		b = binary.AppendUvarint(b, uint64(len(l)))
	}
	for _, l := range s.Literals {
		b = append(b, l...)
	}
	return b
}

// OpenSkeleton returns a packed skeleton, whose offsets are below next. Dictionary is what it was
// packed against.
func (c *Codec) OpenSkeleton(packed []byte, next uint64, dictionary []byte) (*Skeleton, error) {
	b, err := c.unpack(packed, dictionary)
	if err != nil {
		return nil, err
	}
	damaged := fmt.Errorf("%w: skeleton of a snapshot", ErrCorrupt)
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)) {
		return nil, damaged
	}
	b = b[n:]
	s := &Skeleton{Offsets: make([]uint64, count), Literals: make([][]byte, count+1)}
	last := uint64(0)
	for i := range s.Offsets {
		d, n := binary.Varint(b)
		if n <= 0 {
			return nil, damaged
		}
		last += uint64(d) //nolint:gosec // two's complement
		if last >= next {
			return nil, damaged
		}
		s.Offsets[i], b = last, b[n:]
	}
	sizes := make([]uint64, count)
	for i := range sizes {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > MaxPlain {
			return nil, damaged
		}
		sizes[i], b = size, b[n:]
	}
	for i, size := range sizes {
		if size > uint64(len(b)) {
			return nil, damaged
		}
		s.Literals[i], b = b[:size:size], b[size:]
	}
	s.Literals[count] = b
	return s, nil
}

// Join returns the snapshot, given the plain bytes of the messages in it.
func (s *Skeleton) Join(messages [][]byte) ([]byte, error) {
	size := 0
	for _, l := range s.Literals {
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
		b = append(append(b, s.Literals[i]...), m...)
	}
	return append(b, s.Literals[len(messages)]...), nil
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
