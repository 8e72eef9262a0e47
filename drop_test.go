package sdsaws_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
)

// busy makes a channel that has something of everything: messages in the log, evicted
// and archived ones, values, staged leftovers, and hints of all its messages. It returns the
// ids of those.
func busy(t *testing.T, m *memory) []string {
	t.Helper()
	a := open(t, m, sdsaws.Options{})
	fill(t, a, 0, 20, 10)
	if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
	fill(t, a, 20, 5, 10)
	buffers := meta(30)
	buffers.OutgoingBuffer = []sds.OutgoingMessage{{Message: sds.Message{MessageID: "out", Content: noise()}}}
	buffers.IncomingBuffer = []sds.IncomingMessage{{Message: sds.Message{MessageID: "in"}}}
	buffers.OutgoingRepairBuffer = []sds.OutgoingRepair{{MessageID: "asked"}}
	buffers.IncomingRepairBuffer = []sds.IncomingRepair{{MessageID: "asked for"}}
	large := appends("large", "large and evicted")
	for i := range large.Append {
		large.Append[i].Content = noise()
	}
	large.Evict = []string{"large and evicted"}
	if err := a.Commit(t.Context(), channel, buffers, large); err != nil {
		t.Fatal(err)
	}
	// An update that is staged, and whose commit never comes.
	m.setFault(at("commit", refuse))
	if err := a.Commit(t.Context(), channel, meta(31), appends(names(1000, 150)...)); !errors.Is(err, errInjected) {
		t.Fatal(err)
	}
	m.setFault(func(string) fault { return none })
	ids := append(names(0, 25), "out", "in", "asked", "asked for", "large", "large and evicted")
	hinter := open(t, m, sdsaws.Options{})
	for _, id := range append(ids, "of another channel") {
		if err := hinter.SetRetrievalHint(t.Context(), id, []byte("hint")); err != nil {
			t.Fatal(err)
		}
	}
	if err := hinter.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := m.inLog(); n < 100 {
		t.Fatalf("only %d messages are in the log", n)
	}
	return ids
}

// nothingLeft expects that the channel is an empty head and nothing else.
func (m *memory) nothingLeft(t *testing.T, ids []string) {
	t.Helper()
	if n := m.inLog(); n > 0 {
		t.Errorf("%d messages are left", n)
	}
	if all, err := m.Memory.Segments(t.Context(), key, 0, 1000); err != nil || len(all) > 0 {
		t.Errorf("%d manifests are left, %v", len(all), err)
	}
	for o, err := range m.archive.MemoryArchive.List(t.Context(), "") {
		t.Errorf("object %s is left, %v", o.Name, err)
	}
	if hints, err := m.Hints(t.Context(), "alice", ids); err != nil || len(hints) > 0 {
		t.Errorf("%d hints are left, %v", len(hints), err)
	}
	if hints, err := m.Hints(t.Context(), "alice", []string{"of another channel"}); err != nil || len(hints) != 1 {
		t.Errorf("a hint of another message: %v, %v", hints, err)
	}
	if h := m.head(t); h.Origin != h.Next || len(h.Body) > 200 {
		t.Errorf("the head has offsets %d to %d and %d bytes", h.Origin, h.Next, len(h.Body))
	}
}

func TestADropLeavesNothing(t *testing.T) {
	m := newMemory()
	ids := busy(t, m)
	a := open(t, m, sdsaws.Options{}) // that has never seen it
	if err := a.DropChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	m.nothingLeft(t, ids)
	loads(t, m, 0)

	ids = busy(t, m)
	a = open(t, m, sdsaws.Options{}) // that holds it
	if _, err := a.LoadChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	if err := a.SetRetrievalHint(t.Context(), "m3", []byte("waits")); err != nil {
		t.Fatal(err)
	}
	if err := a.DropChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	m.nothingLeft(t, ids)
	if err := a.SetRetrievalHint(t.Context(), "m3", []byte("waits")); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(t.Context(), channel, meta(1), appends("new")); err != nil {
		t.Fatal(err)
	}
	loads(t, m, 1, "new")
}

