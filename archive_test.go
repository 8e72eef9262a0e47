package sdsaws_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/internal/segment"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// fill appends n messages and keeps the latest of them as history.
func fill(t *testing.T, a *sdsaws.Adapter, from, n, keep int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		u := appends(fmt.Sprint("m", i))
		u.Append[0].LamportTimestamp = int64(i)
		u.Evict = []string{fmt.Sprint("m", i-keep)}
		if err := a.Commit(t.Context(), channel, meta(int64(i)), u); err != nil {
			t.Fatal(err)
		}
	}
}

func names(from, n int) (ids []string) {
	for i := from; i < from+n; i++ {
		ids = append(ids, fmt.Sprint("m", i))
	}
	return ids
}

// archived returns the ids in the channel's segments, in order.
func (m *memory) archived(t *testing.T) (ids []string) {
	t.Helper()
	for o, err := range m.archive.List(t.Context(), record.Folder(record.Segments, key)) {
		if err != nil {
			t.Fatal(err)
		}
		body, err := m.archive.Get(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for row, err := range segment.Decode(key, body) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, row.ID)
		}
	}
	return ids
}

// values returns how many of the channel's values are in the archive.
func (m *memory) values(t *testing.T) (n int) {
	t.Helper()
	for _, err := range m.archive.MemoryArchive.List(t.Context(), record.Folder(record.Values, key)) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// inLog returns how many messages of the channel are in the log.
func (m *memory) inLog() (n int) {
	m.Edit(key, func(_ *store.Head, all map[uint64]store.Message) { n = len(all) })
	return n
}

// expectIDs compares ids in any order.
func expectIDs(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %d %.200q, want %d %.200q", what, len(got), got, len(want), want)
	}
}

// history returns the ids that History yields, and the errors.
func history(t *testing.T, a *sdsaws.Adapter, r sdsaws.HistoryRange) (ids []string, errs []error) {
	t.Helper()
	for m, err := range a.History(t.Context(), channel, r) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ids = append(ids, m.MessageID)
	}
	return ids, errs
}

func TestEvictedHistoryIsArchivedWhenThereIsEnough(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{ArchiveMessages: 50})
	fill(t, a, 0, 59, 10)
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.archived(t); len(got) > 0 {
		t.Fatalf("archived %q before there was enough", got)
	}
	fill(t, a, 59, 1, 10)
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectIDs(t, "archived", m.archived(t), names(0, 50))
	if n := m.inLog(); n != 10 {
		t.Fatalf("%d messages are left in the log", n)
	}
	loads(t, m, 59, names(50, 10)...)
	ids, errs := history(t, a, sdsaws.HistoryRange{})
	if !slices.Equal(ids, names(0, 60)) || len(errs) > 0 {
		t.Fatalf("History: %q, %v", ids, errs)
	}
}

// movedClock is the machine's clock, moved on by hand.
type movedClock struct{ ahead atomic.Int64 }

func (c *movedClock) move(d time.Duration) { c.ahead.Add(int64(d)) }
func (c *movedClock) Now() time.Time       { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *movedClock) AfterFunc(d time.Duration, f func()) sdsaws.Timer { return time.AfterFunc(d, f) }

func TestOldHistoryIsArchivedHoweverLittleThereIs(t *testing.T) {
	m, clock := newMemory(), &movedClock{}
	o := sdsaws.Options{ArchiveAge: time.Hour, Clock: clock}
	a := open(t, m, o)
	fill(t, a, 0, 20, 10)
	sweep := func(onlyDue bool, want int) {
		t.Helper()
		if _, err := open(t, m, o).Sweep(t.Context(), channel, &sdsaws.SweepOptions{OnlyDue: onlyDue}); err != nil {
			t.Fatal(err)
		}
		if got := len(m.archived(t)); got != want {
			t.Fatalf("%d messages are archived, want %d", got, want)
		}
	}
	sweep(true, 0)
	clock.move(time.Hour)
	sweep(true, 10)
	fill(t, a, 20, 5, 10)
	sweep(true, 10)
	sweep(false, 15)
}

