package segment

import (
	"encoding/binary"
	"errors"
)

var errThrift = errors.New("not as Thrift encodes it")

// maxDepth is how deep Parquet's structures may lie in each other.
const maxDepth = 16

// structSize returns how many bytes the structure takes that b begins with, in Thrift's compact
// protocol. It fails unless each text and each list in it is no longer than what follows: the decoder
// allocates for them before it looks.
// https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
func structSize(b []byte, depth int) (int, error) {
	for pos := 0; ; {
		if pos >= len(b) || depth > maxDepth {
			return 0, errThrift
		}
		head := b[pos]
		pos++
		kind := head & 0xf
		if kind == 0 { // the end
			return pos, nil
		}
		if head>>4 == 0 { // the number of the field follows
			_, n := binary.Uvarint(b[pos:])
			if n <= 0 {
				return 0, errThrift
			}
			pos += n
		}
		if kind == 1 || kind == 2 { // the kind is the value
			continue
		}
		n, err := valueSize(b[pos:], kind, depth)
		if err != nil {
			return 0, err
		}
		pos += n
	}
}

func valueSize(b []byte, kind byte, depth int) (n int, err error) {
	switch kind {
	case 1, 2, 3: // a boolean in a list, a byte
		n = 1
	case 4, 5, 6: // integers
		_, n = binary.Uvarint(b)
	case 7: // a double
		n = 8
	case 8: // a text
		length, k := binary.Uvarint(b)
		if k <= 0 || length > uint64(len(b)-k) {
			return 0, errThrift
		}
		n = k + int(length) //nolint:gosec // bounded
	case 9, 10: // a list, a set
		return listSize(b, depth)
	case 12:
		return structSize(b, depth+1)
	}
	if n <= 0 || n > len(b) {
		return 0, errThrift
	}
	return n, nil
}

func listSize(b []byte, depth int) (int, error) {
	if len(b) == 0 || depth > maxDepth {
		return 0, errThrift
	}
	kind, count, pos := b[0]&0xf, uint64(b[0]>>4), 1
	if count == 0xf {
		n := 0
		if count, n = binary.Uvarint(b[1:]); n <= 0 {
			return 0, errThrift
		}
		pos += n
	}
	for range count { // each takes a byte at least
		n, err := valueSize(b[pos:], kind, depth+1)
		if err != nil {
			return 0, err
		}
		pos += n
	}
	return pos, nil
}