// TestADropFailsAtEveryStep refuses, or loses the reply of, each request of a drop in turn.
// The channel is as it was, or empty; it can be used at once; and a repeat, or a sweep,
// leaves nothing of what was there before.
func TestADropFailsAtEveryStep(t *testing.T) {
	for _, f := range []fault{refuse, lose} {
		for _, repeat := range []string{"drop", "use and sweep"} {
			for n := 1; ; n++ {
				m := newMemory()
				ids := busy(t, m)
				a := open(t, m, sdsaws.Options{})
				seen := 0
				m.setFault(func(string) fault {
					if seen++; seen == n {
						return f
					}
					return none
				})
				err := a.DropChannel(t.Context(), channel)
				m.setFault(func(string) fault { return none })
				if seen < n {
					if err != nil || n < 10 {
						t.Fatalf("%d requests, %v", seen, err)
					}
					break
				}
				if err == nil {
					t.Fatalf("request %d, fault %d: no error", n, f)
				}
				step := fmt.Sprintf("request %d, fault %d, then %s", n, f, repeat)
				fresh := open(t, m, sdsaws.Options{})
				d, err := fresh.LoadChannel(t.Context(), channel)
				if err != nil || len(d.MessageHistory) != 0 && len(d.MessageHistory) != 11 {
					t.Fatalf("%s: loaded %d messages, %v", step, len(d.MessageHistory), err)
				}
				if repeat == "drop" || len(d.MessageHistory) > 0 {
					if err := fresh.DropChannel(t.Context(), channel); err != nil {
						t.Fatalf("%s: %v", step, err)
					}
					m.nothingLeft(t, ids)
				} else {
					useAndSweep(t, m, fresh, ids)
				}
				if t.Failed() {
					t.Fatal(step)
				}
			}
		}
	}
}

// useAndSweep works with a channel whose drop was not finished.
func useAndSweep(t *testing.T, m *memory, a *sdsaws.Adapter, ids []string) {
	t.Helper()
	fill(t, a, 5000, 20, 10)
	for range 2 {
		if _, err := open(t, m, sdsaws.Options{}).Sweep(t.Context(), channel, nil); err != nil {
			t.Fatal(err)
		}
	}
	expectIDs(t, "archived", m.archived(t), names(5000, 10))
	if n := m.inLog(); n != 10 {
		t.Errorf("%d messages are in the log", n)
	}
	for o, err := range m.archive.MemoryArchive.List(t.Context(), record.Folder(record.Values, key)) {
		t.Errorf("value %s is left, %v", o.Name, err)
	}
	if hints, err := m.Hints(t.Context(), "alice", ids[:25]); err != nil || len(hints) > 0 {
		t.Errorf("%d hints are left, %v", len(hints), err)
	}
	loads(t, m, 5019, names(5010, 10)...)
}

// TestADropIsOfOneChannel: a channel whose name is the beginning of another's, and another
// participant's channel of the same name.
func TestADropIsOfOneChannel(t *testing.T) {
	m := newMemory()
	busy(t, m)
	a := open(t, m, sdsaws.Options{})
	other, err := sdsaws.New(sdsaws.Backend{Log: m, Hints: m, Archive: &m.archive}, &sdsaws.Options{Namespace: "alic"})
	if err != nil {
		t.Fatal(err)
	}
	large := &sds.HistoryUpdate{Append: []sds.Message{{MessageID: "m1", Content: noise()}, {MessageID: "m2"}},
		Evict: []string{"m2"}}
	kept := map[*sdsaws.Adapter]string{a: channel + "/2", other: channel}
	for who, id := range kept {
		if err := who.Commit(t.Context(), id, meta(1), large); err != nil {
			t.Fatal(err)
		}
		if _, err := who.Archive(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if err := open(t, m, sdsaws.Options{}).DropChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	for who, id := range kept {
		d, err := who.LoadChannel(t.Context(), id)
		if err != nil || len(d.MessageHistory) != 1 {
			t.Errorf("%q: %v, %v", id, d, err)
		}
		if got, err := who.Message(t.Context(), id, "m2"); err != nil || got.ArchivedAt.IsZero() {
			t.Errorf("%q: archived message: %+v, %v", id, got, err)
		}
	}
}

// TestASlowArchiverDoesNoHarm stops an archiver at each of its requests, lets others drop
// the channel, or archive the same and more, and lets it go on.
func TestASlowArchiverDoesNoHarm(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(t *testing.T, m *memory, a *sdsaws.Adapter)
		archived  []string
	}{
		"drop": {func(t *testing.T, m *memory, a *sdsaws.Adapter) {
			if err := a.DropChannel(t.Context(), channel); err != nil {
				t.Fatal(err)
			}
			fill(t, a, 100, 20, 10)
		}, names(100, 10)},
		"archive": {func(t *testing.T, m *memory, a *sdsaws.Adapter) {
			if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
				t.Fatal(err)
			}
		}, names(0, 20)},
		"archive more": {func(t *testing.T, m *memory, a *sdsaws.Adapter) {
			for i := range 3 {
				if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
					t.Fatal(err)
				}
				fill(t, a, 30+7*i, 7, 10)
			}
		}, names(0, 41)},
	} {
		for _, begun := range []string{"", "put", "delete"} {
			t.Run(name+", begun up to "+begun, func(t *testing.T) {
				for n := 1; stopAt(t, n, begun, c.meanwhile, c.archived); n++ {
				}
			})
		}
	}
}

