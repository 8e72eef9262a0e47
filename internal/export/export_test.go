package export

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

var snapshot = []byte{0x08, 0x01, 0x10, 0x00}

func encoded(t *testing.T, id string) []byte {
	t.Helper()
	b, err := (&sds.Message{MessageID: id, Content: []byte(id)}).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sample returns a file with two channels.
func sample(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, "alice\xff")
	if err != nil {
		t.Fatal(err)
	}
	steps := func(all ...error) {
		if err := errors.Join(all...); err != nil {
			t.Fatal(err)
		}
	}
	steps(w.Channel("\xff\x00", snapshot),
		w.Message(Archived, time.UnixMilli(1234), encoded(t, "a")),
		w.Hint(store.Hint{MessageID: "a", Value: []byte{0xff}}),
		w.Message(Evicted, time.Time{}, encoded(t, "b")),
		w.Message(History, time.Time{}, encoded(t, "\xfe")))
	_, _, err = w.EndChannel()
	steps(err, w.Channel("empty", snapshot))
	_, _, err = w.EndChannel()
	steps(err)
	_, _, err = w.Close()
	steps(err)
	return out.Bytes()
}

// read returns what a file has, as text.
func read(b []byte) (all []string, err error) {
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for {
		i, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		i.Sum = Sum{}
		all = append(all, fmt.Sprintf("%d %q %x %d %d %x %q %x %v", i.Kind, i.ID, i.Snapshot, i.Where,
			i.ArchivedAt.UnixMilli(), i.Message, i.Hint.MessageID, i.Hint.Value, i.Counts))
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	got, err := read(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	never := time.Time{}.UnixMilli()
	line := func(k Kind, id, snapshot string, w Where, at int64, message, hint, value, counts string) string {
		return fmt.Sprintf("%d %q %s %d %d %s %q %s %s", k, id, snapshot, w, at, message, hint, value, counts)
	}
	hex := func(id string) string { return fmt.Sprintf("%x", encoded(t, id)) }
	const zero = "{0 0 0 0 0}"
	want := []string{
		line(Namespace, "alice\xff", "", 0, never, "", "", "", zero),
		line(Channel, "\xff\x00", "", 0, never, "", "", "", zero),
		line(Snapshot, "", "08011000", 0, never, "", "", "", zero),
		line(Message, "", "", Archived, 1234, hex("a"), "", "", zero),
		line(Hint, "", "", 0, never, "", "a", "ff", zero),
		line(Message, "", "", Evicted, never, hex("b"), "", "", zero),
		line(Message, "", "", History, never, hex("\xfe"), "", "", zero),
		line(EndChannel, "", "", 0, never, "", "", "", "{1 1 1 1 1}"),
		line(Channel, "empty", "", 0, never, "", "", "", zero),
		line(Snapshot, "", "08011000", 0, never, "", "", "", zero),
		line(EndChannel, "", "", 0, never, "", "", "", "{1 0 0 0 0}"),
		line(End, "", "", 0, never, "", "", "", "{2 1 1 1 1}"),
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
}

func TestDamageIsNoticed(t *testing.T) {
	whole := sample(t)
	want, err := read(whole)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		if _, err := read(whole[:i]); err == nil {
			t.Errorf("cut to %d of %d bytes it is read", i, len(whole))
		}
		b := bytes.Clone(whole)
		b[i] ^= 4
		if got, err := read(b); err == nil && !slices.Equal(got, want) { // zstd has bits that change nothing
			t.Errorf("with byte %d changed it is read as %q", i, got)
		}
	}
	if _, err := read(append(whole, sample(t)[len(magic):]...)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("something behind its end: %v", err)
	}
	if _, err := read([]byte("sdsaws export 2\n")); !errors.Is(err, ErrFormat) {
		t.Errorf("of a later version: %v", err)
	}
}

// TestNothingIsBelieved: records whose sums are right, and that aren't what they should be.
func TestNothingIsBelieved(t *testing.T) {
	type rec struct {
		kind    Kind
		payload string
	}
	message := func(w Where, rest string) rec { return rec{Message, string(rune(w)) + rest} }
	plain := string(encoded(t, "a"))
	begin := []rec{{Namespace, "a"}, {Channel, "c"}, {Snapshot, string(snapshot)}}
	for name, records := range map[string][]rec{
		"no namespace":        {{Channel, "c"}},
		"two namespaces":      {{Namespace, "a"}, {Namespace, "b"}},
		"no id":               {{Namespace, "a"}, {Channel, ""}},
		"no snapshot":         {{Namespace, "a"}, {Channel, "c"}, message(History, plain)},
		"no good snapshot":    {{Namespace, "a"}, {Channel, "c"}, {Snapshot, "x"}},
		"two snapshots":       append(begin[:3:3], rec{Snapshot, string(snapshot)}),
		"nested channels":     append(begin[:3:3], rec{Channel, "d"}),
		"an end inside":       append(begin[:3:3], rec{End, ""}),
		"a wrong sum":         append(begin[:3:3], rec{EndChannel, string(make([]byte, 32))}),
		"a short sum":         append(begin[:3:3], rec{EndChannel, ""}),
		"an empty message":    append(begin[:3:3], rec{Message, ""}),
		"no message":          append(begin[:3:3], message(History, "\xff")),
		"an unknown place":    append(begin[:3:3], message(3, plain)),
		"no time":             append(begin[:3:3], message(Archived, "1234567")),
		"a negative time":     append(begin[:3:3], message(Archived, "\xff2345678"+plain)),
		"archived too late":   append(begin[:3:3], message(Evicted, plain), message(Archived, "\x00\x00\x00\x00\x00\x00\x00\x00"+plain)),
		"a hint without id":   append(begin[:3:3], rec{Hint, "\x05a"}),
		"an unknown kind":     append(begin[:3:3], rec{8, ""}),
		"a message outside":   {{Namespace, "a"}, message(History, plain)},
		"counts that are not": {{Namespace, "a"}, {End, "\x01\x00\x00\x00\x00" + string(make([]byte, 32))}},
	} {
		var out bytes.Buffer
		w, err := NewWriter(&out, "")
		if err != nil {
			t.Fatal(err)
		}
		w.z.Reset(&out)
		out.Truncate(len(magic))
		for _, r := range records {
			if err := w.record(r.kind, true, []byte(r.payload)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.z.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := read(out.Bytes()); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) || len(got) < len(records)-1 {
			t.Errorf("%s: %d records, %v", name, len(got), err)
		}
	}
}

func TestALongRecordTakesNoMemoryThatIsNotThere(t *testing.T) {
	var out bytes.Buffer
	out.WriteString(magic)
	z, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write([]byte{byte(Namespace), 0xff, 0xff, 0xff, 0xff, 1, 'a'}); err != nil { // 512 MiB less 1
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = read(out.Bytes())
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrCorrupt) || n > 100<<20 {
		t.Fatalf("%d bytes, %v", n, err)
	}
}
