package sdsaws_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// The tests of this file drive requests of several actors in an order in which they once did
// harm.

// bigMeta returns a snapshot that goes to the archive, beside its messages.
func bigMeta(l int64) *sds.ChannelMeta {
	m := meta(l)
	hint := append(noise(), byte(l))
	m.OutgoingRepairBuffer = []sds.OutgoingRepair{{MessageID: "in", HistoryEntry: sds.HistoryEntry{MessageID: "in", RetrievalHint: hint}}}
	return m
}

// TestALostWriterDeletesNothingThatLanded: the reply of a commit with values is lost,
// another adapter claims
// what it committed, and the first tries again.
func TestALostWriterDeletesNothingThatLanded(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{InlineBytes: 100, Lag: time.Hour})
	if err := a.Commit(t.Context(), channel, meta(1), appends("one")); err != nil {
		t.Fatal(err)
	}
	m.setFault(at("commit", lose))
	u := appends("large")
	u.Append[0].Content = noise()
	if err := a.Commit(t.Context(), channel, meta(2), u); !errors.Is(err, sds.ErrUnknownOutcome) {
		t.Fatal(err)
	}
	loads(t, m, 2, "one", "large") // B claims: it is committed, and loads
	err := a.Flush(t.Context())
	t.Logf("a: %v; values left: %d", err, m.values(t))
	loads(t, m, 2, "one", "large")
}

// TestALostWriterLeavesASnapshotThatLanded: the same with a snapshot alone.
func TestALostWriterLeavesASnapshotThatLanded(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{InlineBytes: 100, Lag: time.Hour})
	if err := a.Commit(t.Context(), channel, meta(1), appends("one")); err != nil {
		t.Fatal(err)
	}
	m.setFault(at("commit", lose))
	if err := a.Commit(t.Context(), channel, bigMeta(2), &sds.HistoryUpdate{}); !errors.Is(err, sds.ErrUnknownOutcome) {
		t.Fatal(err)
	}
	loads(t, m, 2, "one")
	_ = a.Flush(t.Context())
	loads(t, m, 2, "one")
}

// TestALoadSettlesWhatIsUnderWay: a load takes the turn behind a commit whose reply was
// lost.
func TestALoadSettlesWhatIsUnderWay(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{InlineBytes: 100, ArchiveMessages: 1 << 30, Durability: sdsaws.Accepted, Lag: time.Hour})
	fill(t, a, 0, 2, 10)
	first, second := make(chan struct{}), make(chan struct{})
	n := 0
	m.wait = func() { close(first); <-second }
	m.setFault(func(op string) fault {
		if op == "commit" {
			switch n++; n {
			case 1:
				return hold
			case 2:
				time.Sleep(50 * time.Millisecond)
				return lose
			}
		}
		return none
	})
	go func() { _ = a.Commit(context.Background(), channel, meta(51), appends("x")) }()
	<-first
	done := make(chan error, 1)
	go func() { _, err := a.LoadChannel(context.Background(), channel); done <- err }()
	time.Sleep(50 * time.Millisecond)
	u := appends("large")
	u.Append[0].Content = noise()
	if err := a.SaveChannelMeta(t.Context(), channel, meta(52)); err != nil {
		t.Fatal(err)
	}
	if err := a.UpdateHistory(t.Context(), channel, u); err != nil {
		t.Fatal(err)
	}
	close(second)
	t.Log(<-done)
	t.Log(a.Flush(t.Context()))
	loads(t, m, 52, "m0", "m1", "x", "large")
}

// TestAFailedDropLosesNothing: a drop by an adapter that had not opened the channel
// fails before it
// has emptied it; then that adapter commits.
func TestAFailedDropLosesNothing(t *testing.T) {
	m := newMemory()
	w := open(t, m, sdsaws.Options{})
	buffers := meta(1)
	buffers.IncomingBuffer = []sds.IncomingMessage{{Message: sds.Message{MessageID: "in"}}}
	if err := w.Commit(t.Context(), channel, buffers, appends("one", "two")); err != nil {
		t.Fatal(err)
	}
	a := open(t, m, sdsaws.Options{})
	m.setFault(at("delete hints", refuse))
	err := a.DropChannel(t.Context(), channel)
	t.Log(err)
	if err == nil {
		t.Fatal("no error")
	}
	loadsNoClaim := func() { t.Logf("head: next %d start %d origin %d", m.head(t).Next, m.head(t).Start, m.head(t).Origin) }
	loadsNoClaim()
	m.setFault(func(string) fault { return none })
	if err := a.Commit(t.Context(), channel, meta(2), appends("three")); err != nil {
		t.Fatal(err)
	}
	loads(t, m, 2, "one", "two", "three")
}

