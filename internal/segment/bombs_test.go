package segment

import (
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

var bombed = store.Key{Namespace: "ns", Channel: "channel"}

func harmless(t testing.TB) []byte {
	t.Helper()
	var all []Message
	for i := range uint64(3) {
		m := sds.Message{MessageID: "m", ChannelID: bombed.Channel, SenderID: "s", Content: []byte("content"),
			CausalHistory: []sds.HistoryEntry{{MessageID: "x"}, {MessageID: "y"}}}
		plain, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Message{Offset: i, ID: "m", Plain: plain})
	}
	b, err := Encode(bombed, time.UnixMilli(1), all)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// footed returns a file with another footer.
func footed(t *testing.T, b []byte, change func(*format.FileMetaData)) []byte {
	t.Helper()
	footer, err := footerOf(b)
	if err != nil {
		t.Fatal(err)
	}
	var meta format.FileMetaData
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), footer, &meta); err != nil {
		t.Fatal(err)
	}
	change(&meta)
	if footer, err = thrift.Marshal(new(thrift.CompactProtocol), &meta); err != nil {
		t.Fatal(err)
	}
	return closed(b[:len(b)-trailer-int(binary.LittleEndian.Uint32(b[len(b)-trailer:]))], footer)
}

// closed puts a footer behind the rest of a file.
func closed(file, footer []byte) []byte {
	file = append(file[:len(file):len(file)], footer...)
	file = binary.LittleEndian.AppendUint32(file, uint32(len(footer)))
	return append(file, "PAR1"...)
}

func compressed(b []byte) []byte {
	e, err := zstd.NewWriter(nil, zstd.WithZeroFrames(true))
	if err != nil {
		panic(err)
	}
	return e.EncodeAll(b, nil)
}

type forged struct {
	header format.PageHeader
	body   []byte
	raw    []byte // instead of an encoded header
}

// with returns a file one of whose columns has other pages.
func with(t *testing.T, b []byte, column string, pages ...forged) []byte {
	t.Helper()
	var chunk []byte
	for _, p := range pages {
		p.header.CompressedPageSize = int32(len(p.body))
		h, err := thrift.Marshal(new(thrift.CompactProtocol), &p.header)
		if err != nil {
			t.Fatal(err)
		}
		if p.raw != nil {
			h = p.raw
		}
		chunk = append(append(chunk, h...), p.body...)
	}
	footer := int(binary.LittleEndian.Uint32(b[len(b)-trailer:]))
	end := len(b) - trailer - footer
	longer := append(append(append([]byte{}, b[:end]...), chunk...), b[end:]...)
	return footed(t, longer, func(meta *format.FileMetaData) {
		for i := range meta.RowGroups[0].Columns {
			m := &meta.RowGroups[0].Columns[i].MetaData
			if strings.Join(m.PathInSchema, ".") == column {
				m.DictionaryPageOffset, m.DataPageOffset, m.TotalCompressedSize = 0, int64(end), int64(len(chunk))
				return
			}
		}
		t.Fatalf("no column %s", column)
	})
}

func data(values, size int, e format.Encoding, levels [2]int, body []byte) forged {
	return forged{body: body, header: format.PageHeader{Type: format.DataPageV2, UncompressedPageSize: int32(size),
		DataPageHeaderV2: thrift.Null[format.DataPageHeaderV2]{Valid: true, V: format.DataPageHeaderV2{
			NumValues: int32(values), NumRows: 3, Encoding: e,
			RepetitionLevelsByteLength: int32(levels[0]), DefinitionLevelsByteLength: int32(levels[1])}}}}
}

func dictionary(values, size int, body []byte) forged {
	return forged{body: body, header: format.PageHeader{Type: format.DictionaryPage, UncompressedPageSize: int32(size),
		DictionaryPageHeader: thrift.Null[format.DictionaryPageHeader]{Valid: true, V: format.DictionaryPageHeader{
			NumValues: int32(values), Encoding: format.Plain}}}}
}

