package sdsaws_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// TestAMissingManifestIsTold by readers: what it led to is not left out silently, and what lies behind it follows.
func TestAMissingManifestIsTold(t *testing.T) {
	ids := []string{"m0", "m1", "m2", "m3", "m4", "m5"}
	from := newMemory()
	a := openAs(t, from, "alice", quiet)
	k := &kept{}
	k.commit(t, a, meta(1), update(ids, nil))
	for i := range 4 { // a segment each
		k.commit(t, a, meta(int64(2+i)), update(nil, ids[i:i+1]))
		if _, err := a.Archive(t.Context(), channel); err != nil {
			t.Fatal(err)
		}
	}
	k.commit(t, a, meta(9), update([]string{"last"}, nil)) // its head knows of all four
	segments, err := from.Segments(t.Context(), key, 0, 10)
	if err != nil || len(segments) != 4 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	shorten := func(s store.Segment) func(m *memory) error {
		return func(m *memory) error { s.To = s.From; return m.ReplaceSegment(t.Context(), key, s) }
	}
	for what, c := range map[string]struct {
		edit func(m *memory) error
		lost []string
	}{
		"the first is missing":           {func(m *memory) error { return m.DeleteSegments(t.Context(), key, segments[0].To) }, ids[:1]},
		"two are missing":                {func(m *memory) error { return m.DeleteSegments(t.Context(), key, segments[1].To) }, ids[:2]},
		"all are missing":                {func(m *memory) error { return m.DeleteSegments(t.Context(), key, math.MaxUint64) }, ids[:4]},
		"the first ends at once":         {shorten(segments[0]), ids[:1]},
		"one in the middle ends at once": {shorten(segments[2]), ids[2:3]},
		"the last ends at once":          {shorten(segments[3]), ids[3:4]},
	} {
		t.Run(what, func(t *testing.T) {
			m := from.copy()
			if err := c.edit(m); err != nil {
				t.Fatal(err)
			}
			b := openAs(t, m, "alice", quiet)
			var got []string
			var told error
			for h, err := range b.History(t.Context(), channel, sdsaws.HistoryRange{}) {
				if told = errors.Join(told, err); err == nil {
					got = append(got, h.MessageID)
				}
			}
			var want []string
			for _, id := range append(slices.Clone(ids), "last") {
				if !slices.Contains(c.lost, id) {
					want = append(want, id)
				}
			}
			if !errors.Is(told, sds.ErrIncomplete) && !errors.Is(told, sds.ErrCorrupt) || !strings.Contains(told.Error(), "manifest") {
				t.Errorf("History tells %v, want which manifest is missing", told)
			}
			if !slices.Equal(got, want) {
				t.Errorf("History has %q, want %q", got, want)
			}
			for _, id := range c.lost {
				if _, err := b.Message(t.Context(), channel, id); !errors.Is(err, sds.ErrIncomplete) && !errors.Is(err, sds.ErrCorrupt) {
					t.Errorf("Message %s: %v", id, err)
				}
			}
			got = nil
			for h, err := range b.History(t.Context(), channel, sdsaws.HistoryRange{Part: sdsaws.LogHistory}) {
				if errors.Is(err, sds.ErrIncomplete) {
					t.Errorf("the log's part: %v", err)
				}
				if err == nil {
					got = append(got, h.MessageID)
				}
			}
			if !slices.Equal(got, []string{"m4", "m5", "last"}) {
				t.Errorf("the log has %q", got)
			}
		})
	}
}

// TestAHeadFromABackupArchivesNothing: the manifests beside it are of later commits, and say that messages are
// archived which this head needs.
func TestAHeadFromABackupArchivesNothing(t *testing.T) {
	m := newMemory()
	a := openAs(t, m, "alice", quiet)
	k := &kept{}
	k.commit(t, a, meta(1), update([]string{"m0", "m1", "m2"}, nil))
	backup := m.head(t)
	items := map[uint64]store.Message{}
	m.Edit(key, func(_ *store.Head, all map[uint64]store.Message) {
		for o, s := range all {
			items[o] = s
		}
	})
	k.commit(t, a, meta(2), update([]string{"m3"}, []string{"m0", "m1"}))
	if _, err := a.Archive(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	m.Edit(key, func(h *store.Head, all map[uint64]store.Message) { // the items are copied back, and no more
		*h = backup
		for o, s := range items {
			all[o] = s
		}
	})
	b := openAs(t, m, "alice", quiet)
	if _, err := b.LoadChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(t.Context(), channel, meta(3), update(nil, []string{"m0"})); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Archive(t.Context(), channel); !errors.Is(err, sds.ErrCorrupt) || !strings.Contains(err.Error(), "manifest") {
		t.Errorf("Archive: %v, want which manifest is of a later time", err)
	}
	if _, err := openAs(t, m, "alice", quiet).Sweep(t.Context(), channel, nil); !errors.Is(err, sds.ErrCorrupt) {
		t.Errorf("Sweep: %v", err)
	}
}
