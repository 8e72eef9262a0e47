package sdsaws_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// The tests of this file show in short what the table of internal/ordeal has found.

// TestAnArchiveThatIsFencedSaysSo: another process drops the channel before Archive reads
// what it writes again. That the messages are gone is no damage.
func TestAnArchiveThatIsFencedSaysSo(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{ArchiveMessages: 1 << 30})
	if err := a.Commit(t.Context(), channel, meta(1), appends("stays", "goes")); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(t.Context(), channel, meta(2), &sds.HistoryUpdate{Evict: []string{"goes"}}); err != nil {
		t.Fatal(err)
	}
	m.wait = func() {
		if err := open(t, m, sdsaws.Options{}).DropChannel(context.Background(), channel); err != nil {
			t.Error(err)
		}
	}
	held := false
	m.setFault(func(op string) fault {
		if op == "messages" && !held {
			held = true
			return hold
		}
		return none
	})
	if _, err := a.Archive(t.Context(), channel); !errors.Is(err, sds.ErrFenced) || errors.Is(err, sds.ErrIncomplete) {
		t.Fatalf("%v, want ErrFenced", err)
	}
}

// TestMessagesOfAnotherCommitAreDamage: a message is one that was once written to this place
// of this channel, whole, but it isn't what the head was committed with. A backup that was
// restored in part looks so.
func TestMessagesOfAnotherCommitAreDamage(t *testing.T) {
	m, elsewhere := newMemory(), newMemory()
	for backend, id := range map[*memory]string{m: "one", elsewhere: "two"} {
		if err := open(t, backend, sdsaws.Options{}).Commit(t.Context(), channel, meta(1), appends(id)); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere.Edit(key, func(_ *store.Head, theirs map[uint64]store.Message) {
		m.Edit(key, func(_ *store.Head, ours map[uint64]store.Message) { ours[0] = theirs[0] })
	})
	if d, err := open(t, m, sdsaws.Options{}).LoadChannel(t.Context(), channel); !errors.Is(err, sds.ErrCorrupt) {
		t.Fatalf("%v, %v, want ErrCorrupt", d, err)
	}
}

// TestAClaimCheckIsVerified: an object of the archive has other bytes than those that were
// put, as many, and just as readable.
func TestAClaimCheckIsVerified(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{InlineBytes: 1})
	for i := range 2 {
		if err := a.Commit(t.Context(), channel, meta(int64(i)), &sds.HistoryUpdate{}); err != nil {
			t.Fatal(err)
		}
		if err := a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.archive.Edit("", func(b []byte) []byte { b[len(b)-1] ^= byte(i); return b })
	}
	if d, err := open(t, m, sdsaws.Options{}).LoadChannel(t.Context(), channel); !errors.Is(err, sds.ErrCorrupt) {
		t.Fatalf("%v, %v, want ErrCorrupt", d, err)
	}
}

// TestAnObjectOfAnotherSizeIsDamage: what is larger than the head or the manifest says isn't read, and is
// told as what it is, a value and a segment alike.
func TestAnObjectOfAnotherSizeIsDamage(t *testing.T) {
	for _, folder := range []string{"values/", "segments/"} {
		m := newMemory()
		a := open(t, m, sdsaws.Options{InlineBytes: 1, ArchiveMessages: 1 << 30})
		err := a.Commit(t.Context(), channel, meta(1), appends("goes"))
		if err == nil {
			err = a.Commit(t.Context(), channel, meta(2), &sds.HistoryUpdate{Evict: []string{"goes"}})
		}
		if err == nil {
			_, err = a.Archive(t.Context(), channel)
		}
		if err != nil {
			t.Fatal(err)
		}
		m.archive.Edit(folder, func(b []byte) []byte { return append(b, 0) })
		b := open(t, m, sdsaws.Options{})
		if folder == "values/" {
			_, err = b.LoadChannel(t.Context(), channel)
		} else {
			_, err = b.Message(t.Context(), channel, "goes")
		}
		if !errors.Is(err, sds.ErrCorrupt) || !errors.Is(err, store.ErrSize) {
			t.Errorf("%s: %v, want ErrCorrupt and ErrSize", folder, err)
		}
	}
}
