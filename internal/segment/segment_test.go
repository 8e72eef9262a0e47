package segment_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/sdsaws/sdsaws/internal/segment"
	"github.com/sdsaws/sdsaws/internal/trace"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

var key = store.Key{Namespace: "ns\xff", Channel: "channel\x00"}

// check encodes messages and decodes them again.
func check(t *testing.T, messages []segment.Message) []byte {
	t.Helper()
	b, err := segment.Encode(key, time.UnixMilli(1_700_000_000_000), messages)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for m, err := range segment.Decode(key, b) {
		if err != nil {
			t.Fatal(err)
		}
		if w := messages[i]; m.Offset != w.Offset || m.ID != w.ID || m.Lamport != w.Lamport || !bytes.Equal(m.Plain, w.Plain) {
			t.Fatalf("message %d is another one", i)
		}
		i++
	}
	if i != len(messages) {
		t.Fatalf("%d messages instead of %d", i, len(messages))
	}
	return b
}

func encode(t testing.TB, offset uint64, m sds.Message) segment.Message {
	t.Helper()
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return segment.Message{Offset: offset, ID: m.MessageID, Lamport: m.LamportTimestamp, Plain: b}
}

func TestMessagesComeBackByteForByte(t *testing.T) {
	check(t, nil)
	entry := sds.HistoryEntry{MessageID: "e\xfe", RetrievalHint: []byte{0}, SenderID: "\x00"}
	all := []segment.Message{
		encode(t, 0, sds.Message{}),
		encode(t, 1, sds.Message{MessageID: "\xff\x00", ChannelID: key.Channel, Content: []byte{0xff, 0}}),
		encode(t, 5, sds.Message{MessageID: "x", ChannelID: "another", CausalHistory: []sds.HistoryEntry{entry, {}},
			RepairRequest: []sds.HistoryEntry{{MessageID: "m"}, entry}, SenderID: "s", BloomFilter: []byte{1}}),
	}
	// What other encoders may write: fields twice, unknown ones.
	odd := all[1]
	odd.Offset = 9
	odd.Plain = append(bytes.Clone(odd.Plain), odd.Plain...)
	if info, err := sds.InspectMessage(odd.Plain); err == nil {
		odd.ID, odd.Lamport = info.MessageID, info.LamportTimestamp
		all = append(all, odd)
	} else {
		t.Logf("the codec refuses fields that come twice: %v", err)
	}
	odd = all[2]
	odd.Offset, odd.Plain = 10, append(bytes.Clone(odd.Plain), 0xf8, 0x07, 0x01)
	if _, err := sds.InspectMessage(odd.Plain); err == nil {
		all = append(all, odd)
	}
	check(t, all)
	large := make([]byte, 900<<10)
	for i := range large {
		large[i] = byte(rand.Uint32()) //nolint:gosec // a test's
	}
	var many []segment.Message
	for i := range uint64(20) {
		many = append(many, encode(t, i*3, sds.Message{MessageID: fmt.Sprint(i), ChannelID: key.Channel, Content: large}))
	}
	check(t, many)
}

// recorded returns so many messages of a recorded conversation as if they were of one channel,
// from its beginning again where it has fewer, and how many bytes they have.
func recorded(t testing.TB, n int) (all []segment.Message, size int) {
	t.Helper()
	f, err := os.Open("../recorded/group.jsonl.zst")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := trace.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for len(all) < n {
		op, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range op.Append {
			var m sds.Message
			if err := m.UnmarshalBinary(b); err != nil {
				t.Fatal(err)
			}
			m.ChannelID = key.Channel
			all = append(all, encode(t, 0, m))
		}
	}
	if len(all) == 0 {
		t.Fatal("the recording has no messages")
	}
	t.Logf("%d recorded messages", len(all))
	for i := 0; len(all) < n; i++ {
		all = append(all, all[i])
	}
	all = all[:n]
	for i := range all {
		all[i].Offset = uint64(i)
		size += len(all[i].Plain)
	}
	return all, size
}

// TestRecordedMessagesShrink shows that neighbouring bloom filters are found.
func TestRecordedMessagesShrink(t *testing.T) {
	all, plain := recorded(t, 500)
	n := len(check(t, all))
	t.Logf("%d messages of %d bytes: %d, 1/%d", len(all), plain, n, plain/n)
	if n > plain/30 {
		t.Errorf("a segment has %d bytes for %d", n, plain)
	}
}

