package sds

import (
	"encoding/binary"
	"math/bits"
)

// Wire types of protobuf. Groups, 3 and 4, and what is above 5 are refused.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// field is one field as it stands in the bytes.
type field struct {
	number uint64
	wire   byte
	varint uint64 // of a varint field
	value  []byte // of a length-delimited one; a part of the input
	at     int    // offset of the value from the start of the outermost bytes
}

// fields walks over the fields of a message. It is stricter than protobuf libraries
// where nim-sds is: a varint that is longer than it need be is refused.
type fields struct {
	b    []byte
	base int // offset of b from the start of the outermost bytes
	pos  int
	bad  bool // the framing is damaged at pos
}

// next returns the next field; false at the end or where the framing is damaged.
func (r *fields) next() (f field, ok bool) {
	if r.pos == len(r.b) {
		return f, false
	}
	start := r.pos
	tag, ok := r.varint()
	f.number, f.wire = tag>>3, byte(tag&7)
	f.at = r.base + r.pos
	var size uint64
	if ok {
		switch f.wire {
		case wireVarint:
			f.varint, ok = r.varint()
		case wireFixed64:
			size = 8
		case wireFixed32:
			size = 4
		case wireBytes:
			size, ok = r.varint()
			f.at = r.base + r.pos
		default:
			ok = false
		}
	}
	if !ok || size > uint64(len(r.b)-r.pos) {
		r.bad, r.pos = true, start
		return f, false
	}
	f.value = r.b[r.pos : r.pos+int(size)]
	r.pos += int(size)
	return f, true
}

func (r *fields) varint() (uint64, bool) {
	v, n := binary.Uvarint(r.b[r.pos:])
	if n <= 0 || n != varintLen(v) {
		return 0, false
	}
	r.pos += n
	return v, true
}

func varintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func appendVarintField(b []byte, number int, v uint64) []byte {
	return binary.AppendUvarint(append(b, byte(number<<3|wireVarint)), v)
}

func appendHead(b []byte, number, size int) []byte {
	return binary.AppendUvarint(append(b, byte(number<<3|wireBytes)), uint64(size))
}

func appendField[T string | []byte](b []byte, number int, v T) []byte {
	return append(appendHead(b, number, len(v)), v...)
}

func varintFieldLen(v uint64) int { return 1 + varintLen(v) }

// fieldLen is the length of a length-delimited field with size bytes.
func fieldLen(size int) int { return 1 + varintLen(uint64(size)) + size }