// TestADropThatEndsEarlyLosesNothing: the same when a read fails.
func TestADropThatEndsEarlyLosesNothing(t *testing.T) {
	m := newMemory()
	w := open(t, m, sdsaws.Options{})
	if err := w.Commit(t.Context(), channel, meta(1), appends("one", "two")); err != nil {
		t.Fatal(err)
	}
	a := open(t, m, sdsaws.Options{})
	n := 0
	m.setFault(func(op string) fault {
		if op == "head" {
			if n++; n == 2 { // a throttled read, or the caller's ctx ends here
				return refuse
			}
		}
		return none
	})
	if err := a.DropChannel(t.Context(), channel); err == nil {
		t.Fatal("no error")
	}
	m.setFault(func(string) fault { return none })
	if err := a.Commit(t.Context(), channel, meta(2), appends("three")); err != nil {
		t.Fatal(err)
	}
	var d *sds.ChannelData
	var err error
	if d, err = a.LoadChannel(context.Background(), channel); err != nil || len(d.MessageHistory) != 3 {
		t.Errorf("history has %d messages, want 3 (or, dropped, 1 with the snapshot gone too): %v", len(d.MessageHistory), err)
	}
}

// TestAStaleHolderLearnsOfLaterSegments: it was fenced, doesn't know it, and sweeps
// what its successor has
// archived.
func TestAStaleHolderLearnsOfLaterSegments(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	if err := a.Commit(t.Context(), channel, meta(1), appends("m0", "m1")); err != nil {
		t.Fatal(err)
	}
	b := open(t, m, sdsaws.Options{})
	fill(t, b, 2, 20, 2)
	u := &sds.HistoryUpdate{Evict: []string{"m0", "m1"}}
	if err := b.Commit(t.Context(), channel, meta(100), u); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sweep(t.Context(), channel, &sdsaws.SweepOptions{OnlyDue: true}); err != nil { // e.g. a nightly sweep of all channels
		t.Fatal(err)
	}
	err := a.Commit(t.Context(), channel, meta(3), appends("x"))
	if !errors.Is(err, sds.ErrFenced) {
		t.Fatal(err)
	}
}

// TestADropFindsTheHintsOfASegmentThatIsJustDone: an archiver elsewhere is about to
// mark its segment done; it finds no
// manifest, and deletes the object before the drop lists it.
func TestADropFindsTheHintsOfASegmentThatIsJustDone(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{ArchiveMessages: 1 << 30})
	fill(t, a, 0, 20, 10)
	for _, id := range names(0, 20) {
		if err := a.SetRetrievalHint(t.Context(), id, []byte("h")); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	paused, resume, finished := make(chan struct{}), make(chan struct{}), make(chan struct{})
	replaces, listed := 0, false
	var once sync.Once
	m.wait = func() { // held requests
	}
	m.setFault(func(op string) fault {
		if op == "replace segment" {
			if replaces++; replaces == 2 { // Done
				return hold
			}
		}
		return none
	})
	m.wait = func() { close(paused); <-resume }
	other := open(t, m, sdsaws.Options{})
	go func() {
		defer close(finished)
		_, err := other.Sweep(t.Context(), channel, nil)
		t.Logf("sweeper: %v", err)
	}()
	<-paused
	m.mu.Lock()
	m.fault = func(op string) fault {
		if op == "list" && !listed {
			listed = true
			return hold
		}
		return none
	}
	m.wait = func() { once.Do(func() { close(resume); <-finished }) }
	m.mu.Unlock()
	if err := a.DropChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	m.setFault(func(string) fault { return none })
	hints, err := m.Hints(t.Context(), "alice", names(0, 20))
	if err != nil || len(hints) > 0 {
		t.Errorf("%d hints are left after a drop that returned nil, %v", len(hints), err)
	}
}

