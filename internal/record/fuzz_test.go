package record

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/sdsaws/sdsaws/store"
)

// expectRefused expects an error of this package.
func expectRefused(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) {
		t.Fatalf("refused with %v", err)
	}
}

// FuzzSkeleton opens skeletons that hold anything, packed by themselves and against a dictionary.
func FuzzSkeleton(f *testing.F) {
	var c Codec
	for _, literals := range [][][]byte{
		{[]byte("all")},
		{{}, []byte("b"), {}},
		{[]byte("a"), []byte("b"), []byte("c"), []byte("d")},
	} {
		f.Add(Skeleton(literals), []byte("abcd"), uint16(len(literals)-1)) //nolint:gosec // small
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, []byte{}, uint16(1))
	f.Fuzz(func(t *testing.T, plain, dictionary []byte, messages uint16) {
		packed, err := c.Pack(plain, dictionary)
		if err != nil {
			t.Fatal(err)
		}
		literals, err := c.OpenSkeleton(packed, int(messages), dictionary)
		if err != nil {
			expectRefused(t, err)
			return
		}
		if len(literals) != int(messages)+1 {
			t.Fatalf("%d literals around %d messages", len(literals), messages)
		}
		if packed, err = c.Pack(Skeleton(literals), nil); err != nil {
			t.Fatal(err)
		}
		again, err := c.OpenSkeleton(packed, int(messages), nil)
		if err != nil || !bytes.Equal(bytes.Join(again, []byte("|")), bytes.Join(literals, []byte("|"))) {
			t.Fatalf("%v, opened again %v, want %v", err, again, literals)
		}
		if joined, err := Join(literals, make([][]byte, messages)); err != nil || !bytes.Equal(joined, bytes.Join(literals, nil)) {
			t.Fatalf("joined %q, %v", joined, err)
		}
	})
}

// FuzzOffsets opens anything as the offsets of the messages in a snapshot.
func FuzzOffsets(f *testing.F) {
	for _, all := range [][]uint64{{7}, {7, 8, 9}, {9, 7, 7, 8}, {1 << 40, 3}} {
		f.Add(encodeOffsets(all), uint64(3), uint64(1<<40+1))
	}
	f.Add(encodeOffsets([]uint64{2}), uint64(3), uint64(9))
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 0x0f}, uint64(0), uint64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, b []byte, start, next uint64) {
		all, err := openOffsets(b, store.Head{Start: start, Next: next})
		if err != nil {
			expectRefused(t, err)
			return
		}
		for _, o := range all {
			if o < start || o >= next {
				t.Fatalf("offset %d of %d to %d", o, start, next)
			}
		}
		again, err := openOffsets(encodeOffsets(all), store.Head{Start: start, Next: next})
		if err != nil || !slices.Equal(again, all) || len(all) > MaxBuffered {
			t.Fatalf("%v, opened again %v, want %v", err, again, all)
		}
	})
}

// FuzzPacked opens anything as packed bytes.
func FuzzPacked(f *testing.F) {
	var c Codec
	dictionary := bytes.Repeat([]byte("dictionary"), 30)
	for _, d := range [][]byte{nil, dictionary} {
		packed, err := c.Pack(append([]byte("plain"), dictionary[:200]...), d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed, d)
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0x1f, 1}, dictionary)
	f.Fuzz(func(t *testing.T, packed, dictionary []byte) {
		plain, err := c.unpack(packed, dictionary)
		if err != nil {
			expectRefused(t, err)
		} else if len(plain) > MaxPlain {
			t.Fatalf("%d bytes", len(plain))
		}
		// The decoder still does what it should.
		want := []byte("some message")
		if packed, err = c.Pack(want, dictionary); err != nil {
			t.Fatal(err)
		}
		if plain, err = c.unpack(packed, dictionary); err != nil || !bytes.Equal(plain, want) {
			t.Fatalf("then %q, %v", plain, err)
		}
	})
}

