package embedded

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws/store"
)

// FuzzPathsNeverMeet holds that an object's file lies in the archive's directory, and is that of no
// other name.
func FuzzPathsNeverMeet(f *testing.F) {
	for _, s := range [][2]string{
		{"a/b", "a//b"}, {"a/b", "a/./b"}, {"a/b", "a/b/"}, {"a/b", "a/c/../b"}, {"a/b", "/a/b"}, {"a/b", "./a/b"},
		{"../x", "x"}, {"a/../../x", "x"}, {"..", "."}, {"", "a"}, {".partial/x", ".partial"}, {"a/.partial", "a/.hidden"},
		{`a\b`, "a/b"}, {"a\x00b", "a"}, {"C:/x", "c:x"}, {"a:b", "a"}, {"\xff", "\xfe"}, {"..a", "a.."},
	} {
		f.Add(s[0], s[1])
	}
	a := &archive{root: filepath.Join(f.TempDir(), "archive")}
	f.Fuzz(func(t *testing.T, one, two string) {
		first, err1 := a.path(one)
		second, err2 := a.path(two)
		for _, p := range []string{first, second} {
			if inside, err := filepath.Rel(a.root, p); p != "" && (err != nil || inside == "." || !filepath.IsLocal(inside) ||
				strings.HasPrefix(inside, ".partial")) {
				t.Fatalf("the file %q of %q or %q is none of the archive's objects: %v", p, one, two, err)
			}
		}
		if err1 == nil && err2 == nil && (first == second) != (one == two) {
			t.Fatalf("%q and %q have the file %q", one, two, first)
		}
		for o, err := range a.List(t.Context(), one) {
			if err == nil {
				t.Fatalf("there are no objects, and %q lists %+v", one, o)
			}
		}
	})
}

// TestListsStayInside: no prefix lists what lies outside of the archive.
func TestListsStayInside(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	if _, err := s.Archive().Put(t.Context(), "a/b", nil); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"../", "../lock", "/", "a/../../", "a/../", "./", ".partial/"} {
		for o, err := range s.Archive().List(t.Context(), prefix) {
			if err == nil {
				t.Errorf("%q lists %q", prefix, o.Name)
			}
		}
	}
}

// FuzzRowsNeverMeet holds that no two channels share a row, and no two hints, whatever bytes their
// ids hold: what is written of one is read back of it, and of no other.
func FuzzRowsNeverMeet(f *testing.F) {
	long := strings.Repeat("x", 3000)
	for _, s := range [][4]string{
		{"a", "b", "ab", ""}, {"a", "b", "a", "b\x00"}, {"a", "", "a", "\x00"}, {"a", "1", "a", "1.0"}, {"a", "A", "a", "a"},
		{"a", "é", "a", "e\u0301"}, {"a", "\xff", "a", "\xef\xbf\xbd"}, {"a", "'", "a", "''"}, {"a", long, "a", long + "x"},
		{"a", "x'61'", "a", "a"}, {"1", "c", "01", "c"}, {"a", "c ", "a", "c"}, {"a", "NULL", "a", "%"},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	s, err := Open(f.TempDir(), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	s.db.SetMaxOpenConns(1) // to which the statement applies: nothing has to survive here
	if _, err := s.db.ExecContext(context.Background(), "PRAGMA synchronous = OFF"); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, ns1, name1, ns2, name2 string) {
		if store.CheckNamespace(ns1) != nil || store.CheckNamespace(ns2) != nil {
			return
		}
		if _, err := s.db.ExecContext(t.Context(), "DELETE FROM head; DELETE FROM message; DELETE FROM segment; DELETE FROM hint"); err != nil {
			t.Fatal(err)
		}
		one, two := store.Key{Namespace: ns1, Channel: name1}, store.Key{Namespace: ns2, Channel: name2}
		same := one == two
		s.write1(t, one)
		if h, found, err := s.Find(t.Context(), two, name1); err != nil || (h != nil) != same || (len(found) > 0) != same {
			t.Fatalf("%q was written, and read as %q: %v, %v", one, two, h, err)
		}
		if g, err := s.Segments(t.Context(), two, 0, 9); err != nil || (len(g) > 0) != same {
			t.Fatalf("%q was archived, and read as %q: %v, %v", one, two, g, err)
		}
		if h, err := s.Hints(t.Context(), ns2, []string{name2}); err != nil || (len(h) > 0) != same {
			t.Fatalf("a hint of %q was written, and read as %q: %v, %v", one, two, h, err)
		}
		if names, err := collect(s.Stored(t.Context(), ns1)); err != nil || !slices.Equal(names, []string{name1}) {
			t.Fatalf("%q is listed as %q, %v", one, names, err)
		}
		if names, err := collect(s.Stored(t.Context(), ns2)); err != nil || (len(names) > 0) != (ns1 == ns2) {
			t.Fatalf("%q is listed in %q: %q, %v", one, ns2, names, err)
		}
		// What removes one leaves the other.
		err := errors.Join(s.Delete(t.Context(), two, 0, 9), s.DeleteSegments(t.Context(), two, 9),
			s.DeleteHints(t.Context(), ns2, []string{name2}))
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.Messages(t.Context(), one, []uint64{0})
		if err != nil || (len(m) > 0) == same || !same && !bytes.Equal(m[0].Body, []byte("message")) {
			t.Fatalf("%q was removed, and %q then has %v, %v", two, one, m, err)
		}
		if h, err := s.Hints(t.Context(), ns1, []string{name1}); err != nil || (len(h) > 0) == same {
			t.Fatalf("the hint of %q was removed, and %q then has %v, %v", two, one, h, err)
		}
	})
}

// write1 writes one row of each kind.
func (s *Store) write1(t *testing.T, key store.Key) {
	t.Helper()
	err := errors.Join(
		s.Commit(t.Context(), key, store.CommitID{}, store.Head{CommitID: store.CommitID{1}, Next: 1, Body: []byte("head")},
			[]store.Message{{ID: key.Channel, Body: []byte("message")}}),
		s.AddSegment(t.Context(), key, 0, store.Segment{From: 0, To: 1, Body: []byte("segment")}),
		s.SetHints(t.Context(), key.Namespace, []store.Hint{{MessageID: key.Channel, Value: []byte("hint")}}, 0))
	if err != nil {
		t.Fatal(err)
	}
}

func collect(all func(func(string, error) bool)) (names []string, err error) {
	for name, failed := range all {
		if err = failed; err != nil {
			break
		}
		names = append(names, name)
	}
	return names, err
}