// TestHistoryFollowsWhatLeavesTheLog: a page of the log is read, then the value of one
// of its messages is
// deleted, because that is archived or dropped.
func TestHistoryFollowsWhatLeavesTheLog(t *testing.T) {
	for _, what := range []string{"archive", "drop"} {
		t.Run(what, func(t *testing.T) {
			m := newMemory()
			a := open(t, m, sdsaws.Options{InlineBytes: 100, ArchiveMessages: 1 << 30})
			u := appends("big", "small")
			u.Append[0].Content = noise()
			if err := a.Commit(t.Context(), channel, meta(1), u); err != nil {
				t.Fatal(err)
			}
			if err := a.Commit(t.Context(), channel, meta(2), &sds.HistoryUpdate{Evict: []string{"big"}}); err != nil {
				t.Fatal(err)
			}
			var once sync.Once
			other := open(t, m, sdsaws.Options{})
			m.wait = func() {
				once.Do(func() {
					var err error
					if what == "archive" {
						_, err = other.Sweep(t.Context(), channel, nil)
					} else {
						err = other.DropChannel(t.Context(), channel)
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			gets := 0
			m.setFault(func(op string) fault {
				if op == "get" {
					if gets++; gets == 1 {
						return hold
					}
				}
				return none
			})
			reader := open(t, m, sdsaws.Options{})
			ids, errs := history(t, reader, sdsaws.HistoryRange{})
			if len(errs) > 0 {
				t.Errorf("History: %q, %v", ids, errs)
			}
		})
	}
}

// TestMessageFollowsWhatLeavesTheLog: the same for Message.
func TestMessageFollowsWhatLeavesTheLog(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{InlineBytes: 100, ArchiveMessages: 1 << 30})
	u := appends("big", "small")
	u.Append[0].Content = noise()
	if err := a.Commit(t.Context(), channel, meta(1), u); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(t.Context(), channel, meta(2), &sds.HistoryUpdate{Evict: []string{"big"}}); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	other := open(t, m, sdsaws.Options{})
	m.wait = func() { once.Do(func() { _, _ = other.Sweep(t.Context(), channel, nil) }) }
	gets := 0
	m.setFault(func(op string) fault {
		if op == "get" {
			if gets++; gets == 1 {
				return hold
			}
		}
		return none
	})
	if _, err := open(t, m, sdsaws.Options{}).Message(t.Context(), channel, "big"); err != nil {
		t.Error(err)
	}
}

// TestCommitsGoOnWithoutTheArchive: a large message would have to be written again to
// keep the log bounded,
// and the archive refuses it.
func TestCommitsGoOnWithoutTheArchive(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{InlineBytes: 1000, ArchiveMessages: 1 << 30})
	u := appends("big")
	u.Append[0].Content = noise()
	if err := a.Commit(t.Context(), channel, meta(1), u); err != nil {
		t.Fatal(err)
	}
	m.setFault(at("put", refuse))
	for i := range 300 {
		u := appends(fmt.Sprint("m", i))
		u.Evict = []string{fmt.Sprint("m", i-5)}
		if err := a.Commit(t.Context(), channel, meta(int64(i+2)), u); err != nil {
			t.Fatalf("commit %d: %v", i, err)
		}
	}
}

// TestCommitsGoOnWhileTheArchiveHangs: the same when the archive gives no answer.
func TestCommitsGoOnWhileTheArchiveHangs(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{InlineBytes: 1000, ArchiveMessages: 1 << 30})
	u := appends("big")
	u.Append[0].Content = noise()
	if err := a.Commit(t.Context(), channel, meta(1), u); err != nil {
		t.Fatal(err)
	}
	m.setFault(func(op string) fault {
		if op == "get" || op == "put" {
			return stuck
		}
		return none
	})
	for i := range 300 {
		u := appends(fmt.Sprint("m", i))
		u.Evict = []string{fmt.Sprint("m", i-5)}
		if err := a.Commit(t.Context(), channel, meta(int64(i+2)), u); err != nil {
			t.Fatalf("commit %d, which needs no value: %v", i, err)
		}
	}
}

// TestCommitsDontWaitForDeletions: the deletion of what was replaced gives no answer.
func TestCommitsDontWaitForDeletions(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{InlineBytes: 100})
	big := meta(1)
	big.IncomingBuffer = []sds.IncomingMessage{{Message: sds.Message{MessageID: "in", Content: noise()}}}
	if err := a.Commit(t.Context(), channel, big, appends("one")); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	defer close(release)
	m.wait = func() { <-release }
	m.setFault(at("remove", hold))
	if err := a.Commit(t.Context(), channel, meta(2), appends("two")); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	if err := a.Commit(ctx, channel, meta(3), appends("three")); err != nil {
		t.Errorf("a commit that needs no value: %v", err)
	}
}

