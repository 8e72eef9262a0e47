package record

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Value refers to a packed message or snapshot that lies in the archive, because it is
// too large for its item.
type Value struct {
	Name    string // of the object, without what the names of all the channel's values begin with
	Version string
	Size    int64
	Sum     Sum // SHA-256 of the object
}

// MaxValueRef is the most bytes that a Value takes when it is encoded, with the longest
// version that S3 may give.
const MaxValueRef = 1300

const (
	fieldName    protowire.Number = 1
	fieldVersion protowire.Number = 2
	fieldSize    protowire.Number = 3
	fieldSum     protowire.Number = 4
)

// NewValue describes a packed value that was put under a name.
func NewValue(name, version string, packed []byte) *Value {
	return &Value{Name: name, Version: version, Size: int64(len(packed)), Sum: sha256.Sum256(packed)}
}

// Check reports whether b is the object that v refers to.
func (v *Value) Check(b []byte) error {
	if int64(len(b)) != v.Size {
		return fmt.Errorf("%w: value has %d bytes instead of %d", ErrCorrupt, len(b), v.Size)
	}
	if sha256.Sum256(b) != v.Sum {
		return fmt.Errorf("%w: checksum of a value", ErrCorrupt)
	}
	return nil
}

func (v *Value) append(b []byte) []byte {
	b = protowire.AppendString(protowire.AppendTag(b, fieldName, protowire.BytesType), v.Name)
	b = protowire.AppendString(protowire.AppendTag(b, fieldVersion, protowire.BytesType), v.Version)
	b = protowire.AppendVarint(protowire.AppendTag(b, fieldSize, protowire.VarintType), uint64(v.Size)) //nolint:gosec // above 0
	return protowire.AppendBytes(protowire.AppendTag(b, fieldSum, protowire.BytesType), v.Sum[:])
}

// openValue reads an encoded Value. It takes exactly what append writes.
func openValue(b []byte) (*Value, error) {
	v := &Value{}
	for rest := b; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return nil, fmt.Errorf("%w: reference to a value: %w", ErrCorrupt, protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(number, kind, rest[n:])
		if size < 0 {
			return nil, fmt.Errorf("%w: reference to a value: %w", ErrCorrupt, protowire.ParseError(size))
		}
		field := rest[n : n+size]
		switch {
		case number == fieldSize && kind == protowire.VarintType:
			u, _ := protowire.ConsumeVarint(field)
			v.Size = int64(u) //nolint:gosec // compared below
		case kind == protowire.BytesType:
			text, _ := protowire.ConsumeBytes(field)
			switch {
			case number == fieldName:
				v.Name = string(text)
			case number == fieldVersion:
				v.Version = string(text)
			case number == fieldSum && len(text) == len(v.Sum):
				v.Sum = Sum(text)
			}
		}
		rest = rest[n+size:]
	}
	if v.Size <= 0 || v.Size > MaxPlain || !bytes.Equal(v.append(nil), b) {
		return nil, fmt.Errorf("%w: reference to a value", ErrCorrupt)
	}
	return v, nil
}

// ValueMessage returns the body of a message whose packed bytes are in the archive.
func ValueMessage(term Term, v *Value) []byte {
	b := append([]byte{valueFormat}, term[:messageCheck]...)
	return v.append(b)
}

// MessageValue returns what the body of a message refers to, or nil when it holds the
// message itself.
func MessageValue(body []byte) (*Value, error) {
	if len(body) == 0 || body[0] != valueFormat {
		return nil, nil
	}
	if len(body) < 1+messageCheck {
		return nil, fmt.Errorf("%w: message of %d bytes", ErrCorrupt, len(body))
	}
	return openValue(body[1+messageCheck:])
}

// Inline returns the body of a message with the packed bytes in the place of what it
// refers to.
func Inline(body, packed []byte) []byte {
	b := append([]byte{messageFormat}, body[1:1+messageCheck]...)
	return append(b, packed...)
}