// TestArchivingFailsAtEveryStep refuses, or loses the reply of, each request of a sweep
// in turn. Nothing is lost, History gives all at any time, and a later sweep finishes.
func TestArchivingFailsAtEveryStep(t *testing.T) {
	for _, f := range []fault{refuse, lose} {
		for n := 1; ; n++ {
			m := newMemory()
			fill(t, open(t, m, sdsaws.Options{}), 0, 30, 10)
			seen := 0
			m.setFault(func(string) fault {
				if seen++; seen == n {
					return f
				}
				return none
			})
			_, err := open(t, m, sdsaws.Options{}).Sweep(t.Context(), channel, nil)
			m.setFault(func(string) fault { return none })
			if seen < n {
				if err != nil || n < 10 {
					t.Fatalf("%d requests, %v", seen, err)
				}
				break
			}
			if !errors.Is(err, errInjected) {
				t.Fatalf("request %d, fault %d: %v", n, f, err)
			}
			ids, errs := history(t, open(t, m, sdsaws.Options{}), sdsaws.HistoryRange{})
			if !slices.Equal(ids, names(0, 30)) || len(errs) > 0 {
				t.Fatalf("request %d, fault %d: History gives %q, %v", n, f, ids, errs)
			}
			if _, err := open(t, m, sdsaws.Options{}).Sweep(t.Context(), channel, nil); err != nil {
				t.Fatal(err)
			}
			expectIDs(t, fmt.Sprintf("archived after request %d, fault %d", n, f), m.archived(t), names(0, 20))
			loads(t, m, 29, names(20, 10)...)
			if left := m.inLog(); left != 10 {
				t.Fatalf("request %d, fault %d: %d messages are left in the log", n, f, left)
			}
		}
	}
}

// TestManySweepersAtOnce: each message is archived once, whoever does it, while others
// read and commit.
func TestManySweepersAtOnce(t *testing.T) {
	m := newMemory()
	writer := open(t, m, sdsaws.Options{ArchiveMessages: 25})
	fill(t, writer, 0, 40, 10)
	const most = 400
	var all sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for range 4 {
		sweeper := open(t, m, sdsaws.Options{})
		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := sweeper.Sweep(t.Context(), channel, nil); err != nil {
					t.Errorf("sweep: %v", err)
					return
				}
			}
		})
	}
	all.Go(func() {
		reader := open(t, m, sdsaws.Options{})
		for ctx.Err() == nil {
			i := 0
			for h, err := range reader.History(t.Context(), channel, sdsaws.HistoryRange{}) {
				if err != nil || h.MessageID != fmt.Sprint("m", i) {
					t.Errorf("History: message %d is %q, %v", i, h.MessageID, err)
					return
				}
				i++
			}
			if i < 40 {
				t.Errorf("History ends after %d messages", i)
			}
		}
	})
	fill(t, writer, 40, most-40, 10)
	stop()
	all.Wait()
	if _, err := writer.Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
	expectIDs(t, "archived", m.archived(t), names(0, most-10))
	loads(t, m, most-1, names(most-10, 10)...)
}

