package offsets

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"testing"
)

// TestDecodingIsBounded: neither a count nor lengths that are said make it allocate more than 8 bytes
// for each byte that is there.
func TestDecodingIsBounded(t *testing.T) {
	rest := bytes.Repeat([]byte{1}, 1<<20)
	for name, b := range map[string][]byte{
		"a count without spans":   binary.AppendUvarint(nil, math.MaxUint64),
		"a count beyond the rest": append(binary.AppendUvarint(nil, 1<<40), rest...),
		"a span a byte":           append(binary.AppendUvarint(nil, 1<<20), rest...),
		"spans up to the end":     append(binary.AppendUvarint(nil, 1<<19), rest...),
		"2^64 offsets":            binary.AppendUvarint([]byte{1, 0}, math.MaxUint64),
		"all but one":             binary.AppendUvarint([]byte{1, 0}, 1<<24),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := Decode(b, 1<<24-1)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 8*uint64(len(b))+64<<10 {
			t.Errorf("%s: %d bytes allocated for %d", name, n, len(b))
		}
		if whole := name == "spans up to the end"; whole != (err == nil) || !whole && !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %d offsets, %v", name, s.Len(), err)
		}
	}
}
