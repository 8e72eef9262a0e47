package sds

import (
	"bytes"
	"runtime"
	"testing"
)

// maxDecoded is how many bytes decoding allocates for each byte that it is given, as
// HistoryEntry.UnmarshalBinary says.
const maxDecoded = 128

// TestDecodingIsBounded: encoded values have no counts that could lie, but what takes a few bytes encoded
// takes more decoded. These are the worst of each kind.
func TestDecodingIsBounded(t *testing.T) {
	const n = 1 << 20
	field := func(number int, v []byte) []byte { return appendField(nil, number, v) }
	entry := field(1, nil) // the least HistoryEntry
	message := bytes.Join([][]byte{field(1, nil), appendVarintField(nil, 2, 0), field(4, nil), field(5, nil)}, nil)
	outgoing := append(field(1, message), appendVarintField(nil, 2, 0)...)
	outgoingRepair := append(field(1, nil), field(2, append(field(1, entry), appendVarintField(nil, 2, 0)...))...)
	incomingRepair := append(field(1, nil),
		field(2, bytes.Join([][]byte{field(1, entry), field(2, nil), appendVarintField(nil, 3, 0)}, nil))...)
	var missing []byte
	for i := range 200_000 {
		missing = appendField(missing, 2, []byte{byte(i), byte(i >> 8), byte(i >> 16)})
	}
	clock := append(appendVarintField(nil, 1, 1), appendVarintField(nil, 2, 0)...)
	many := func(number int, v []byte) []byte {
		f := field(number, v)
		return bytes.Repeat(f, n/len(f))
	}
	meta := func(fields []byte) []byte { return append(bytes.Clone(clock), fields...) }
	for name, c := range map[string]struct {
		to codec
		b  []byte
	}{
		"causal history":   {&Message{}, append(bytes.Clone(message), many(3, entry)...)},
		"repair request":   {&Message{}, append(bytes.Clone(message), many(13, entry)...)},
		"outgoing":         {&ChannelMeta{}, meta(many(3, outgoing))},
		"incoming":         {&ChannelMeta{}, meta(many(4, field(1, message)))},
		"missing":          {&ChannelMeta{}, meta(field(4, append(field(1, message), missing...)))},
		"outgoing repair":  {&ChannelMeta{}, meta(many(5, outgoingRepair))},
		"incoming repair":  {&ChannelMeta{}, meta(many(6, incomingRepair))},
		"history":          {&ChannelData{}, append(field(1, clock), many(2, message)...)},
		"append":           {&HistoryUpdate{}, many(1, message)},
		"evict":            {&HistoryUpdate{}, many(2, nil)},
		"evict one":        {&HistoryUpdate{}, many(2, []byte("x"))},
		"a length of 2^63": {&Message{}, []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := c.to.UnmarshalBinary(c.b)
		runtime.ReadMemStats(&after)
		if (err != nil) != (name == "a length of 2^63") {
			t.Errorf("%s: %v", name, err)
		}
		each := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(c.b))
		t.Logf("%s: %.1f bytes for each of %d", name, each, len(c.b))
		if each > maxDecoded && after.TotalAlloc-before.TotalAlloc > 64<<10 {
			t.Errorf("%s: %.1f bytes allocated for each byte, stated are %d", name, each, maxDecoded)
		}
	}
}