// TestAStagedCommitMovesFewMessages: one that has no room left in its transaction moves
// none.
func TestAStagedCommitMovesFewMessages(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{ArchiveMessages: 1 << 30})
	if err := a.Commit(t.Context(), channel, meta(1), appends(names(100000, 90)...)); err != nil {
		t.Fatal(err)
	}
	for i := range 5 { // 90 live at the start + churn
		u := appends(names(i*60, 60)...)
		u.Evict = append(u.Evict, names((i-1)*60, 60)...)
		if err := a.Commit(t.Context(), channel, meta(int64(i+2)), u); err != nil {
			t.Fatal(err)
		}
		t.Log(m.head(t).Start, m.head(t).Next)
	}
	before := m.head(t).Next
	u := appends(names(5000, 150)...)
	u.Evict = append(names(4*60, 60), names(5000, 150)...)
	if err := a.Commit(t.Context(), channel, meta(50), u); err != nil {
		t.Fatal(err)
	}
	if n := m.head(t).Next - before - 150; n > 32 {
		t.Errorf("%d messages were moved by a staged commit, the most is 32", n)
	}
}

// TestASweepLeavesTheHintsOfTheNewChannel: it goes on with a drop that was broken off,
// and the same ids are
// back.
func TestASweepLeavesTheHintsOfTheNewChannel(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{ArchiveMessages: 1 << 30})
	fill(t, a, 0, 20, 10)
	m.setFault(at("delete", refuse))
	if err := a.DropChannel(t.Context(), channel); err == nil {
		t.Fatal("no error")
	}
	m.setFault(func(string) fault { return none })
	// created anew: the same messages come again from the network
	fill(t, a, 15, 5, 10)
	if err := a.SetRetrievalHint(t.Context(), "m19", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
	if h, err := a.Hints(t.Context(), "m19"); err != nil || len(h) != 1 {
		t.Errorf("the hint of a live message is gone: %v %v", h, err)
	}
	if err := a.SetRetrievalHint(t.Context(), "m19", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h, err := a.Hints(t.Context(), "m19"); err != nil || len(h) != 1 {
		t.Errorf("and setting it again does nothing: %v %v", h, err)
	}
}

// TestADropDuringASweepIsNoDamage: it comes between the sweep's reads of head and
// manifests.
func TestADropDuringASweepIsNoDamage(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{ArchiveMessages: 1 << 30})
	fill(t, a, 0, 20, 10)
	if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
	fill(t, a, 20, 5, 10) // the head knows of it
	other := open(t, m, sdsaws.Options{})
	var once sync.Once
	n := 0
	m.wait = func() {
		once.Do(func() {
			if err := a.DropChannel(t.Context(), channel); err != nil {
				t.Error(err)
			}
		})
	}
	m.setFault(func(op string) fault {
		if op == "last segment" {
			if n++; n == 1 {
				return hold
			}
		}
		return none
	})
	if _, err := other.Sweep(t.Context(), channel, nil); err != nil {
		t.Error(err)
	}
}

// TestADamagedManifestHidesItsSegmentAlone: what is in the log is yielded all the same.
func TestADamagedManifestHidesItsSegmentAlone(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{ArchiveMessages: 1 << 30})
	fill(t, a, 0, 20, 10)
	if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
	s, _ := m.Memory.LastSegment(t.Context(), key, 1<<60)
	s.Body[20] ^= 1
	if err := m.Memory.ReplaceSegment(t.Context(), key, *s); err != nil {
		t.Fatal(err)
	}
	ids, errs := history(t, open(t, m, sdsaws.Options{}), sdsaws.HistoryRange{})
	if len(ids) != 10 {
		t.Errorf("%d messages, errors %v", len(ids), errs)
	}
}

// TestCloseEndsWithItsContext: a drop that gives no answer has the turn.
func TestCloseEndsWithItsContext(t *testing.T) {
	m := newMemory()
	a, err := sdsaws.New(sdsaws.Backend{Log: m, Hints: m, Archive: &m.archive}, &sdsaws.Options{Namespace: "alice", Durability: sdsaws.Accepted})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, a, 0, 20, 10)
	release, in := make(chan struct{}), make(chan struct{})
	var once sync.Once
	m.wait = func() { once.Do(func() { close(in) }); <-release }
	m.setFault(at("list", hold))
	dropped := make(chan error, 1)
	go func() { dropped <- a.DropChannel(context.Background(), channel) }()
	<-in
	go func() { _ = a.Commit(context.Background(), channel, meta(100), appends("x")) }()
	time.Sleep(50 * time.Millisecond)
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	closed := make(chan struct{})
	go func() { _ = a.Close(ctx); close(closed) }()
	select {
	case <-closed:
	case <-time.After(2 * time.Second):
		t.Error("Close is still waiting 2 s after it was called with a context of 100 ms")
	}
	close(release)
	<-closed
	if err := <-dropped; err != nil {
		t.Error(err)
	}
}

