package integration_test

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/integration/duckdb"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/s3archive"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

func TestDuckDBReadsABucketAsOneTable(t *testing.T) {
	b, name := resources(t, nil), bucket(t, true)
	b.archive = s3archive.New(newS3(), name, &s3archive.Options{Prefix: "some/prefix/"})
	endpoint, err := url.Parse(aws.ToString(cfg.BaseEndpoint))
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	readsAsOneTable(t, b.backend(), "s3://"+name+"/some/prefix", &duckdb.S3{
		Endpoint: endpoint.Host, SSL: endpoint.Scheme == "https", Region: cfg.Region,
		Key: credentials.AccessKeyID, Secret: credentials.SecretAccessKey})
}

func TestDuckDBReadsADirectoryAsOneTable(t *testing.T) {
	dir := t.TempDir()
	s, err := embedded.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	readsAsOneTable(t, sdsaws.Backend{Log: s, Hints: s, Archive: s.Archive()},
		filepath.ToSlash(filepath.Join(dir, "archive")), nil)
}

// hostile are channels whose names, in hex or not, readers of paths could take for something else.
var hostile = []store.Key{
	{Namespace: "\xff\x00/=%25", Channel: "/group/0/chat"},
	{Namespace: "\xff\x00/=%25", Channel: "\x00\xfe=a%2F/../'\"\n"},
	{Namespace: "12345", Channel: "678"},                                          // as hex: digits alone
	{Namespace: strings.Repeat("long", 40), Channel: strings.Repeat("\xff", 300)}, // hashes in names
	{Namespace: strings.Repeat("n", store.MaxNamespace), Channel: strings.Repeat("long", 40) + "\x00"},
}

// printable is the one of them whose message ids are text; only its segments have bloom filters.
var printable = hostile[2]

// sent is an encoded message, and whether the columns tell its bytes.
type sent struct {
	encoded []byte
	raw     bool // they don't
}

// conversation returns the messages of a round, no two with the same id and bytes.
func conversation(t *testing.T, channel string, round int) (all []sent) {
	t.Helper()
	bytesOf := func(n int) []byte { // not to be compressed
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i*i>>3 ^ i*7 ^ round)
		}
		return b
	}
	entries := []sds.HistoryEntry{
		{MessageID: "\xff\x00", RetrievalHint: []byte{0, 0xff}, SenderID: "\xfe'"}, {}, {MessageID: "m"},
	}
	add := func(m sds.Message, more ...byte) {
		m.ChannelID = cmp.Or(m.ChannelID, channel)
		m.LamportTimestamp = max(m.LamportTimestamp, int64(100*round+len(all)))
		if channel == printable.Channel {
			m.MessageID = fmt.Sprintf("0x%x", m.MessageID)
		}
		b, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sent{append(b, more...), len(more) > 0 || m.ChannelID != channel})
	}
	add(sds.Message{})
	add(sds.Message{MessageID: "\xff\x00/=%25", LamportTimestamp: 1<<63 - 1 - int64(round), Content: []byte{0xff, 0}, SenderID: "\x00"})
	add(sds.Message{MessageID: "123", Content: []byte("text"), SenderID: "456", BloomFilter: bytesOf(300), CausalHistory: entries})
	add(sds.Message{MessageID: strings.Repeat("\xff", 40), Content: bytesOf(100_000), CausalHistory: entries[1:2]})
	add(sds.Message{MessageID: "repair", SenderID: strings.Repeat("s", 300), RepairRequest: entries})
	add(sds.Message{MessageID: "of another channel", ChannelID: "another", Content: []byte("as it was")})
	add(sds.Message{MessageID: "of a later version"}, 0xf8, 0x07, byte(round)) // with a field that is unknown yet
	add(sds.Message{MessageID: fmt.Sprint("stays ", round), Content: bytesOf(200_000)})
	return all
}

