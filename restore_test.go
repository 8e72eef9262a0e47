package sdsaws_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// handed returns what a channel holds, without its offsets.
func handed(t tester, m *memory) (*sdsaws.Reading, []string) {
	t.Helper()
	a, err := sdsaws.New(sdsaws.Backend{Log: m, Hints: m, Archive: &m.archive}, &sdsaws.Options{Namespace: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.ReadChannel(t.Context(), channel)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{fmt.Sprintf("snapshot %x", r.Data.Meta)}
	for h, err := range r.History(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%v %d %x", h.Live, h.ArchivedAt.UnixMilli(), h.Encoded))
	}
	for _, b := range r.Data.Messages {
		lines = append(lines, fmt.Sprintf("loaded %x", b))
	}
	return r, lines
}

// restored restores a reading into an empty backend.
func restored(t tester, r *sdsaws.Reading) *memory {
	t.Helper()
	m := newMemory()
	a, err := sdsaws.New(sdsaws.Backend{Log: m, Hints: m, Archive: &m.archive}, &sdsaws.Options{
		Namespace: "alice", InlineBytes: 300, ArchiveMessages: 1 << 30, Clock: stopped{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.CheckRestore(t.Context(), channel, r.Data.Meta, r.History(t.Context())); err != nil {
		t.Fatal(err)
	}
	if h, err := m.Head(t.Context(), key); err != nil || h != nil {
		t.Fatalf("a check has written a head, %v", err)
	}
	if err := a.Restore(t.Context(), channel, r.Data.Meta, r.History(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

// restoresTheSame expects that two backends hold the same, that nothing is wrong with the second one, and that work on it
// goes on.
func restoresTheSame(t tester, from *memory) {
	t.Helper()
	r, want := handed(t, from)
	to := restored(t, r)
	if _, got := handed(t, to); !slices.Equal(got, want) {
		t.Fatalf("%d lines were restored as %d:\n%.1000q\n%.1000q", len(want), len(got), want, got)
	}
	a, err := sdsaws.New(sdsaws.Backend{Log: to, Hints: to, Archive: &to.archive}, &sdsaws.Options{Namespace: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.Check(t.Context(), channel, nil)
	if err != nil || len(c.Findings) > 0 || c.Pending > 0 {
		t.Fatalf("%+v, %v", c, err)
	}
	if err := a.Commit(t.Context(), channel, meta(1), update([]string{"new"}, []string{"m1", "m2"})); err != nil {
		t.Fatal(err)
	}
}

func TestAChannelIsRestored(t *testing.T) {
	t.Run("empty", func(t *testing.T) { restoresTheSame(t, newMemory()) })
	t.Run("scattered", func(t *testing.T) {
		m, _ := scattered(t)
		restoresTheSame(t, m)
	})
	t.Run("several segments", func(t *testing.T) {
		m := newMemory()
		c := &movedClock{}
		o := quiet
		o.Clock = c
		a := open(t, m, o)
		for round := range 3 {
			fill(t, a, 200*round, 200, 20)
			c.move(time.Hour)
			if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
				t.Fatal(err)
			}
		}
		restoresTheSame(t, m)
	})
	t.Run("what waits is longer than a log may be", func(t *testing.T) {
		m := newMemory()
		a := open(t, m, quiet)
		if err := a.Commit(t.Context(), channel, largeMeta(1), update(names(0, 60), nil)); err != nil {
			t.Fatal(err)
		}
		fill(t, a, 100, 180, 0)
		restoresTheSame(t, m)
	})
	// A message with the id of one that was buffered before it, was history and isn't any more when that is delivered.
	t.Run("overtaken by its namesake", func(t *testing.T) {
		m := newMemory()
		a := open(t, m, quiet)
		first, other := update([]string{"x"}, nil), update([]string{"x"}, []string{"x"})
		other.Append[0].Content = []byte("other")
		buffered := meta(1)
		buffered.OutgoingBuffer = []sds.OutgoingMessage{{Message: first.Append[0]}}
		for _, u := range []*sds.HistoryUpdate{other, first} {
			if err := a.Commit(t.Context(), channel, buffered, u); err != nil {
				t.Fatal(err)
			}
		}
		restoresTheSame(t, m)
	})
}

// TestAnyChannelIsRestored, after commits and sweeps at random.
func TestAnyChannelIsRestored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMemory()
		a, err := sdsaws.New(sdsaws.Backend{Log: m, Hints: m, Archive: &m.archive}, &sdsaws.Options{
			Namespace: "alice", InlineBytes: 300, ArchiveMessages: 1 << 30, GroupSize: 4, Clock: stopped{}})
		if err != nil {
			t.Fatal(err)
		}
		ids := rapid.SliceOfN(rapid.SampledFrom([]string{"m1", "m2", "m3", "m4", "L1", "L2", "x", "\xff"}), 0, 4)
		buffered := meta(0)
		for i := range rapid.IntRange(1, 15).Draw(t, "steps") {
			u := update(ids.Draw(t, "append"), ids.Draw(t, "evict"))
			for j := range u.Append {
				u.Append[j].LamportTimestamp = rapid.Int64Range(0, 2).Draw(t, "lamport")
			}
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				buffered = meta(int64(i))
				for _, msg := range u.Append {
					buffered.OutgoingBuffer = append(buffered.OutgoingBuffer, sds.OutgoingMessage{Message: msg})
				}
			case 1:
				if _, err := a.Archive(t.Context(), channel); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err := a.Commit(t.Context(), channel, buffered, u); err != nil && !errors.Is(err, sds.ErrEmptyUpdate) {
				t.Fatal(err)
			}
		}
		restoresTheSame(t, m)
	})
}

func TestOnlyAnEmptyChannelIsRestored(t *testing.T) {
	from, _ := scattered(t)
	r, _ := handed(t, from)
	m := from.copy()
	before := m.head(t)
	a := open(t, m, quiet)
	if err := a.Restore(t.Context(), channel, r.Data.Meta, r.History(t.Context())); !errors.Is(err, sdsaws.ErrNotEmpty) {
		t.Fatalf("%v, want an ErrNotEmpty", err)
	}
	if h := m.head(t); h.Next != before.Next {
		t.Fatalf("it changed something: %+v", h)
	}
	if err := a.DropChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	if err := a.Restore(t.Context(), channel, r.Data.Meta, r.History(t.Context())); err != nil {
		t.Fatal(err)
	}
	for name, history := range map[string][]sdsaws.HistoryMessage{
		"no message":             {{Encoded: []byte{1}}},
		"archived, and history":  {{Encoded: r.Data.Messages[0], Live: true, ArchivedAt: time.Unix(1, 0)}},
		"archived behind others": {{Encoded: r.Data.Messages[0]}, {Encoded: r.Data.Messages[0], ArchivedAt: time.Unix(1, 0)}},
		"history twice":          {{Encoded: r.Data.Messages[0], Live: true}, {Encoded: r.Data.Messages[0], Live: true}},
	} {
		m := newMemory()
		all := func(yield func(sdsaws.HistoryMessage, error) bool) {
			for _, h := range history {
				if !yield(h, nil) {
					return
				}
			}
		}
		if err := open(t, m, quiet).Restore(t.Context(), channel, r.Data.Meta, all); err == nil {
			t.Errorf("%s: restored", name)
		}
		if err := open(t, m, quiet).CheckRestore(t.Context(), channel, r.Data.Meta, all); err == nil {
			t.Errorf("%s: said to be restorable", name)
		}
		loads(t, m, 0)
	}
}

// TestWhatDoesNotFitIsKnownBefore: a check of what Restore would be given finds what the backend would refuse,
// without a request.
func TestWhatDoesNotFitIsKnownBefore(t *testing.T) {
	encoded := func(id string) []byte {
		b, err := (&sds.Message{MessageID: id, ChannelID: channel}).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	none := []byte{0x08, 0x01, 0x10, 0x00}
	longID := strings.Repeat("x", 20_000)
	buffered, err := (&sds.ChannelMeta{SchemaVersion: 1,
		OutgoingBuffer: []sds.OutgoingMessage{{Message: sds.Message{MessageID: longID}}}}).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	// Every second message is history: sets of offsets take a few bytes for each.
	holes := func(yield func(sdsaws.HistoryMessage, error) bool) {
		for i := range 12_000 {
			if !yield(sdsaws.HistoryMessage{Encoded: encoded(fmt.Sprint(i)), Live: i%2 == 0}, nil) {
				return
			}
		}
	}
	one := func(id string) func(yield func(sdsaws.HistoryMessage, error) bool) {
		return func(yield func(sdsaws.HistoryMessage, error) bool) {
			yield(sdsaws.HistoryMessage{Encoded: encoded(id), Live: true}, nil)
		}
	}
	limits := store.Limits{Messages: 100, HeadBytes: 10_000, MessageBytes: 20_000, CommitBytes: 1 << 20}
	for name, c := range map[string]struct {
		meta    []byte
		history func(yield func(sdsaws.HistoryMessage, error) bool)
	}{
		"a long id":                 {none, one(longID)},
		"a long id in the snapshot": {buffered, one("x")},
		"many holes":                {none, holes},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			m.Max = limits
			a := open(t, m, quiet)
			if err := a.CheckRestore(t.Context(), channel, c.meta, c.history); !errors.Is(err, sds.ErrTooLarge) {
				t.Errorf("%v, want an ErrTooLarge", err)
			}
			if h, err := m.Head(t.Context(), key); err != nil || h != nil {
				t.Errorf("a head was written, %v", err)
			}
			if err := a.Restore(t.Context(), channel, c.meta, c.history); !errors.Is(err, sds.ErrTooLarge) {
				t.Errorf("restored: %v, want an ErrTooLarge", err)
			}
		})
	}
}

// TestARestoreThatFailsLoadsAsEmpty at each of its requests, and can be done again after a drop.
func TestARestoreThatFailsLoadsAsEmpty(t *testing.T) {
	from, _ := scattered(t)
	r, want := handed(t, from)
	for _, f := range []fault{refuse, lose} {
		upwards(t, "request", func(t *testing.T, n int) bool {
			m := newMemory()
			op := ""
			m.setFault(nth(n, every, f, func(o string) { op = o }))
			a := open(t, m, quiet)
			err := a.Restore(t.Context(), channel, r.Data.Meta, r.History(t.Context()))
			m.setFault(func(string) fault { return none })
			if op == "" {
				if err != nil {
					t.Fatal(err)
				}
				return false
			}
			if err != nil {
				d, err := open(t, m, quiet).LoadEncodedChannel(t.Context(), channel)
				if whole := len(d.Messages) == len(r.Data.Messages) && string(d.Meta) == string(r.Data.Meta); err != nil ||
					!whole && (len(d.Messages) > 0 || len(d.Meta) > 4) {
					t.Fatalf("after a failed %s: %d messages, %v", op, len(d.Messages), err)
				}
				again := open(t, m, quiet)
				if err := again.DropChannel(t.Context(), channel); err != nil {
					t.Fatal(err)
				}
				if err := again.Restore(t.Context(), channel, r.Data.Meta, r.History(t.Context())); err != nil {
					t.Fatalf("again: %v", err)
				}
			}
			if _, got := handed(t, m); !slices.Equal(got, want) {
				t.Fatalf("after a failed %s it is another", op)
			}
			return true
		})
	}
}
