package sdsaws_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// TestWhatAChannelTakesStaysBounded sends 100,000 messages through a window of 1000, with a
// buffered message and one of the history that never leave, and evictions past older
// live messages. A load reads at most twice what it needs, and 128 messages and those
// of one commit more; the log has that and what waits for a segment; the head weighs a few KB.
func TestWhatAChannelTakesStaysBounded(t *testing.T) {
	const (
		total, window, perCommit = 100_000, 1000, 50
		mayRead                  = 2*(window+1) + 128 + perCommit
		mayKeep                  = mayRead + 2*1000 // of the default Options.ArchiveMessages
		mayWeigh                 = 8 << 10
	)
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	if err := a.Commit(t.Context(), channel, meta(0), appends("stays")); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's
	var live []int
	read, kept, weighs := 0, 0, 0
	for from := 0; from < total; from += perCommit {
		u := &sds.HistoryUpdate{}
		for i := from; i < from+perCommit; i++ {
			u.Append = append(u.Append, sds.Message{MessageID: fmt.Sprint("m", i), LamportTimestamp: int64(i)})
			live = append(live, i)
		}
		for len(live) > window { // one of the older half
			at := r.IntN(len(live) / 2)
			u.Evict = append(u.Evict, fmt.Sprint("m", live[at]))
			live = append(live[:at], live[at+1:]...)
		}
		buffers := meta(int64(from))
		buffers.IncomingBuffer = []sds.IncomingMessage{{
			Message: sds.Message{MessageID: "buffered"}, MissingDeps: []string{"never comes"}}}
		if err := a.Commit(t.Context(), channel, buffers, u); err != nil {
			t.Fatal(err)
		}
		if from/perCommit%20 == 0 {
			if err := a.Flush(t.Context()); err != nil { // waits for archiving
				t.Fatal(err)
			}
		}
		h := m.head(t)
		read, kept, weighs = max(read, int(h.Next-h.Start)), max(kept, m.inLog()), max(weighs, len(h.Body))
	}
	if _, err := a.Archive(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	manifests, largest := 0, 0
	for _, s := range m.segments(t) {
		manifests, largest = manifests+1, max(largest, len(s.Body))
	}
	t.Logf("of %d messages, with %d live: a load read at most %d, the log kept %d, the head had %d bytes; "+
		"%d manifests of up to %d bytes", total, window+1, read, kept, weighs, manifests, largest)
	if read > mayRead || kept > mayKeep || weighs > mayWeigh {
		t.Errorf("the bounds are %d, %d and %d", mayRead, mayKeep, mayWeigh)
	}
	if n := len(m.archived(t)); n != total-window {
		t.Errorf("%d messages are archived", n)
	}
	d, err := open(t, m, sdsaws.Options{}).LoadChannel(t.Context(), channel)
	if err != nil || len(d.MessageHistory) != window+1 || len(d.Meta.IncomingBuffer) != 1 {
		t.Errorf("%d messages, %v", len(d.MessageHistory), err)
	}
}

func (m *memory) segments(t *testing.T) []store.Segment {
	t.Helper()
	all, err := m.Memory.Segments(t.Context(), key, 0, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestLargeMessagesAreArchivedToo: their values go when the segment is there.
func TestLargeMessagesAreArchivedToo(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	for i := range 10 {
		u := &sds.HistoryUpdate{Append: []sds.Message{{MessageID: fmt.Sprint("m", i), Content: noise()}},
			Evict: []string{fmt.Sprint("m", i-3)}}
		if err := a.Commit(t.Context(), channel, meta(int64(i)), u); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
	expectIDs(t, "archived", m.archived(t), names(0, 7))
	if n := m.values(t); n != 3 {
		t.Errorf("%d values are left, want 3", n)
	}
	loads(t, m, 9, names(7, 3)...)
}