// TestNobodyFencesItself: who takes the turn while a commit's outcome is unknown
// settles it first.
func TestNobodyFencesItself(t *testing.T) {
	for _, what := range []string{"archive", "drop", "load"} {
		t.Run(what, func(t *testing.T) {
			m := newMemory()
			fencedN := 0
			a := open(t, m, sdsaws.Options{ArchiveMessages: 1 << 30, Durability: sdsaws.Accepted, Lag: time.Hour, OnFenced: func(string) { fencedN++ }})
			fill(t, a, 0, 20, 10)
			if err := a.Commit(t.Context(), channel, meta(50), &sds.HistoryUpdate{Evict: []string{"m15"}}); err != nil {
				t.Fatal(err)
			}
			first, second := make(chan struct{}), make(chan struct{})
			n := 0
			m.wait = func() { close(first); <-second }
			m.setFault(func(op string) fault {
				if op == "commit" {
					switch n++; n {
					case 1:
						return hold
					case 2:
						time.Sleep(50 * time.Millisecond)
						return lose
					}
				}
				return none
			})
			go func() { _ = a.Commit(context.Background(), channel, meta(51), appends("x")) }()
			<-first
			done := make(chan error, 1)
			go func() {
				var err error
				switch what {
				case "archive":
					_, err = a.Archive(context.Background(), channel)
				case "drop":
					err = a.DropChannel(context.Background(), channel)
				case "load":
					_, err = a.LoadChannel(context.Background(), channel)
				}
				done <- err
			}()
			time.Sleep(50 * time.Millisecond)
			// accepted behind the barrier
			if err := a.SaveChannelMeta(t.Context(), channel, meta(52)); err != nil {
				t.Fatal(err)
			}
			if err := a.UpdateHistory(t.Context(), channel, appends("y")); err != nil {
				t.Fatal(err)
			}
			close(second)
			err := <-done
			t.Log(what, err)
			if err := a.Flush(t.Context()); err != nil && !errors.Is(err, sds.ErrUnknownOutcome) {
				t.Errorf("flush: %v", err) // the commit whose reply is lost may be this one's
			}
			if err := a.Flush(t.Context()); err != nil || fencedN > 0 {
				t.Errorf("flush: %v, fenced %d: nobody else has claimed it", err, fencedN)
			}
		})
	}
}

// TestMessageKnowsWhatIsBeingArchived: of two messages of an id the later one is
// deleted from the log first.
func TestMessageKnowsWhatIsBeingArchived(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{ArchiveMessages: 1 << 30})
	one := appends("x")
	two := appends("x")
	two.Append[0].Content = []byte("second")
	if err := a.Commit(t.Context(), channel, meta(1), one); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(t.Context(), channel, meta(2), two); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(t.Context(), channel, meta(3), &sds.HistoryUpdate{Evict: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	m.setFault(at("delete", refuse))
	if _, err := a.Archive(t.Context(), channel); !errors.Is(err, errInjected) {
		t.Fatal(err)
	}
	// a part of them may be gone when it fails
	m.Edit(key, func(_ *store.Head, all map[uint64]store.Message) { delete(all, 1) })
	got, err := open(t, m, sdsaws.Options{}).Message(t.Context(), channel, "x")
	if err != nil || got.Offset != 1 {
		t.Errorf("offset %d, %v: not the latest", got.Offset, err)
	}
}

// TestAnotherCommitIsNotTakenForABatch: a commit is refused, then Archive's own lands
// and loses its reply.
func TestAnotherCommitIsNotTakenForABatch(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{ArchiveMessages: 1 << 30, Durability: sdsaws.Accepted, Lag: time.Hour})
	fill(t, a, 0, 20, 10)
	if err := a.Commit(t.Context(), channel, meta(50), &sds.HistoryUpdate{Evict: []string{"m15"}}); err != nil {
		t.Fatal(err)
	}
	first, second := make(chan struct{}), make(chan struct{})
	n := 0
	m.wait = func() { close(first); <-second }
	m.setFault(func(op string) fault {
		if op == "commit" {
			switch n++; n {
			case 1:
				return hold
			case 2: // y's
				time.Sleep(50 * time.Millisecond)
				return refuse
			case 3: // Archive's
				return lose
			}
		}
		return none
	})
	go func() { _ = a.Commit(context.Background(), channel, meta(51), appends("x")) }()
	<-first
	done := make(chan error, 1)
	go func() { _, err := a.Archive(context.Background(), channel); done <- err }()
	time.Sleep(50 * time.Millisecond)
	if err := a.SaveChannelMeta(t.Context(), channel, meta(52)); err != nil {
		t.Fatal(err)
	}
	if err := a.UpdateHistory(t.Context(), channel, appends("y")); err != nil {
		t.Fatal(err)
	}
	close(second)
	t.Log(<-done)
	// The reply that is lost may be that of this one's commit.
	if err := a.Flush(t.Context()); err != nil && !errors.Is(err, sds.ErrUnknownOutcome) {
		t.Fatal(err)
	}
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := append(names(10, 5), names(16, 4)...)
	loads(t, m, 52, append(want, "x", "y")...)
}

