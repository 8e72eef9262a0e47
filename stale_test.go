package sdsaws_test

import (
	"errors"
	"testing"

	"github.com/sdsaws/sdsaws/sds"
)

// TestAReplacedHolderDoesNotSayThatAllIsArchived: what it knows to be evicted is old.
func TestAReplacedHolderDoesNotSayThatAllIsArchived(t *testing.T) {
	m, k := newMemory(), &kept{}
	old := open(t, m, quiet)
	k.commit(t, old, meta(1), appends("a", "b"))
	k.commit(t, open(t, m, quiet), meta(2), update([]string{"c"}, []string{"b"}))
	if _, err := old.Archive(t.Context(), channel); !errors.Is(err, sds.ErrFenced) {
		t.Errorf("archived by one that was replaced: %v, want %v", err, sds.ErrFenced)
	}
	m.judge(t, k)
}

// TestAReplacedHolderDoesNotSayThatAnEmptyChannelIsDropped: it is empty no more.
func TestAReplacedHolderDoesNotSayThatAnEmptyChannelIsDropped(t *testing.T) {
	m, k := newMemory(), &kept{}
	old := open(t, m, quiet)
	if _, err := old.LoadChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	k.commit(t, open(t, m, quiet), meta(1), appends("a"))
	if err := old.DropChannel(t.Context(), channel); !errors.Is(err, sds.ErrFenced) {
		t.Errorf("dropped by one that was replaced: %v, want %v", err, sds.ErrFenced)
	}
	m.judge(t, k)
}

// TestHintsAreWrittenAgainAfterAnotherHasDroppedTheChannel: what was written before is gone.
func TestHintsAreWrittenAgainAfterAnotherHasDroppedTheChannel(t *testing.T) {
	m := newMemory()
	old, other := open(t, m, quiet), open(t, m, quiet)
	store := func() {
		t.Helper()
		err := old.Commit(t.Context(), channel, meta(1), appends("a"))
		if err == nil {
			err = old.SetRetrievalHint(t.Context(), "a", []byte("there"))
		}
		if err == nil {
			err = old.Flush(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	store()
	if err := other.DropChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	if _, err := old.LoadChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	store()
	if got, err := other.Hints(t.Context(), "a"); err != nil || string(got["a"]) != "there" {
		t.Errorf("the hint is %q, %v", got, err)
	}
}
