package sdsaws_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/export"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

func TestStatusSaysWhereAChannelStands(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{ArchiveMessages: 1 << 30})
	if s, err := a.Status(t.Context(), channel); err != nil || s.Exists {
		t.Fatalf("a channel that isn't there: %+v, %v", s, err)
	}
	fill(t, a, 0, 20, 5)
	s, err := open(t, m, quiet).Status(t.Context(), channel)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Exists || s.History != 5 || s.Evicted != 15 || s.Next != 20 || s.Archived != 0 || s.Epoch != 1 ||
		s.EvictedBytes <= 0 || s.CommitID != m.head(t).CommitID || s.HeadBytes == 0 ||
		time.Since(s.Committed) > time.Minute || time.Since(s.EvictedSince) > time.Minute {
		t.Fatalf("before a sweep: %+v", s)
	}
	// The head doesn't know what another has archived.
	if _, err := open(t, m, quiet).Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
	if s, err = a.Status(t.Context(), channel); err != nil || s.Evicted != 0 || s.Archived != 15 || !s.EvictedSince.IsZero() {
		t.Fatalf("after a sweep: %+v, %v", s, err)
	}
	var segments []sdsaws.SegmentStatus
	for seg, err := range a.Segments(t.Context(), channel) {
		if err != nil {
			t.Fatal(err)
		}
		segments = append(segments, seg)
	}
	if len(segments) != 1 || segments[0].From != 0 || segments[0].To != 15 || segments[0].Messages != 15 ||
		segments[0].Bytes == 0 || segments[0].MaxLamport != 14 || !segments[0].Done {
		t.Fatalf("segments: %+v", segments)
	}
	if err := a.Commit(t.Context(), channel, meta(1), appends("x")); err != nil {
		t.Fatalf("its holder was fenced by who only reads: %v", err)
	}
}

// readingLines are what a reading gives, in a form that can be compared.
func readingLines(t *testing.T, r *sdsaws.Reading) (lines []string, err error) {
	t.Helper()
	for h, err := range r.History(t.Context()) {
		if err != nil {
			return lines, err
		}
		lines = append(lines, fmt.Sprintf("%d %v %x", h.Offset, h.Live, h.Encoded))
	}
	return append(lines, fmt.Sprintf("snapshot %x", r.Data.Meta)), nil
}

// exports writes what a reading gives to a file, and reads that.
func exports(t *testing.T, r *sdsaws.Reading) {
	t.Helper()
	var file bytes.Buffer
	w, err := export.NewWriter(&file, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Channel(channel, r.Data.Meta); err != nil {
		t.Fatal(err)
	}
	for h, err := range r.History(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Message(export.Place(h.Live, h.ArchivedAt), h.ArchivedAt, h.Encoded); err != nil {
			t.Fatalf("offset %d: %v", h.Offset, err)
		}
	}
	if _, _, err := w.EndChannel(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	in, err := export.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for err == nil {
		_, err = in.Next()
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

// TestAReadingIsOfOneCommit stops a reader at each of its requests, lets others commit, archive and write
// again, and lets it go on: what it gives is what the commit left that it has read, and then it can
// be exported and restored.
func TestAReadingIsOfOneCommit(t *testing.T) {
	base, start := scattered(t)
	for _, c := range meanwhiles {
		t.Run(c.name, func(t *testing.T) {
			upwards(t, "request", func(t *testing.T, n int) bool {
				m, k := base.copy(), *start
				a, reader := open(t, m, quiet), open(t, m, quiet)
				loadsExactly(t, a, &k)
				before, err := reader.ReadChannel(t.Context(), channel)
				if err != nil {
					t.Fatal(err)
				}
				want, err := readingLines(t, before)
				if err != nil || len(want) != 70+82+10+1 {
					t.Fatalf("%d lines before, %v", len(want), err)
				}
				var r *sdsaws.Reading
				var got []string
				f := m.freeze(t, n, every, func() (err error) {
					if r, err = reader.ReadChannel(t.Context(), channel); err == nil {
						got, err = readingLines(t, r)
					}
					return err
				})
				if f.op != "" {
					c.do(t, a, &k)
				}
				if err := f.goOn(); err != nil {
					t.Fatalf("at %s: %v", f.op, err)
				}
				exports(t, r)
				restored(t, r)
				if r.CommitID != before.CommitID {
					if before, err = reader.ReadChannel(t.Context(), channel); err != nil {
						t.Fatal(err)
					}
					if want, err = readingLines(t, before); err != nil {
						t.Fatal(err)
					}
				}
				if r.CommitID == before.CommitID && !slices.Equal(got, want) {
					t.Fatalf("at %s: %d lines, want %d", f.op, len(got), len(want))
				}
				loadsExactly(t, open(t, m, quiet), &k) // and so it was the same, and nobody was fenced before
				return f.op != ""
			})
		})
	}
}

func TestAReadingOfADroppedChannelSaysSo(t *testing.T) {
	base, _ := scattered(t)
	m := base.copy()
	a, reader := open(t, m, quiet), open(t, m, quiet)
	r, err := reader.ReadChannel(t.Context(), channel)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.DropChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	if _, err := readingLines(t, r); err == nil || errors.Is(err, sds.ErrIncomplete) {
		t.Fatalf("%v, want that it was dropped", err)
	}
	if r, err = reader.ReadChannel(t.Context(), channel); err != nil || !r.Exists || len(r.Data.Messages) > 0 {
		t.Fatalf("after the drop: %+v, %v", r, err)
	}
}

// TestAReadingTellsDamageFromADrop: what a damaged head says of its origin isn't believed.
func TestAReadingTellsDamageFromADrop(t *testing.T) {
	base, _ := scattered(t)
	m := base.copy()
	r, err := open(t, m, quiet).ReadChannel(t.Context(), channel)
	if err != nil {
		t.Fatal(err)
	}
	var errs []error
	for _, err := range r.History(t.Context()) {
		if err != nil {
			errs = append(errs, err)
		} else {
			m.Edit(key, func(h *store.Head, _ map[uint64]store.Message) { h.Origin = 1 })
		}
	}
	if len(errs) == 0 {
		t.Fatal("no error")
	}
	for _, err := range errs {
		if !errors.Is(err, sds.ErrCorrupt) {
			t.Errorf("%v, want an ErrCorrupt", err)
		}
	}
}

func TestAReadingNamesWhatIsMissing(t *testing.T) {
	base, _ := scattered(t)
	for name, from := range map[string]uint64{"evicted": 75, "live": 158} {
		m := base.copy()
		reader := open(t, m, quiet)
		r, err := reader.ReadChannel(t.Context(), channel)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Delete(t.Context(), key, from, from+1); err != nil {
			t.Fatal(err)
		}
		if _, err := readingLines(t, r); !errors.Is(err, sds.ErrIncomplete) {
			t.Errorf("%s: %v, want an ErrIncomplete", name, err)
		}
	}
}
