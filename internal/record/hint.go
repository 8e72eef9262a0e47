package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// HintOverhead is how many bytes a stored hint has more than its value.
const HintOverhead = 1 + hintCheck

const (
	hintFormat = 1
	hintCheck  = 8
)

// Hint returns a retrieval hint as it is stored: its format, a checksum that binds it to its place, the value.
func Hint(namespace, messageID string, value []byte) []byte {
	b := append(make([]byte, 0, HintOverhead+len(value)), hintFormat)
	b = append(b, hintSum(namespace, messageID, value)...)
	return append(b, value...)
}

// OpenHint returns the value of a stored hint.
func OpenHint(namespace, messageID string, stored []byte) ([]byte, error) {
	if len(stored) > 0 && stored[0] != hintFormat {
		return nil, fmt.Errorf("%w: hint format %d", ErrFormat, stored[0])
	}
	if len(stored) < HintOverhead || !bytes.Equal(stored[1:HintOverhead], hintSum(namespace, messageID, stored[HintOverhead:])) {
		return nil, fmt.Errorf("%w: checksum of a hint", ErrCorrupt)
	}
	return stored[HintOverhead:], nil
}

func hintSum(namespace, messageID string, value []byte) []byte {
	b := []byte{hintFormat}
	for _, part := range []string{namespace, messageID} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	sum := sha256.Sum256(append(b, value...))
	return sum[:hintCheck]
}