// TestHistoryIsFilteredBySegment: what a filter leaves out isn't read from the archive.
func TestHistoryIsFilteredBySegment(t *testing.T) {
	m, clock := newMemory(), &movedClock{}
	a := open(t, m, sdsaws.Options{Clock: clock})
	start := time.Now().Add(-time.Minute)
	for i := range 3 {
		fill(t, a, 10*i, 10, 5)
		if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
			t.Fatal(err)
		}
		clock.move(time.Hour)
	}
	// Segments of m0 to m4, m5 to m14, m15 to m24; m25 to m29 are in the log.
	for name, c := range map[string]struct {
		asked    sdsaws.HistoryRange
		from, to int
		segments int
	}{
		"all":          {sdsaws.HistoryRange{}, 0, 30, 3},
		"from offset":  {sdsaws.HistoryRange{From: 7}, 7, 30, 2},
		"to offset":    {sdsaws.HistoryRange{To: 12}, 0, 12, 2},
		"one offset":   {sdsaws.HistoryRange{From: 3, To: 4}, 3, 4, 1},
		"hot offsets":  {sdsaws.HistoryRange{From: 26, To: 28}, 26, 28, 0},
		"beyond":       {sdsaws.HistoryRange{From: 99}, 0, 0, 0},
		"clock":        {sdsaws.HistoryRange{MinLamport: 16, MaxLamport: 26}, 16, 27, 1},
		"since":        {sdsaws.HistoryRange{Since: start.Add(time.Hour)}, 5, 30, 2},
		"until":        {sdsaws.HistoryRange{Until: start.Add(time.Hour)}, 0, 5, 1},
		"archived":     {sdsaws.HistoryRange{Part: sdsaws.ArchivedHistory}, 0, 25, 3},
		"in the log":   {sdsaws.HistoryRange{Part: sdsaws.LogHistory}, 25, 30, 0},
		"archived end": {sdsaws.HistoryRange{Part: sdsaws.ArchivedHistory, From: 20}, 20, 25, 1},
	} {
		before := m.count("get")
		ids, errs := history(t, a, c.asked)
		if !slices.Equal(ids, names(c.from, c.to-c.from)) || len(errs) > 0 {
			t.Errorf("%s: %q, %v", name, ids, errs)
		}
		if n := m.count("get") - before; n != c.segments {
			t.Errorf("%s: %d segments were read, want %d", name, n, c.segments)
		}
	}
	for h, err := range a.History(t.Context(), channel, sdsaws.HistoryRange{}) {
		if err != nil {
			t.Fatal(err)
		}
		if h.Live != (h.Offset >= 25) || h.ArchivedAt.IsZero() != (h.Offset >= 25) {
			t.Errorf("%+v", h)
		}
		if h.Offset == 27 {
			break
		}
	}
}

func TestAMessageIsFoundByItsID(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	for i := range 5 {
		fill(t, a, 100*i, 100, 10)
		if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
			t.Fatal(err)
		}
	}
	other := open(t, m, sdsaws.Options{})
	for _, c := range []struct {
		reader   *sdsaws.Adapter
		id       string
		requests int
	}{{a, "m495", 1}, {other, "m495", 1}, {a, "m7", 4}, {other, "m321", 4}} {
		before := len(m.calls)
		got, err := c.reader.Message(t.Context(), channel, c.id)
		if err != nil || got.MessageID != c.id || !bytes.Contains(got.Encoded, []byte(c.id)) {
			t.Fatalf("%s: %+v, %v", c.id, got, err)
		}
		if n := len(m.calls) - before; n != c.requests {
			t.Errorf("%s took %d requests %q, want %d", c.id, n, m.calls[before:], c.requests)
		}
	}
	for _, id := range []string{"m500", "", "\x00"} {
		if _, err := other.Message(t.Context(), channel, id); !errors.Is(err, sds.ErrNotFound) {
			t.Errorf("%q: %v, want ErrNotFound", id, err)
		}
	}
	if _, err := other.Message(t.Context(), "another", "m7"); !errors.Is(err, sds.ErrNotFound) {
		t.Errorf("in another channel: %v, want ErrNotFound", err)
	}
}

