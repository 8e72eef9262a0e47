package export

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
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
	more := func(r ...rec) []rec { return append(begin[:3:3], r...) }
	long := func(n int) string { return strings.Repeat("x", n) }
	many := more(message(Evicted, plain))
	for i := range 64 {
		many = append(many, message(Evicted, string(encoded(t, fmt.Sprint(i)))))
	}
	for name, records := range map[string][]rec{
		"no namespace":              {{Channel, "c"}},
		"a long namespace":          {{Namespace, long(257)}},
		"two namespaces":            {{Namespace, "a"}, {Namespace, "b"}},
		"no id":                     {{Namespace, "a"}, {Channel, ""}},
		"a long id":                 {{Namespace, "a"}, {Channel, long(64<<10 + 1)}},
		"no snapshot":               {{Namespace, "a"}, {Channel, "c"}, message(History, plain)},
		"no good snapshot":          {{Namespace, "a"}, {Channel, "c"}, {Snapshot, "x"}},
		"two snapshots":             more(rec{Snapshot, string(snapshot)}),
		"nested channels":           more(rec{Channel, "d"}),
		"an end inside":             more(rec{End, ""}),
		"a wrong sum":               more(rec{EndChannel, string(make([]byte, 64))}),
		"a short sum":               more(rec{EndChannel, ""}),
		"an empty message":          more(rec{Message, ""}),
		"no message":                more(message(History, "\xff")),
		"an unknown place":          more(message(3, plain)),
		"no time":                   more(message(Archived, "1234567")),
		"a negative time":           more(message(Archived, "\xff2345678"+plain)),
		"archived too late":         more(message(Evicted, plain), message(Archived, "\x00\x00\x00\x00\x00\x00\x00\x00"+plain)),
		"two of one id":             more(message(History, plain), message(History, plain)),
		"a hint without id":         more(rec{Hint, "\x05a"}),
		"a hint of no message":      more(rec{Hint, "\x00value"}),
		"a hint of another channel": more(message(History, plain), rec{Hint, "\x01bvalue"}),
		"a hint too late":           append(many, rec{Hint, "\x01avalue"}),
		"a long hint":               more(message(History, plain), rec{Hint, "\x01a" + long(1<<20)}),
		"an unknown kind":           more(rec{8, ""}),
		"a message outside":         {{Namespace, "a"}, message(History, plain)},
		"counts that are not":       {{Namespace, "a"}, {End, "\x01\x00\x00\x00\x00" + string(make([]byte, 32))}},
	} {
		var out bytes.Buffer
		w, err := NewWriter(&out, "")
		if err != nil {
			t.Fatal(err)
		}
		w.z.Reset(&out)
		out.Truncate(len(magic))
		for _, r := range records {
			if err := w.write(r.kind, nil, len(r.payload), []byte(r.payload)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.z.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := read(out.Bytes()); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) || len(got) != len(records)-1 {
			t.Errorf("%s: %d of %d records, %v", name, len(got), len(records), err)
		}
	}
}

// TestNothingIsWrittenThatIsNotRead: what would be no export is an error where it is written.
func TestNothingIsWrittenThatIsNotRead(t *testing.T) {
	m := func(w *Writer, where Where, id string) error { return w.Message(where, time.Time{}, encoded(t, id)) }
	end := func(w *Writer) error { _, _, err := w.EndChannel(); return err }
	for name, last := range map[string]func(w *Writer) error{
		"archived too late":       func(w *Writer) error { return w.Message(Archived, time.UnixMilli(1), encoded(t, "b")) },
		"two of one id":           func(w *Writer) error { return m(w, History, "a") },
		"no message":              func(w *Writer) error { return w.Message(History, time.Time{}, []byte{1}) },
		"a hint of no message":    func(w *Writer) error { return w.Hint(store.Hint{MessageID: "b"}) },
		"a long hint":             func(w *Writer) error { return w.Hint(store.Hint{MessageID: "a", Value: make([]byte, 1<<20)}) },
		"a channel inside":        func(w *Writer) error { return w.Channel("d", snapshot) },
		"a channel twice":         func(w *Writer) error { return errors.Join(end(w), w.Channel("c", snapshot)) },
		"a channel without an id": func(w *Writer) error { return errors.Join(end(w), w.Channel("", snapshot)) },
		"a long id":               func(w *Writer) error { return errors.Join(end(w), w.Channel(strings.Repeat("x", 64<<10+1), snapshot)) },
		"no snapshot":             func(w *Writer) error { return errors.Join(end(w), w.Channel("d", []byte("x"))) },
		"a message outside":       func(w *Writer) error { return errors.Join(end(w), m(w, History, "d")) },
		"an end inside":           func(w *Writer) error { _, _, err := w.Close(); return err },
	} {
		w, err := NewWriter(io.Discard, "alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Channel("c", snapshot), m(w, History, "a"), w.Hint(store.Hint{MessageID: "a"})); err != nil {
			t.Fatal(err)
		}
		if last(w) == nil {
			t.Errorf("%s: written", name)
		}
	}
}

// TestABombTakesNoMemory: what is small in a file and large when it is read is refused before it is kept.
func TestABombTakesNoMemory(t *testing.T) {
	for name, bomb := range map[string]func(w *Writer) error{
		"an id": func(w *Writer) error { return w.write(Channel, nil, 256<<20, make([]byte, 256<<20)) },
		"many ids": func(w *Writer) error {
			for i := range 1200 {
				id := append(fmt.Append(nil, i), make([]byte, 60<<10)...)
				one := sha256.New()
				if err := errors.Join(w.write(Channel, one, len(id), id), w.write(Snapshot, one, len(snapshot), snapshot)); err != nil {
					return err
				}
				sums := one.Sum(nil)
				sums = append(sums, sha256.New().Sum(nil)...)
				if err := w.write(EndChannel, nil, len(sums), sums); err != nil {
					return err
				}
			}
			return nil
		},
		"a hint": func(w *Writer) error {
			return errors.Join(w.Channel("c", snapshot), w.write(Hint, nil, 256<<20, make([]byte, 256<<20)))
		},
	} {
		var out bytes.Buffer
		w, err := NewWriter(&out, "alice")
		if err == nil {
			err = bomb(w)
		}
		if err == nil {
			err = w.z.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		r, err := NewReader(bytes.NewReader(out.Bytes()))
		for err == nil {
			_, err = r.Next()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); !errors.Is(err, ErrCorrupt) || kept > 32<<20 {
			t.Errorf("%s, of %d bytes: %d are kept, %v", name, out.Len(), kept, err)
		}
		if most := uint64(512 << 20); after.TotalAlloc-before.TotalAlloc > most {
			t.Errorf("%s: %d bytes were allocated", name, after.TotalAlloc-before.TotalAlloc)
		}
		r.Close()
	}
}

func TestALongRecordTakesNoMemoryThatIsNotThere(t *testing.T) {
	var out bytes.Buffer
	out.WriteString(magic)
	z, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	begin := append([]byte{byte(Namespace), 1, 'a', byte(Channel), 1, 'c', byte(Snapshot)}, 0xff, 0xff, 0xff, 0x1f) // 64 MiB less 1
	if _, err := z.Write(append(begin, 'a')); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = read(out.Bytes())
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrCorrupt) || n > 40<<20 {
		t.Fatalf("%d bytes, %v", n, err)
	}
}