func BenchmarkEncode(b *testing.B) {
	all, plain := recorded(b, 1000)
	b.SetBytes(int64(plain))
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		out, err := segment.Encode(key, time.UnixMilli(1_700_000_000_000), all)
		if err != nil {
			b.Fatal(err)
		}
		size = len(out)
	}
	b.ReportMetric(float64(size), "segment-B")
}

// open returns a file as other readers see it.
func open(t *testing.T, b []byte) *parquet.File {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFooterIsSmall: every query reads it, whatever it asks for.
func TestFooterIsSmall(t *testing.T) {
	long := bytes.Repeat([]byte{0xff}, 16<<10)
	var all []segment.Message
	for i := range uint64(40) {
		all = append(all, encode(t, i, sds.Message{MessageID: fmt.Sprint(i), ChannelID: key.Channel,
			Content: append(long, byte(i)), BloomFilter: long[i:], SenderID: "s",
			CausalHistory: []sds.HistoryEntry{{RetrievalHint: long[:1000]}}}))
	}
	b := check(t, all)
	if n := binary.LittleEndian.Uint32(b[len(b)-8:]); n > 4<<10 {
		t.Errorf("the footer has %d bytes", n)
	}
	group := open(t, b).Metadata().RowGroups[0]
	if s := group.SortingColumns; len(s) != 1 || group.Columns[s[0].ColumnIdx].MetaData.PathInSchema[0] != "offset" ||
		s[0].Descending {
		t.Errorf("sorted by %+v", s)
	}
	bounds := map[string]string{}
	for _, c := range group.Columns {
		s := c.MetaData.Statistics
		bounds[strings.Join(c.MetaData.PathInSchema, ".")] = string(s.MinValue) + "-" + string(s.MaxValue)
		if c.ColumnIndexOffset != 0 || c.ColumnIndexLength != 0 {
			t.Errorf("%s has a column index", c.MetaData.PathInSchema)
		}
	}
	for name, want := range map[string]string{
		"namespace": key.Namespace + "-" + key.Namespace, "channel": key.Channel + "-" + key.Channel, "message_id": "0-9",
		"offset": "\x00\x00\x00\x00\x00\x00\x00\x00-\x27\x00\x00\x00\x00\x00\x00\x00", "sender_id": "s-s",
		"content": "-", "bloom_filter": "-", "causal_history.list.element.retrieval_hint": "-",
	} {
		if got, ok := bounds[name]; !ok || got != want {
			t.Errorf("bounds of %s: %.40q, want %q", name, got, want)
		}
	}
}

// TestOnlyTextGetsABloomFilter: of other ids DuckDB takes wrong hashes.
func TestOnlyTextGetsABloomFilter(t *testing.T) {
	for id, want := range map[string]bool{
		"0xfb6c": true, "!#$%&()*+,-./:; <=>?@[]^_`{|}~": true, "": true,
		"\xff": false, "\x00": false, "a\n": false, "\x7f": false, "é": false, "'": false, `"`: false, `\`: false,
	} {
		b := check(t, []segment.Message{encode(t, 0, sds.Message{MessageID: "text"}), encode(t, 1, sds.Message{MessageID: id})})
		for _, c := range open(t, b).RowGroups()[0].ColumnChunks() {
			filter, named := c.BloomFilter(), open(t, b).Schema().Columns()[c.Column()]
			if got := filter != nil; got != (want && slices.Equal(named, []string{"message_id"})) {
				t.Errorf("%q: %s has a bloom filter: %v", id, named, got)
			}
			if filter == nil {
				continue
			}
			for id, want := range map[string]bool{"text": true, id: true, "unknown": false} {
				if got, err := filter.Check(parquet.ByteArrayValue([]byte(id))); err != nil || got != want {
					t.Errorf("the filter says %v for %q, %v", got, id, err)
				}
			}
		}
	}
}

func TestDamageIsAnError(t *testing.T) {
	b := check(t, []segment.Message{encode(t, 3, sds.Message{MessageID: "a"})})
	other := store.Key{Namespace: key.Namespace, Channel: "other"}
	for name, c := range map[string]struct {
		key   store.Key
		bytes []byte
	}{"empty": {key, nil}, "cut": {key, b[:len(b)-5]}, "other channel": {other, b}, "text": {key, []byte("no Parquet")}} {
		var last error
		for _, err := range segment.Decode(c.key, c.bytes) {
			last = err
		}
		if !errors.Is(last, segment.ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, last)
		}
	}
}
