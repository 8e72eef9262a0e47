// Package offsets holds sets of log offsets as sorted ranges. History is mostly one
// long run of offsets with some holes, so a set takes a few bytes where a list would
// take thousands.
package offsets

import (
	"encoding/binary"
	"errors"
	"iter"
	"math"
	"slices"
	"sort"
)

type span struct{ from, to uint64 } // from ≤ x < to

// Set is a set of offsets. The zero value is empty. It is not safe for concurrent
// use.
type Set struct {
	spans []span // ascending, apart by at least one offset
	n     int
}

// Len returns how many offsets are in the set.
func (s *Set) Len() int { return s.n }

// Clone returns a copy that shares nothing with s.
func (s *Set) Clone() Set { return Set{spans: slices.Clone(s.spans), n: s.n} }

// find returns the index of the first span that ends after x.
func (s *Set) find(x uint64) int {
	return sort.Search(len(s.spans), func(i int) bool { return s.spans[i].to > x })
}

// Contains reports whether x is in the set.
func (s *Set) Contains(x uint64) bool {
	i := s.find(x)
	return i < len(s.spans) && s.spans[i].from <= x
}

// Add puts x, below math.MaxUint64, into the set.
func (s *Set) Add(x uint64) {
	i := s.find(x)
	if i < len(s.spans) && s.spans[i].from <= x {
		return
	}
	s.n++
	left := i > 0 && s.spans[i-1].to == x
	right := i < len(s.spans) && s.spans[i].from == x+1
	switch {
	case left && right:
		s.spans[i-1].to = s.spans[i].to
		s.spans = slices.Delete(s.spans, i, i+1)
	case left:
		s.spans[i-1].to++
	case right:
		s.spans[i].from--
	default:
		s.spans = slices.Insert(s.spans, i, span{x, x + 1})
	}
}

// Remove takes x out of the set.
func (s *Set) Remove(x uint64) {
	i := s.find(x)
	if i == len(s.spans) || s.spans[i].from > x {
		return
	}
	s.n--
	switch v := &s.spans[i]; {
	case v.from == x && v.to == x+1:
		s.spans = slices.Delete(s.spans, i, i+1)
	case v.from == x:
		v.from++
	case v.to == x+1:
		v.to--
	default:
		right := span{x + 1, v.to}
		v.to = x
		s.spans = slices.Insert(s.spans, i+1, right)
	}
}

// Min returns the lowest offset of the set, and false when it is empty.
func (s *Set) Min() (uint64, bool) {
	if len(s.spans) == 0 {
		return 0, false
	}
	return s.spans[0].from, true
}

// Max returns the highest offset of the set, and false when it is empty.
func (s *Set) Max() (uint64, bool) {
	if len(s.spans) == 0 {
		return 0, false
	}
	return s.spans[len(s.spans)-1].to - 1, true
}

// All yields the offsets of the set, ascending.
func (s *Set) All() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, v := range s.spans {
			for x := v.from; x < v.to; x++ {
				if !yield(x) {
					return
				}
			}
		}
	}
}

// Between returns the offsets of the set from from to to-1.
func (s *Set) Between(from, to uint64) Set {
	var part Set
	for _, v := range s.spans {
		v.from, v.to = max(v.from, from), min(v.to, to)
		if v.from < v.to {
			part.spans = append(part.spans, v)
			part.n += int(v.to - v.from) //nolint:gosec // not above s.n
		}
	}
	return part
}

// Minus returns the offsets of the set that are not in other.
func (s *Set) Minus(other *Set) Set {
	var rest Set
	cuts := other.spans
	for _, v := range s.spans {
		for v.from < v.to {
			for len(cuts) > 0 && cuts[0].to <= v.from {
				cuts = cuts[1:]
			}
			cut := span{v.to, v.to}
			if len(cuts) > 0 && cuts[0].from < v.to {
				cut = cuts[0]
			}
			if v.from < cut.from {
				rest.spans = append(rest.spans, span{v.from, cut.from})
				rest.n += int(cut.from - v.from) //nolint:gosec // not above s.n
			}
			v.from = cut.to
		}
	}
	return rest
}

// ErrEncoding says that bytes are not an encoded set.
var ErrEncoding = errors.New("not an encoded set of offsets")

// Append appends the set's encoding to b: the number of spans, then for each the gap
// since the end of the one before and its length, all as varints.
func (s *Set) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.spans)))
	var end uint64
	for _, v := range s.spans {
		b = binary.AppendUvarint(b, v.from-end)
		b = binary.AppendUvarint(b, v.to-v.from)
		end = v.to
	}
	return b
}

// Decode reads what Append wrote and nothing else. A set of more than limit offsets
// is refused, so that hostile bytes can't make a caller walk through 2^64 of them. It allocates at most
// 8 bytes for each byte of b.
func Decode(b []byte, limit int) (Set, error) {
	next := func() (uint64, bool) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		return v, true
	}
	count, ok := next()
	if !ok || count > uint64(len(b)/2) { // a span takes two bytes
		return Set{}, ErrEncoding
	}
	s := Set{spans: make([]span, 0, count)}
	var end uint64
	for i := range count {
		gap, ok1 := next()
		length, ok2 := next()
		switch {
		case !ok1, !ok2, length == 0, i > 0 && gap == 0,
			gap > math.MaxUint64-end, length > math.MaxUint64-end-gap,
			length > uint64(limit-s.n):
			return Set{}, ErrEncoding
		}
		s.spans = append(s.spans, span{end + gap, end + gap + length})
		s.n += int(length)
		end += gap + length
	}
	if len(b) > 0 {
		return Set{}, ErrEncoding
	}
	return s, nil
}
