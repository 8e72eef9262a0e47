package segment

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// TestAnExportHasAllOfIt, in several row groups, so that memory is bounded.
func TestAnExportHasAllOfIt(t *testing.T) {
	var out bytes.Buffer
	e := NewExporter(&out, store.Key{Namespace: "\xff", Channel: "chat"})
	at := time.UnixMilli(1_700_000_000_123)
	const n = 2*groupRows + 1
	for i := range n {
		m := sds.Message{MessageID: fmt.Sprint("m", i), ChannelID: "chat", Content: []byte{byte(i)},
			CausalHistory: []sds.HistoryEntry{{MessageID: "\xfe"}}}
		plain, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		archived := at
		if i == n-1 {
			plain, archived = append(plain, 0x78, 1), time.Time{} // a field that the columns haven't
		}
		if err := e.Write(&Message{Offset: uint64(i), ID: m.MessageID, Plain: plain}, archived.IsZero(), archived); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil || len(f.RowGroups()) != 3 {
		t.Fatalf("%v, %d row groups", err, len(f.RowGroups()))
	}
	rows := make([]exported, n)
	if got, _ := parquet.NewGenericReader[exported](f).Read(rows); got != n {
		t.Fatalf("%d rows", got)
	}
	for i, r := range rows {
		last := i == n-1
		if r.Offset != int64(i) || string(r.MessageID) != fmt.Sprint("m", i) || string(r.Namespace) != "\xff" ||
			r.Live != last || (r.Raw != nil) != last || (r.ArchivedAt == nil) != last ||
			!last && *r.ArchivedAt != at.UnixMilli() || string(r.CausalHistory[0].MessageID) != "\xfe" {
			t.Fatalf("row %d: %+v", i, r)
		}
	}
}
