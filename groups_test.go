package sdsaws_test

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// TestNoGroupGoesPastWhatWasStagedInVain: what a staging of unknown outcome left in the log can
// look like the begin of a group, and a reader can't tell. So what is written behind it is
// packed against nothing before it, and stays whole when that is archived.
func TestNoGroupGoesPastWhatWasStagedInVain(t *testing.T) {
	m := newMemory()
	m.Max.Messages = 3
	a := open(t, m, sdsaws.Options{GroupSize: 64, InlineBytes: 1000})
	if err := a.Commit(t.Context(), channel, meta(1), appends("m0", "m1")); err != nil {
		t.Fatal(err)
	}
	u := appends("m2", "m3", "m4", "m5", "m6")
	u.Append[1].Content = noise() // it is in the archive, and so a group of its own
	m.setFault(at("stage", lose))
	if err := a.Commit(t.Context(), channel, meta(2), u); err == nil {
		t.Fatal("a staging without an answer is no error")
	}
	m.setFault(at("", none))
	if err := a.Commit(t.Context(), channel, meta(3), &sds.HistoryUpdate{Evict: []string{"m0", "m1"}}); err != nil {
		t.Fatal(err)
	}

	a = open(t, m, sdsaws.Options{GroupSize: 64, InlineBytes: 1000})
	if _, err := a.LoadChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := a.Commit(t.Context(), channel, meta(int64(4+i)), appends(fmt.Sprint("m", 7+i))); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
			t.Fatal(err)
		}
	}
	loads(t, m, 6, names(2, 8)...)
	checksClean(t, a)
}

// TestAnIdleChannelGivesItsGroupUp: after a minute the next message begins a group.
func TestAnIdleChannelGivesItsGroupUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		a := open(t, m, sdsaws.Options{GroupSize: 64})
		begins := func(id string) (is bool) {
			if err := a.Commit(t.Context(), channel, meta(1), appends(id)); err != nil {
				t.Fatal(err)
			}
			m.Edit(key, func(_ *store.Head, all map[uint64]store.Message) {
				for _, s := range all {
					is = is || s.ID == id && record.Begins(s.Body)
				}
			})
			return is
		}
		for i, c := range []struct {
			wait time.Duration
			want bool
		}{{0, true}, {0, false}, {59 * time.Second, false}, {59 * time.Second, false}, {61 * time.Second, true}, {0, false}} {
			time.Sleep(c.wait)
			synctest.Wait()
			if got := begins(fmt.Sprint("m", i)); got != c.want {
				t.Errorf("after %v message %d begins a group: %v", c.wait, i, got)
			}
		}
		// What Close leaves running, the end of the bubble finds.
		if err := a.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	})
}

// TestManyBuffersShareTheRoomForGroups: over all channels, what messages are packed against is bounded, and
// who wrote least lately begins a group.
func TestManyBuffersShareTheRoomForGroups(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{GroupSize: 64, InlineBytes: 1 << 20})
	commit := func(i, n int) bool {
		u := appends(fmt.Sprint("m", n))
		u.Append[0].Content = bytes.Repeat([]byte("1 MB, almost  "), 70_000)
		k := store.Key{Namespace: key.Namespace, Channel: fmt.Sprint(i)}
		if err := a.Commit(t.Context(), k.Channel, meta(1), u); err != nil {
			t.Fatal(err)
		}
		begins := false
		m.Edit(k, func(_ *store.Head, all map[uint64]store.Message) {
			for _, s := range all {
				begins = begins || s.ID == fmt.Sprint("m", n) && record.Begins(s.Body)
			}
		})
		return begins
	}
	for i := range 80 {
		commit(i, 0)
	}
	if commit(79, 1) || !commit(0, 1) {
		t.Error("the latest channel begins a group, or the first goes on in its")
	}
}
