package main

import (
	"maps"
	"testing"

	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/internal/price"
	"github.com/sdsaws/sdsaws/internal/trace"
	"github.com/sdsaws/sdsaws/sds"
)

// sized returns a message of so many bytes, encoded: zeros, which compress well.
func sized(t *testing.T, id string, bytes int) []byte {
	t.Helper()
	const guess = 4000
	m := sds.Message{MessageID: id, ChannelID: "c", Content: make([]byte, guess)}
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	m.Content = make([]byte, guess+bytes-len(b))
	if b, err = m.MarshalBinary(); err != nil || len(b) != bytes {
		t.Fatalf("%d bytes: %v", len(b), err)
	}
	return b
}

// TestFormulas follows one participant by hand.
func TestFormulas(t *testing.T) {
	f, err := newFormulas()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	play := func(op trace.Op) {
		n++
		op.N, op.Participant = n, "p"
		if op.Kind != trace.SetRetrievalHint {
			op.Channel = "c"
		}
		if err := f.play(op); err != nil {
			t.Fatal(err)
		}
	}
	save := func(bytes int) { play(trace.Op{Kind: trace.SaveChannelMeta, Meta: make([]byte, bytes)}) }

	play(trace.Op{Kind: trace.LoadChannel}) // of nothing: 1 read unit
	save(2000)                              // 2250 and 5120 bytes in a transaction: 2 × (3 + 5)
	play(trace.Op{Kind: trace.UpdateHistory, Append: [][]byte{sized(t, "a", 5000)}})
	save(774) // 1024 bytes: 1
	play(trace.Op{Kind: trace.SetRetrievalHint, MessageID: "a", Hint: []byte("hint")})
	save(775) // 1025 bytes: 2; and 5 for the message that goes
	play(trace.Op{Kind: trace.UpdateHistory, Evict: []string{"a", "unknown"}})
	play(trace.Op{Kind: trace.LoadChannel}) // 1 read unit
	save(5000)                              // 5250 bytes: 6, and 6 for its deletion
	play(trace.Op{Kind: trace.DropChannel})
	save(1) // 1
	f.finish()

	requests := func(more map[string]int) map[string]int {
		all := map[string]int{"TransactWriteItems": 1, "PutItem": 5, "BatchWriteItem": 2, "Query": 2}
		maps.Copy(all, more)
		return all
	}
	want := map[string]Ledger{
		plain: {WriteUnits: map[dynamo.Purpose]int{dynamo.Commits: 26, dynamo.Deletes: 11, dynamo.HintOps: 1},
			Requests: requests(nil), StoredBytes: 1},
		// Everything compressed is of 1 KB.
		withZstd: {WriteUnits: map[dynamo.Purpose]int{dynamo.Commits: 8, dynamo.Deletes: 2, dynamo.HintOps: 1},
			Requests: requests(nil), StoredBytes: int64(f.value([]byte{0}).compressed)},
		s3PerSave: {WriteUnits: map[dynamo.Purpose]int{dynamo.Commits: 8, dynamo.Deletes: 2, dynamo.HintOps: 1},
			Requests: requests(map[string]int{"PutObject": 5, "GetObject": 1})},
	}
	for _, w := range f.ways {
		got := w.book.ledger(w.name, &price.USEast1, f.saves)
		got.StoredBytes, _ = w.stored()
		if c := want[w.name]; !maps.Equal(got.WriteUnits, c.WriteUnits) || !maps.Equal(got.Requests, c.Requests) ||
			got.StoredBytes != c.StoredBytes {
			t.Errorf("%s: %+v, want %+v", w.name, got, c)
		}
		if got.ReadUnits != 2 || got.RequestsPerSave != 7./5 { // 5 commits and 2 loads
			t.Errorf("%s: %d read units, %v requests a save", w.name, got.ReadUnits, got.RequestsPerSave)
		}
		if w.evicted != 1 || w.evictedBytes != 5000 {
			t.Errorf("%s: %d evicted, of %d bytes", w.name, w.evicted, w.evictedBytes)
		}
	}
	if l := f.ways[0].book.ledger(plain, &price.USEast1, 5); l.DollarsAMillion != (38*0.625+2*0.125)/5 {
		t.Errorf("$%v a million saves", l.DollarsAMillion)
	}
}