// archive adds two rounds of messages to a channel and archives each apart from its last
// message; so ids come twice. It returns what DuckDB must find.
func archive(t *testing.T, a *sdsaws.Adapter, key store.Key) (want []map[string]any) {
	t.Helper()
	evicted := map[string]sent{}
	for round := range 2 {
		all := conversation(t, key.Channel, round)
		var u, later sds.EncodedHistoryUpdate
		for i, s := range all {
			u.Append = append(u.Append, s.encoded)
			info, err := sds.InspectMessage(s.encoded)
			if err != nil {
				t.Fatal(err)
			}
			if i < len(all)-1 {
				later.Evict = append(later.Evict, info.MessageID)
				evicted[string(s.encoded)] = s
			}
		}
		for _, u := range []sds.EncodedHistoryUpdate{u, later} {
			if err := a.UpdateEncodedHistory(t.Context(), key.Channel, u); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.Archive(t.Context(), key.Channel); err != nil {
			t.Fatal(err)
		}
	}
	for m, err := range a.History(t.Context(), key.Channel, sdsaws.HistoryRange{Part: sdsaws.ArchivedHistory}) {
		if err != nil {
			t.Fatal(err)
		}
		s, ok := evicted[string(m.Encoded)]
		if !ok {
			t.Fatalf("%q at offset %d was archived twice, or not evicted", m.MessageID, m.Offset)
		}
		delete(evicted, string(m.Encoded))
		want = append(want, rowOf(t, key, &m, s.raw))
	}
	if len(evicted) > 0 {
		t.Fatalf("%d messages are not archived", len(evicted))
	}
	return want
}

// rowOf returns the row of a message, with bytes in hex.
func rowOf(t *testing.T, key store.Key, h *sdsaws.HistoryMessage, withRaw bool) map[string]any {
	t.Helper()
	var m sds.Message
	if err := m.UnmarshalBinary(h.Encoded); err != nil {
		t.Fatal(err)
	}
	inHex := func(s string) string { return hex.EncodeToString([]byte(s)) }
	entries := func(all []sds.HistoryEntry) any {
		list := []any{}
		for _, e := range all {
			list = append(list, map[string]any{"message_id": inHex(e.MessageID),
				"retrieval_hint": hex.EncodeToString(e.RetrievalHint), "sender_id": inHex(e.SenderID)})
		}
		return list
	}
	var raw any
	if withRaw {
		raw = hex.EncodeToString(h.Encoded)
	}
	return map[string]any{
		"namespace": inHex(key.Namespace), "channel": inHex(key.Channel), "offset": h.Offset,
		"message_id": inHex(m.MessageID), "lamport": m.LamportTimestamp, "sender_id": inHex(m.SenderID),
		"content": hex.EncodeToString(m.Content), "bloom_filter": hex.EncodeToString(m.BloomFilter),
		"causal_history": entries(m.CausalHistory), "repair_request": entries(m.RepairRequest),
		"archived_at": h.ArchivedAt.UnixMilli(), "raw": raw,
	}
}

const entryType = "STRUCT(message_id BLOB, retrieval_hint BLOB, sender_id BLOB)[]"

// columns of the table, and what DuckDB takes them for.
var columns = [][2]string{
	{"namespace", "BLOB"}, {"channel", "BLOB"}, {"offset", "BIGINT"}, {"message_id", "BLOB"}, {"lamport", "BIGINT"},
	{"sender_id", "BLOB"}, {"content", "BLOB"}, {"bloom_filter", "BLOB"}, {"causal_history", entryType},
	{"repair_request", entryType}, {"archived_at", "TIMESTAMP WITH TIME ZONE"}, {"raw", "BLOB"},
}

// table is a DuckDB and the rows that it must find.
type table struct {
	db   *duckdb.DB
	from string // a table expression
	rows []map[string]any
}

// readsAsOneTable fills the hostile channels, and reads what is archived under a path or
// URL as docs/archive.md says.
func readsAsOneTable(t *testing.T, b sdsaws.Backend, place string, s3 *duckdb.S3) {
	db, err := duckdb.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db.S3 = s3
	files := "'" + place + "/segments/*/*/*.parquet'"
	all := &table{db: db, from: "read_parquet(" + files + ", hive_partitioning = false)"}
	for _, key := range hostile {
		a, err := sdsaws.New(b, &sdsaws.Options{Namespace: key.Namespace})
		if err != nil {
			t.Fatal(err)
		}
		all.rows = append(all.rows, archive(t, a, key)...)
		if err := a.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("every column of every row", all.everything)
	t.Run("sorted in each file", all.sorted)
	t.Run("by message id", all.byMessageID)
	t.Run("by channel", all.byChannel)
	t.Run("bloom filter", func(t *testing.T) { bloomFilter(t, db, files) })
	t.Run("folders as columns", func(t *testing.T) { foldersAsColumns(t, db, files) })
	t.Run("dropped", func(t *testing.T) { dropped(t, b, all, files) })
}

func (w *table) query(t *testing.T, q string) [][]any {
	t.Helper()
	got, err := w.db.Query(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

// is compares what a query finds, the first column of its first row, with a number.
func (w *table) is(t *testing.T, what string, want int, q string) {
	t.Helper()
	if got := w.query(t, q); len(got) != 1 || fmt.Sprint(got[0][0]) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %d", what, got, want)
	}
}

// everything compares all rows, whatever their order.
func (w *table) everything(t *testing.T) {
	var names []string
	types := w.query(t, "DESCRIBE FROM "+w.from)
	for i, c := range columns {
		if len(types) != len(columns) || types[i][0] != c[0] || types[i][1] != c[1] {
			t.Fatalf("the columns are %v", types)
		}
		name := `"` + c[0] + `"`
		if c[0] == "archived_at" {
			name = "epoch_ms(archived_at)"
		}
		names = append(names, name)
	}
	var got, want []string
	for _, r := range w.query(t, "SELECT "+strings.Join(names, ", ")+" FROM "+w.from) {
		row := map[string]any{}
		for i, c := range columns {
			row[c[0]] = r[i]
		}
		got = append(got, line(t, row))
	}
	for _, r := range w.rows {
		want = append(want, line(t, r))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("%d rows\n%.2000s\nwant %d\n%.2000s", len(got), got, len(want), want)
	}
	w.is(t, "files", 2*len(hostile), "SELECT count(DISTINCT filename) FROM "+w.from)
	w.is(t, "rows", len(want), "SELECT count(*) FROM "+w.from)
}

func line(t *testing.T, row map[string]any) string {
	t.Helper()
	b, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (w *table) sorted(t *testing.T) {
	w.is(t, "rows out of order", 0, `SELECT count(*) FROM (
		SELECT "offset" <= lag("offset") OVER (PARTITION BY filename ORDER BY file_row_number) AS wrong
		FROM `+strings.TrimSuffix(w.from, ")")+`, file_row_number = true)) WHERE wrong`)
}

func (w *table) byMessageID(t *testing.T) {
	rows := map[string]int{}
	for _, r := range w.rows {
		rows[r["message_id"].(string)]++
	}
	var queries []string
	ids := slices.Sorted(maps.Keys(rows))
	for _, id := range ids {
		queries = append(queries, "SELECT count(*) FROM "+w.from+" WHERE message_id = unhex('"+id+"')")
	}
	queries = append(queries, "SELECT count(*) FROM "+w.from+" WHERE message_id = 'unknown'::BLOB")
	got, err := w.db.Query(t.Context(), queries...)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range append(ids, "unknown") {
		if n := fmt.Sprint(got[i][0][0]); n != fmt.Sprint(rows[id]) {
			t.Errorf("%s: %s rows, want %d", id, n, rows[id])
		}
	}
}

func (w *table) byChannel(t *testing.T) {
	for _, key := range hostile {
		w.is(t, fmt.Sprintf("%.40q", key), len(w.rows)/len(hostile), fmt.Sprintf(
			"SELECT count(*) FROM %s WHERE namespace = unhex('%x') AND channel = unhex('%x')", w.from, key.Namespace, key.Channel))
	}
}

// bloomFilter shows that DuckDB finds the filters and understands them.
func bloomFilter(t *testing.T, db *duckdb.DB, files string) {
	got, err := db.Query(t.Context(),
		"SELECT count(*) FROM parquet_metadata("+files+") WHERE bloom_filter_offset IS NOT NULL",
		"SELECT count(*) FROM parquet_bloom_probe("+files+", 'message_id', 'unknown'::BLOB) WHERE bloom_filter_excludes",
		"SELECT count(*) FROM parquet_bloom_probe("+files+", 'message_id', '0x313233'::BLOB) WHERE bloom_filter_excludes")
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != "[[[2]] [[2]] [[0]]]" {
		t.Errorf("files with a filter, that exclude an unknown id, that exclude a known one: %v", got)
	}
}

// foldersAsColumns shows why the queries say hive_partitioning = false: DuckDB's default
// puts the hex digits of the folders in the place of the columns of the same names.
func foldersAsColumns(t *testing.T, db *duckdb.DB, files string) {
	var folders []string
	for _, with := range []string{"", ", hive_partitioning = true"} {
		got, err := db.Query(t.Context(), "DESCRIBE FROM read_parquet("+files+with+")",
			"SELECT DISTINCT namespace::VARCHAR FROM read_parquet("+files+with+") ORDER BY 1")
		if err != nil {
			t.Fatal(err)
		}
		if len(got[0]) != len(columns) || got[0][0][1] != "VARCHAR" || got[0][1][1] != "VARCHAR" {
			t.Errorf("the columns are %v", got[0])
		}
		folders = append(folders, fmt.Sprintf("%.40s", got[1]))
	}
	if folders[0] != folders[1] || !strings.HasPrefix(folders[0], "[[3132333435] ") {
		t.Errorf("namespaces %q", folders)
	}
}

// dropped shows the query that leaves out segments of a dropped channel: a process that dies
// while it archives can leave one, until the next sweep.
func dropped(t *testing.T, b sdsaws.Backend, all *table, files string) {
	key := hostile[0]
	a, err := sdsaws.New(b, &sdsaws.Options{Namespace: key.Namespace})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(t.Context())
	left := map[string][]byte{}
	for o, err := range b.Archive.List(t.Context(), record.Folder(record.Segments, key)) {
		if err != nil {
			t.Fatal(err)
		}
		if left[o.Name], err = b.Archive.Get(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.DropChannel(t.Context(), key.Channel); err != nil {
		t.Fatal(err)
	}
	all.is(t, "after a drop", len(all.rows)/len(hostile)*(len(hostile)-1), "SELECT count(*) FROM "+all.from)
	rows := len(archive(t, a, key))
	for name, body := range left {
		if _, err := b.Archive.Put(t.Context(), name, body); err != nil {
			t.Fatal(err)
		}
	}
	folder := fmt.Sprintf(" WHERE namespace = unhex('%x') AND channel = unhex('%x')", key.Namespace, key.Channel)
	all.is(t, "with what is left", 2*rows, "SELECT count(*) FROM "+all.from+folder)
	current := `SELECT count(*) FROM (
		SELECT *, regexp_extract(filename, '(\d+)-\d+-\d+\.parquet$', 1)::UBIGINT AS origin
		FROM read_parquet(` + files + `, hive_partitioning = false, filename = true)
		QUALIFY origin = max(origin) OVER (PARTITION BY namespace, channel))`
	all.is(t, "of the latest origin", rows, current+folder)
	if _, err := a.Sweep(t.Context(), key.Channel, nil); err != nil {
		t.Fatal(err)
	}
	all.is(t, "after a sweep", rows, "SELECT count(*) FROM "+all.from+folder)
}