// TestBombsAreRefused: files of some KB that say, or hold, what would take gigabytes.
func TestBombsAreRefused(t *testing.T) {
	b := harmless(t)
	const most = math.MaxInt32
	none := [2]int{}
	delta := func(total uint64) []byte { // its header
		return append(binary.AppendUvarint([]byte{0x80, 0x01, 4}, total), 0)
	}
	run := func(count uint64) []byte { return append(binary.AppendUvarint(nil, count<<1), 0) }
	zeros := make([]byte, 64<<20)
	footer, err := footerOf(b)
	if err != nil {
		t.Fatal(err)
	}
	longFooter := append([]byte{}, b...)
	binary.LittleEndian.PutUint32(longFooter[len(b)-trailer:], math.MaxUint32)
	for name, bomb := range map[string][]byte{
		"a footer of 4 GiB":              longFooter,
		"a footer of 1 MiB":              closed([]byte("PAR1"), make([]byte, 1<<20)),
		"2^31 row groups":                closed(b[:100], append([]byte{0x15, 2, 0x49, 0xfc}, 0xff, 0xff, 0xff, 0xff, 0x07, 0)),
		"2^31 columns":                   closed(b[:100], append([]byte{0x15, 2, 0x29, 0xfc}, 0xff, 0xff, 0xff, 0xff, 0x07, 0)),
		"a text of 2 GiB in the footer":  closed(b[:100], append([]byte{0x68, 0xff, 0xff, 0xff, 0xff, 0x07}, footer...)),
		"2^40 rows":                      footed(t, b, func(m *format.FileMetaData) { m.NumRows = 1 << 40 }),
		"a million row groups":           footed(t, b, func(m *format.FileMetaData) { m.RowGroups = append(m.RowGroups, m.RowGroups...) }),
		"another codec":                  footed(t, b, func(m *format.FileMetaData) { m.RowGroups[0].Columns[6].MetaData.Codec = format.Gzip }),
		"other columns":                  footed(t, b, func(m *format.FileMetaData) { m.Schema[1].Name = "other" }),
		"a column beyond the file":       footed(t, b, func(m *format.FileMetaData) { m.RowGroups[0].Columns[6].MetaData.DataPageOffset = 1 << 40 }),
		"a column before the file":       footed(t, b, func(m *format.FileMetaData) { m.RowGroups[0].Columns[6].MetaData.DataPageOffset = -1 }),
		"a column of 2^60 bytes":         footed(t, b, func(m *format.FileMetaData) { m.RowGroups[0].Columns[6].MetaData.TotalCompressedSize = 1 << 60 }),
		"a page that says 2 GiB":         with(t, b, "content", data(3, most, format.Plain, none, compressed(nil))),
		"a page that holds 64 MiB":       with(t, b, "content", data(3, 10, format.Plain, none, compressed(zeros))),
		"a page of two frames":           with(t, b, "content", data(3, 10, format.Plain, none, append(compressed(zeros[:10]), compressed(zeros)...))),
		"a page of 2^31 values":          with(t, b, "content", data(most, 10, format.Plain, none, compressed(zeros[:10]))),
		"a page that is below 0":         with(t, b, "content", data(-1, -1, format.Plain, none, nil)),
		"2^31 lengths":                   with(t, b, "content", data(3, 9, format.DeltaLengthByteArray, none, compressed(delta(most)))),
		"2^31 integers":                  with(t, b, "lamport", data(3, 9, format.DeltaBinaryPacked, none, compressed(delta(most)))),
		"texts that share":               with(t, b, "content", data(3, 5, format.DeltaByteArray, none, compressed(delta(3)))),
		"a run of 2^29 levels":           with(t, b, "causal_history.list.element.message_id", data(3, 10+len(run(1<<29)), format.Plain, [2]int{len(run(1 << 29)), 0}, append(run(1<<29), compressed(zeros[:10])...))),
		"a run of 2^29 other levels":     with(t, b, "raw", data(3, 10+len(run(1<<29)), format.Plain, [2]int{0, len(run(1 << 29))}, append(run(1<<29), compressed(zeros[:10])...))),
		"levels that are longer":         with(t, b, "raw", data(3, 16, format.Plain, [2]int{0, most}, compressed(zeros[:10]))),
		"a dictionary of 2^31 values":    with(t, b, "sender_id", dictionary(most, 10, compressed(zeros[:10])), data(3, 3, format.RLEDictionary, none, compressed([]byte{1, 6, 0}))),
		"a dictionary that holds 64 MiB": with(t, b, "sender_id", dictionary(1, 10, compressed(zeros))),
		"a dictionary of ids": with(t, b, "message_id", dictionary(1, 5, compressed([]byte{1, 0, 0, 0, 'm'})),
			data(3, 3, format.RLEDictionary, none, compressed([]byte{1, 6, 0}))),
		"a run of 2^29 indexes": with(t, b, "sender_id", dictionary(1, 4, compressed(zeros[:4])),
			data(3, 1+len(run(1<<29)), format.RLEDictionary, none, compressed(append([]byte{1}, run(1<<29)...)))),
		"a text of 2 GiB in a page header":    with(t, b, "content", forged{raw: []byte{0x15, 0, 0x15, 2, 0x15, 2, 0x2c, 0x5c, 0x18, 0xff, 0xff, 0xff, 0xff, 0x07}}),
		"structures without end":              with(t, b, "content", forged{raw: []byte(strings.Repeat("\x1c", 1<<20))}),
		"a page of 10 bytes that says 64 MiB": with(t, b, "content", data(3, 64<<20, format.Plain, none, make([]byte, 10))),
	} {
		var last error
		n := allocated(func() {
			for _, err := range Decode(bombed, bomb) {
				last = err
			}
		})
		if !errors.Is(last, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, last)
		}
		if n > 4<<20+4*uint64(len(bomb)) {
			t.Errorf("%s: %d bytes allocated for %d: %v", name, n, len(bomb), last)
		}
	}
}