// TestADropOfDamagedSegments: whatever byte of a segment's end is altered.
func TestADropOfDamagedSegments(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{ArchiveMessages: 1 << 30})
	fill(t, a, 0, 20, 10)
	if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
	var size int
	m.archive.Edit(record.Folder(record.Segments, key), func(b []byte) []byte { size = len(b); return b })
	panics := 0
	for at := size - 1; at > size-1200 && panics < 3; at -= 41 {
		m := newMemory()
		a := open(t, m, sdsaws.Options{ArchiveMessages: 1 << 30})
		fill(t, a, 0, 20, 10)
		if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
			t.Fatal(err)
		}
		m.archive.Edit(record.Folder(record.Segments, key), func(b []byte) []byte {
			if at < len(b) {
				b[at] ^= 0x3f
			}
			return b
		})
		func() {
			defer func() {
				if p := recover(); p != nil {
					panics++
					t.Errorf("byte %d of %d altered: DropChannel panics: %v", at, size, p)
				}
			}()
			_ = a.DropChannel(t.Context(), channel)
		}()
	}
}

// TestMessageFindsNoStagedLeftover: one of a writer that was replaced lies below next
// by now.
func TestMessageFindsNoStagedLeftover(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{ArchiveMessages: 1 << 30})
	if err := a.Commit(t.Context(), channel, meta(1), appends("one")); err != nil {
		t.Fatal(err)
	}
	m.setFault(func(op string) fault { // a stages, and dies before its commit
		if op == "commit" {
			return refuse
		}
		return none
	})
	_ = a.Commit(t.Context(), channel, meta(2), appends(names(0, 150)...))
	m.setFault(func(string) fault { return none })
	b := open(t, m, sdsaws.Options{ArchiveMessages: 1 << 30})
	if _, err := b.LoadChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	m.setFault(func(op string) fault { // b's staging fails once
		if op == "stage" {
			return refuse
		}
		return none
	})
	_ = b.Commit(t.Context(), channel, meta(3), appends(names(1000, 160)...))
	m.setFault(func(string) fault { return none })
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := open(t, m, sdsaws.Options{}).Message(t.Context(), channel, "m7")
	if err == nil {
		t.Errorf("%q at offset %d was never committed", got.MessageID, got.Offset)
	}
	ids, _ := history(t, open(t, m, sdsaws.Options{}), sdsaws.HistoryRange{})
	t.Log(len(ids))
}

// TestCloseWaitsForDeletions: what was replaced is deleted when it returns.
func TestCloseWaitsForDeletions(t *testing.T) {
	left := 0
	for range 50 {
		m := newMemory()
		m.wait = func() { time.Sleep(20 * time.Millisecond) } // a DeleteObjects takes its time
		m.setFault(at("remove", hold))
		a, err := sdsaws.New(sdsaws.Backend{Log: m, Hints: m, Archive: &m.archive}, &sdsaws.Options{Namespace: "alice", InlineBytes: 100})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			if err := a.Commit(t.Context(), channel, bigMeta(int64(i)), appends("x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m.values(t) > 1 {
			left++
		}
	}
	if left > 0 {
		t.Errorf("in %d of 50 runs the replaced snapshot is still in the archive after Close", left)
	}
}