// TestAMessageThatWasEvictedAndAppendedAgain: the latest one counts for Message, History has
// each.
func TestAMessageThatWasEvictedAndAppendedAgain(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	for i := range 3 {
		u := appends("x")
		u.Append[0].Content = []byte(fmt.Sprint("content ", i))
		if err := a.Commit(t.Context(), channel, meta(1), u); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Archive(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	expectIDs(t, "archived", m.archived(t), []string{"x", "x"})
	for range 2 {
		got, err := a.Message(t.Context(), channel, "x")
		if err != nil || !bytes.Contains(got.Encoded, []byte("content 2")) {
			t.Fatalf("%q, %v", got.Encoded, err)
		}
		if err := a.Commit(t.Context(), channel, meta(2), &sds.HistoryUpdate{Evict: []string{"x"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Archive(t.Context(), channel); err != nil {
			t.Fatal(err)
		}
	}
	expectIDs(t, "archived", m.archived(t), []string{"x", "x", "x"})
}

// TestArchiveTakesWhatOlderHistoryHolds: messages that are evicted past older live ones
// lie above the log's start, where no sweep archives them.
func TestArchiveTakesWhatOlderHistoryHolds(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	if err := a.Commit(t.Context(), channel, meta(1), appends("stays")); err != nil {
		t.Fatal(err)
	}
	fill(t, a, 0, 20, 5)
	if done, err := a.Sweep(t.Context(), channel, nil); err != nil || done.Messages != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	if done, err := a.Archive(t.Context(), channel); err != nil || done.Messages != 15 {
		t.Fatalf("%+v, %v", done, err)
	}
	expectIDs(t, "archived", m.archived(t), names(0, 15))
	loads(t, m, 19, append(names(15, 5), "stays")...)
	ids, errs := history(t, a, sdsaws.HistoryRange{})
	if expectIDs(t, "History", ids, append(names(0, 20), "stays")); len(errs) > 0 {
		t.Fatal(errs)
	}
}

// TestDamageOfTheArchiveIsNamed damages a segment, a value and what is not archived yet:
// each is an error that names it, the rest is there, and nothing is deleted.
func TestDamageOfTheArchiveIsNamed(t *testing.T) {
	large := &sds.HistoryUpdate{Append: []sds.Message{{MessageID: "large", Content: noise()}}}
	for name, c := range map[string]struct {
		kind   record.Kind
		damage func(b []byte) []byte // nil: it is removed
		want   error
		lost   []string
	}{
		"a segment is missing":   {record.Segments, nil, sds.ErrIncomplete, names(0, 15)},
		"a segment is truncated": {record.Segments, func(b []byte) []byte { return b[:len(b)-1] }, sds.ErrCorrupt, names(0, 15)},
		"a segment is altered":   {record.Segments, func(b []byte) []byte { b[100] ^= 1; return b }, sds.ErrCorrupt, names(0, 15)},
		"a value is missing":     {record.Values, nil, sds.ErrIncomplete, []string{"large"}},
		"a value is truncated":   {record.Values, func(b []byte) []byte { return b[:len(b)-1] }, sds.ErrCorrupt, []string{"large"}},
		"a value is altered":     {record.Values, func(b []byte) []byte { b[100] ^= 1; return b }, sds.ErrCorrupt, []string{"large"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			a := open(t, m, sdsaws.Options{})
			fill(t, a, 0, 20, 5)
			if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
				t.Fatal(err)
			}
			if err := a.Commit(t.Context(), channel, meta(20), large); err != nil {
				t.Fatal(err)
			}
			if err := a.Commit(t.Context(), "another", meta(20), large); err != nil {
				t.Fatal(err)
			}
			m.archive.Edit(record.Folder(c.kind, key), c.damage)
			ids, errs := history(t, a, sdsaws.HistoryRange{})
			expectIDs(t, "History", ids, without(append(names(0, 20), "large"), c.lost))
			var named *sds.ChannelError
			if len(errs) != 1 || !errors.Is(errs[0], c.want) || !errors.As(errs[0], &named) || named.Channel != channel || named.Item == "" {
				t.Fatalf("History: %v, want one %v with channel and item", errs, c.want)
			}
			if _, err := a.Message(t.Context(), channel, c.lost[0]); !errors.Is(err, c.want) {
				t.Fatalf("Message: %v, want %v", err, c.want)
			}
			_, err := open(t, m, sdsaws.Options{}).LoadChannel(t.Context(), channel)
			if wrong := c.kind == record.Values; errors.Is(err, c.want) != wrong || (err != nil) != wrong {
				t.Fatalf("load: %v", err)
			}
			if _, err := open(t, m, sdsaws.Options{}).LoadChannel(t.Context(), "another"); err != nil {
				t.Fatalf("load of another channel: %v", err)
			}
			last := open(t, m, sdsaws.Options{})
			if err := last.DropChannel(t.Context(), channel); err != nil && !errors.Is(err, sds.ErrCorrupt) && !errors.Is(err, sds.ErrIncomplete) {
				t.Fatalf("a damaged channel can't be dropped: %v", err)
			}
			if err := last.DropChannel(t.Context(), channel); err != nil {
				t.Fatalf("nor the second time: %v", err)
			}
			loads(t, m, 0)
		})
	}
}

func without(all, some []string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return slices.Contains(some, s) })
}

// noise returns 64 KB that don't compress.
func noise() []byte {
	b := make([]byte, 64<<10)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

// TestNothingIsDeletedThatIsNotArchived stops archiving between the segment's PUT and the
// deletion of its messages, and damages the segment meanwhile.
func TestNothingIsDeletedThatIsNotArchived(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"missing": nil,
		"altered": func(b []byte) []byte { b[50] ^= 1; return b },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			a := open(t, m, sdsaws.Options{})
			fill(t, a, 0, 20, 5)
			m.setFault(at("delete", refuse))
			if _, err := a.Sweep(t.Context(), channel, nil); !errors.Is(err, errInjected) {
				t.Fatal(err)
			}
			m.setFault(func(string) fault { return none })
			m.archive.Edit(record.Folder(record.Segments, key), damage)
			for range 2 {
				_, err := open(t, m, sdsaws.Options{}).Sweep(t.Context(), channel, nil)
				if !errors.Is(err, sds.ErrIncomplete) && !errors.Is(err, sds.ErrCorrupt) {
					t.Fatalf("sweep: %v", err)
				}
			}
			if n := m.inLog(); n != 20 {
				t.Fatalf("%d of 20 messages are left", n)
			}
			loads(t, m, 19, names(15, 5)...)
		})
	}
}