// stopAt stops an archiver at its n-th request, after another has failed with the request
// begun. It returns false when it has fewer.
func stopAt(
	t *testing.T, n int, begun string, meanwhile func(*testing.T, *memory, *sdsaws.Adapter), archived []string,
) bool {
	t.Helper()
	m := newMemory()
	owner := open(t, m, sdsaws.Options{})
	fill(t, owner, 0, 30, 10)
	m.setFault(func(op string) fault {
		if op == begun {
			return refuse
		}
		return none
	})
	if begun != "" {
		if _, err := owner.Sweep(t.Context(), channel, nil); !errors.Is(err, errInjected) {
			t.Fatal(err)
		}
	}
	slow := open(t, m, sdsaws.Options{})
	at, goOn := make(chan bool, 1), make(chan struct{})
	seen := 0
	m.wait = func() { at <- true; <-goOn }
	m.setFault(func(string) fault {
		if seen++; seen != n {
			return none
		}
		return hold
	})
	done := make(chan error, 1)
	go func() {
		_, err := slow.Sweep(t.Context(), channel, nil)
		at <- false
		done <- err
	}()
	if !<-at {
		if err := <-done; err != nil || n < 10 {
			t.Fatalf("%d requests, %v", n, err)
		}
		return false
	}
	m.setFault(func(string) fault { return none })
	meanwhile(t, m, owner)
	close(goOn)
	if err := <-done; err != nil {
		t.Fatalf("request %d: the archiver fails: %v", n, err)
	}
	for _, id := range m.archived(t) {
		if !slices.Contains(archived, id) {
			t.Fatalf("request %d: %q is archived", n, id)
		}
	}
	if _, err := owner.Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
	expectIDs(t, fmt.Sprint("archived, with an archiver stopped at request ", n), m.archived(t), archived)
	if left := m.inLog(); left != 10 {
		t.Fatalf("request %d: %d messages are in the log", n, left)
	}
	d, err := owner.LoadChannel(t.Context(), channel)
	if err != nil || len(d.MessageHistory) != 10 {
		t.Fatalf("request %d: %v", n, err)
	}
	return true
}

// TestASweepRemovesGarbageAndNothingElse: a value that was put for a commit under way stays
// while that can land, and goes when it can't any more.
func TestASweepRemovesGarbageAndNothingElse(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	large := func(id string) *sds.HistoryUpdate {
		return &sds.HistoryUpdate{Append: []sds.Message{{MessageID: id, Content: noise()}}}
	}
	values := func(want int) {
		t.Helper()
		if n := m.values(t); n != want {
			t.Fatalf("%d values, want %d", n, want)
		}
	}
	sweep := func(removed int) {
		t.Helper()
		done, err := open(t, m, sdsaws.Options{}).Sweep(t.Context(), channel, nil)
		if err != nil || done.Removed != removed {
			t.Fatalf("%+v, %v", done, err)
		}
	}
	if err := a.Commit(t.Context(), channel, meta(1), large("one")); err != nil {
		t.Fatal(err)
	}
	sweep(0)
	m.setFault(at("commit", refuse))
	if err := a.Commit(t.Context(), channel, meta(2), large("two")); !errors.Is(err, errInjected) {
		t.Fatal(err)
	}
	m.setFault(func(string) fault { return none })
	values(2)
	sweep(0)
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	loads(t, m, 2, "one", "two")

	a = open(t, m, sdsaws.Options{})
	if _, err := a.LoadChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	m.setFault(at("commit", refuse))
	if err := a.Commit(t.Context(), channel, meta(3), large("three")); !errors.Is(err, errInjected) {
		t.Fatal(err)
	}
	loads(t, m, 2, "one", "two") // by a successor
	values(3)
	sweep(1)
	loads(t, m, 2, "one", "two")
	if err := a.Flush(t.Context()); !errors.Is(err, sds.ErrFenced) {
		t.Fatal(err)
	}
}

// TestASweepRemovesWhatWasStagedInVain: leftovers of a writer that was replaced go, those
// of a commit under way stay.
func TestASweepRemovesWhatWasStagedInVain(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	if err := a.Commit(t.Context(), channel, meta(1), appends("one")); err != nil {
		t.Fatal(err)
	}
	m.setFault(at("commit", refuse))
	if err := a.Commit(t.Context(), channel, meta(2), appends(names(0, 150)...)); !errors.Is(err, errInjected) {
		t.Fatal(err)
	}
	m.setFault(func(string) fault { return none })
	sweep := func(left int) {
		t.Helper()
		if _, err := open(t, m, sdsaws.Options{}).Sweep(t.Context(), channel, nil); err != nil {
			t.Fatal(err)
		}
		if n := m.inLog(); n != left {
			t.Fatalf("%d messages are in the log, want %d", n, left)
		}
	}
	sweep(151)
	loads(t, m, 1, "one")
	sweep(1)
	if err := a.Flush(t.Context()); !errors.Is(err, sds.ErrFenced) {
		t.Fatal(err)
	}
	if _, err := a.Message(t.Context(), channel, "m7"); !errors.Is(err, sds.ErrNotFound) {
		t.Fatal(err)
	}
}
