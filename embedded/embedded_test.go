package embedded

import (
	"errors"
	"testing"

	"github.com/sdsaws/sdsaws/store"
	"github.com/sdsaws/sdsaws/store/storetest"
)

func open(t *testing.T, dir string, o *Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	clock := storetest.NewClock()
	s := open(t, t.TempDir(), &Options{Now: clock.Now})
	storetest.TestLog(t, func(*testing.T) store.Log { return s })
	storetest.TestHints(t, func(*testing.T) store.Hints { return s }, clock)
}

// TestWhatIsNoneOfOursIsMalformed: what somebody has changed in the database is told apart from
// a database that can't be read.
func TestWhatIsNoneOfOursIsMalformed(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	key := store.Key{Namespace: "ns", Channel: "channel"}
	head := store.Head{CommitID: store.CommitID{1}, Next: 5, Body: []byte("head")}
	m := []store.Message{{Offset: 4, ID: "id", Body: []byte("message")}}
	if err := s.Commit(t.Context(), key, store.CommitID{}, head, m); err != nil {
		t.Fatal(err)
	}
	if err := s.AddSegment(t.Context(), key, 0, store.Segment{From: 0, To: 4, Body: []byte("segment")}); err != nil {
		t.Fatal(err)
	}
	page := func() error { _, _, err := s.Page(t.Context(), key, 0, 10); return err }
	segments := func() error { _, err := s.Segments(t.Context(), key, 0, 10); return err }
	read := func() error { _, err := s.Head(t.Context(), key); return err }
	for damage, read := range map[string]func() error{
		"UPDATE message SET staged = x'01'":         page,
		"UPDATE segment SET stop = -1":              segments,
		"UPDATE head SET commit_id = zeroblob(17)":  read,
		"UPDATE head SET commit_id = x'', next = 5": read,
		"UPDATE head SET next = -1":                 read,
	} {
		if _, err := s.db.ExecContext(t.Context(), damage); err != nil {
			t.Fatal(err)
		}
		if err := read(); !errors.Is(err, store.ErrMalformed) {
			t.Errorf("%s: %v", damage, err)
		}
	}
}