// TestADamagedMessageIsNotArchived: one that was evicted can't be read any more.
func TestADamagedMessageIsNotArchived(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	fill(t, a, 0, 20, 5)
	m.Edit(key, func(_ *store.Head, all map[uint64]store.Message) { all[3].Body[12] ^= 1 })
	_, err := a.Sweep(t.Context(), channel, nil)
	var named *sds.ChannelError
	if !errors.Is(err, sds.ErrCorrupt) || !errors.As(err, &named) || !strings.Contains(named.Item, "offset 3") {
		t.Fatalf("%v, want ErrCorrupt that names offset 3", err)
	}
	ids, errs := history(t, a, sdsaws.HistoryRange{})
	if len(ids) != 19 || len(errs) != 1 {
		t.Fatalf("History: %q, %v", ids, errs)
	}
	loads(t, m, 19, names(15, 5)...)
}

// TestWhileTheArchiveIsUnreachable: commits that need no value go on, archiving says how far
// it is behind, nothing is deleted, and all is archived when the archive is back.
func TestWhileTheArchiveIsUnreachable(t *testing.T) {
	m, clock := newMemory(), &movedClock{}
	var mu sync.Mutex
	var behind []uint64
	a := open(t, m, sdsaws.Options{ArchiveMessages: 10, Clock: clock, OnArchiveLag: func(id string, n uint64, err error) {
		mu.Lock()
		defer mu.Unlock()
		if id != channel || !errors.Is(err, errInjected) {
			t.Errorf("OnArchiveLag(%q, %d, %v)", id, n, err)
		}
		behind = append(behind, n)
	}})
	m.setFault(func(op string) fault {
		if op == "put" || op == "get" || op == "list" || op == "remove" {
			return refuse
		}
		return none
	})
	for i := range 10 {
		fill(t, a, 10*i, 10, 5)
		clock.move(time.Minute)
		if err := a.Flush(t.Context()); err != nil {
			t.Fatalf("Flush: %v", err)
		}
	}
	large := &sds.HistoryUpdate{Append: []sds.Message{{MessageID: "large", Content: noise()}}}
	if err := a.Commit(t.Context(), channel, meta(100), large); !errors.Is(err, errInjected) {
		t.Fatalf("a commit that needs the archive: %v", err)
	}
	mu.Lock()
	if len(behind) < 5 || !slices.IsSorted(behind) || behind[len(behind)-1] < 80 {
		t.Errorf("OnArchiveLag was told %d", behind)
	}
	mu.Unlock()
	if n := m.inLog(); n != 100 {
		t.Fatalf("%d of 100 messages are in the log", n)
	}
	m.setFault(func(string) fault { return none })
	clock.move(time.Minute)
	fill(t, a, 100, 1, 5)
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectIDs(t, "archived", m.archived(t), names(0, 96))
	loads(t, m, 100, append(names(96, 5), "large")...)
}