// FuzzDamagedMessage changes the body of a message, or what it is opened with: then it is refused, or
// gives what was written.
func FuzzDamagedMessage(f *testing.F) {
	var c Codec
	first, second := bytes.Repeat([]byte("first "), 40), bytes.Repeat([]byte("second "), 40)
	f.Add(uint64(9), "id", []byte("plain"), []byte{}, uint16(12), byte(4), uint16(0))
	f.Add(uint64(9), "id", append(bytes.Clone(first), "more"...), append(first, second...), uint16(0), byte(2), uint16(0))
	f.Add(uint64(1<<40), "", second, second, uint16(10), byte(0x80), uint16(5))
	f.Add(uint64(2), "x", first, second, uint16(9), byte(0), uint16(1))
	f.Fuzz(func(t *testing.T, offset uint64, id string, plain, dictionary []byte, at uint16, xor byte, cut uint16) {
		var against []uint64
		if offset > 2 && len(dictionary) > 0 {
			against = []uint64{offset - 2, offset - 1}
		} else {
			dictionary = nil
		}
		packed, err := c.Pack(plain, dictionary)
		if err != nil {
			t.Fatal(err)
		}
		term := NewTerm(offset, id, sha256.Sum256(plain))
		body := Delta(offset, term, against, packed)
		if against == nil {
			body = Message(term, packed)
		}
		if got, err := Against(offset, body); err != nil || !reflect.DeepEqual(got, against) || Begins(body) != (against == nil) {
			t.Fatalf("against %v, %v, want %v", got, err, against)
		}
		got, gotTerm, err := c.OpenMessage(offset, id, body, dictionary)
		if err != nil || !bytes.Equal(got, plain) || gotTerm != term {
			t.Fatalf("opened %q, %v", got, err)
		}
		for name, open := range map[string]func() ([]byte, Term, error){
			"damaged": func() ([]byte, Term, error) {
				b := bytes.Clone(body)
				b[int(at)%len(b)] ^= xor
				return c.OpenMessage(offset, id, b[:len(b)-min(int(cut), len(b))], dictionary)
			},
			"by another dictionary": func() ([]byte, Term, error) {
				d := bytes.Clone(dictionary)
				if len(d) > 0 {
					d[int(at)%len(d)] ^= xor
					d = d[:len(d)-min(int(cut), len(d))]
				}
				return c.OpenMessage(offset, id, body, d)
			},
			"under another id":   func() ([]byte, Term, error) { return c.OpenMessage(offset, id+"x", body, dictionary) },
			"in another's place": func() ([]byte, Term, error) { return c.OpenMessage(offset+1, id, body, dictionary) },
		} {
			got, _, err := open()
			if err != nil {
				expectRefused(t, err)
			} else if !bytes.Equal(got, plain) || name == "under another id" || name == "in another's place" {
				t.Fatalf("%s: it opens as %q", name, got)
			}
		}
	})
}

// FuzzMessageBodies opens anything as the body of a message.
func FuzzMessageBodies(f *testing.F) {
	var c Codec
	f.Add(uint64(9), Delta(9, Term{1}, []uint64{8, 7}, []byte("packed")), []byte("dictionary"))
	f.Add(uint64(9), Delta(9, Term{1}, nil, []byte("packed")), []byte{})
	f.Add(uint64(9), Message(Term{1}, []byte("packed")), []byte{})
	f.Add(uint64(9), ValueMessage(Term{1}, value()), []byte{})
	f.Add(uint64(1), []byte{deltaFormat, 1, 2, 3, 4, 5, 6, 7, 8, 0xff}, []byte{})
	f.Add(uint64(1), []byte{deltaFormat, 1, 2, 3, 4, 5, 6, 7, 8, 0}, []byte{})
	f.Fuzz(func(t *testing.T, offset uint64, body, dictionary []byte) {
		against, err := Against(offset, body)
		if err != nil {
			expectRefused(t, err)
		}
		if len(against) > MaxDictionaries {
			t.Fatalf("against %d messages", len(against))
		}
		for _, o := range against {
			if o >= offset {
				t.Fatalf("the one at %d is packed against that at %d", offset, o)
			}
		}
		if v, err := MessageValue(body); err != nil {
			expectRefused(t, err)
		} else if v != nil {
			body = Inline(body, dictionary)
		}
		if plain, term, err := c.OpenMessage(offset, "id", body, dictionary); err != nil {
			expectRefused(t, err)
		} else if term != NewTerm(offset, "id", sha256.Sum256(plain)) || !bytes.Equal(term[:messageCheck], body[1:1+messageCheck]) {
			t.Fatal("the term is not that of the message")
		}
	})
}