// TestNoOtherEncodingIsRead: some let a few bytes stand for many, as texts do that begin alike.
func TestNoOtherEncodingIsRead(t *testing.T) {
	ours := map[format.Encoding]bool{format.Plain: true, format.RLEDictionary: true,
		format.DeltaBinaryPacked: true, format.DeltaLengthByteArray: true}
	for e := range format.Encoding(100) {
		if err := encoded(e, []byte{0x80, 1, 4, 3, 0}, 3); (err == nil) != ours[e] {
			t.Errorf("%v: %v", e, err)
		}
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestManyEntriesAreInRaw: lists that would pass the limit are left out of their columns, and come back.
func TestManyEntriesAreInRaw(t *testing.T) {
	var all []Message
	for i := range uint64(3) {
		m := sds.Message{MessageID: "m", ChannelID: bombed.Channel, CausalHistory: make([]sds.HistoryEntry, maxEntries/2)}
		plain, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Message{Offset: i, ID: "m", Plain: plain})
	}
	b, err := Encode(bombed, time.UnixMilli(1), all)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for m, err := range Decode(bombed, b) {
		if err != nil || !m.Equal(all[n]) {
			t.Fatalf("message %d: %v", n, err)
		}
		n++
	}
	if n != len(all) {
		t.Errorf("%d messages", n)
	}
}

// FuzzDecode decodes anything, in bounded memory, and files that are changed in one place.
func FuzzDecode(f *testing.F) {
	b := harmless(f)
	f.Add([]byte("PAR1"), uint16(0), byte(0))
	for i := range 8 {
		f.Add([]byte{}, uint16(i*len(b)/8), byte(1<<i))
	}
	f.Add(closed([]byte("PAR1"), []byte{0x15, 2, 0}), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, file []byte, at uint16, xor byte) {
		if len(file) == 0 {
			file = append(file, b...)
			file[int(at)%len(file)] ^= xor
		}
		if n := allocated(func() {
			for _, err := range Decode(bombed, file) {
				if err != nil && !errors.Is(err, ErrMalformed) {
					t.Fatal(err)
				}
			}
		}); n > 64<<20 {
			t.Fatalf("%d bytes allocated for %d", n, len(file))
		}
	})
}
