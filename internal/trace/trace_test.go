package trace

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/sdsaws/sdsaws/internal/recorded"
)

// operations has one of each kind, with empty values where those are allowed.
var operations = []Op{
	{N: 1, MS: 2, Participant: "p", Kind: SaveChannelMeta, Channel: "c\x00\xff", Meta: initialMeta},
	{N: 2, Participant: "p", Kind: UpdateHistory, Channel: "c", Append: [][]byte{{1}, {2, 3}},
		Evict: []string{"", "\xfe"}},
	{N: 3, Participant: "p", Kind: UpdateHistory, Channel: "c", Append: [][]byte{}},
	{N: 4, Participant: "p", Kind: LoadChannel, Channel: "c", Messages: 0, MetaSHA256: "aa",
		HistorySHA256: "bb"},
	{N: 5, Participant: "p", Kind: DropChannel, Channel: "c"},
	{N: 6, Participant: "p", Kind: SetRetrievalHint, MessageID: "", Hint: []byte{}},
}

func written(t *testing.T, ops ...Op) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	for _, op := range ops {
		if err := w.Write(op); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func reader(t *testing.T, from io.Reader) *Reader {
	t.Helper()
	r, err := NewReader(from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func readAll(r *Reader) ([]Op, error) {
	var all []Op
	for {
		op, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, op)
	}
}

func compressed(t *testing.T, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithWindowSize(window))
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	plain := written(t, operations...)
	for name, b := range map[string][]byte{
		"plain":             plain,
		"zstd":              compressed(t, plain),
		"no last newline":   bytes.TrimSpace(plain),
		"blank lines, CRLF": bytes.ReplaceAll(plain, []byte("\n"), []byte("\r\n\r\n")),
	} {
		got, err := readAll(reader(t, bytes.NewReader(b)))
		if err != nil || !reflect.DeepEqual(got, operations) {
			t.Errorf("%s: %v\n%+v", name, err, got)
		}
	}
}

func TestAnEmptyTraceHasNoOperations(t *testing.T) {
	for _, b := range [][]byte{nil, []byte("\n"), []byte("\n \n")} {
		if got, err := readAll(reader(t, bytes.NewReader(b))); err != nil || len(got) != 0 {
			t.Errorf("%q: %v, %v", b, got, err)
		}
	}
}

func TestErrorsNameLineAndKey(t *testing.T) {
	head := `{"n":1,"ms":1,"participant":"cA==","channel":"cA==","op":`
	for line, want := range map[string]string{
		`nonsense`:                                               "no JSON object",
		head + `"dropChannel"`:                                   "no JSON object",
		`{"n":1}`:                                                `"op"`,
		head + `"compactChannel"}`:                               `"compactChannel"`,
		head + `"saveChannelMeta"}`:                              `"meta"`,
		head + `"saveChannelMeta","meta":"%"}`:                   `"meta"`,
		head + `"saveChannelMeta","meta":7}`:                     `"meta"`,
		head + `"updateHistory"}`:                                `"append or evict"`,
		head + `"updateHistory","append":["?"]}`:                 `"append"`,
		head + `"updateHistory","evict":"eA=="}`:                 `"evict"`,
		head + `"loadChannel","messages":1}`:                     `"metaSha256"`,
		head + `"setRetrievalHint","hint":""}`:                   `"messageId"`,
		`{"participant":"","channel":"cA==","op":"dropChannel"}`: `"participant"`,
		`{"participant":"cA==","op":"dropChannel"}`:              `"channel"`,
	} {
		b := append(written(t, operations[0]), line...)
		got, err := readAll(reader(t, bytes.NewReader(b)))
		if len(got) != 1 || err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: %d operations, %v; want line 2 and %s", line, len(got), err, want)
		}
	}
}

func TestALineThatIsTooLongIsRefused(t *testing.T) {
	long := operations[0]
	long.Meta = bytes.Repeat([]byte{1}, 1<<18)
	r := reader(t, bytes.NewReader(written(t, operations[1], long)))
	r.maxLine = 1 << 18
	got, err := readAll(r)
	if len(got) != 1 || err == nil || !strings.Contains(err.Error(), "line 2: has more than 262144") {
		t.Fatalf("%d operations, %v", len(got), err)
	}
}

func TestACutOffTraceIsAnError(t *testing.T) {
	b := compressed(t, written(t, operations...))
	if got, err := readAll(reader(t, bytes.NewReader(b[:len(b)-5]))); err == nil {
		t.Fatalf("read %d operations and no error", len(got))
	}
}

func TestTheWriterRefusesWhatAReaderWould(t *testing.T) {
	w := NewWriter(io.Discard)
	for _, op := range []Op{
		{Participant: "p", Channel: "c"},
		{Kind: DropChannel, Channel: "c"},
		{Kind: DropChannel, Participant: "p"},
		{Kind: SaveChannelMeta, Participant: "p", Channel: "c"},
	} {
		if w.Write(op) == nil {
			t.Errorf("accepted %+v", op)
		}
	}
}

// reproduces fails unless the model expects of every load what the trace has.
func reproduces(t *testing.T, from io.Reader) (loads int) {
	t.Helper()
	r := reader(t, from)
	var m Model
	for {
		op, err := r.Next()
		if errors.Is(err, io.EOF) {
			return loads
		}
		if err == nil {
			err = m.Apply(op)
		}
		if err != nil {
			t.Fatal(err)
		}
		if op.Kind == LoadChannel {
			loads++
			if want := m.Expect(op); !reflect.DeepEqual(op, want) {
				t.Errorf("operation %d: the trace has\n%+v, the model\n%+v", op.N, op, want)
			}
		}
	}
}

func TestTheModelReproducesRecordedTraffic(t *testing.T) {
	if loads := reproduces(t, bytes.NewReader(recorded.Small)); loads != 32 {
		t.Errorf("%d loads", loads)
	}
}

// TestTheModelReproducesMoreTraffic reads the directory that SDSAWS_TRACES names: larger
// recordings than a test run has time for.
func TestTheModelReproducesMoreTraffic(t *testing.T) {
	dir := os.Getenv("SDSAWS_TRACES")
	if dir == "" {
		t.Skip("SDSAWS_TRACES names no directory with more traces")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("SDSAWS_TRACES=%s has no traces: %v", dir, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			t.Logf("%d loads", reproduces(t, f))
		})
	}
}

func BenchmarkReader(b *testing.B) {
	f, err := zstd.NewReader(bytes.NewReader(recorded.Small))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	plain, err := io.ReadAll(f)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(recorded.Small))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := readAll(r); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}
