package sdsaws_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
	"github.com/sdsaws/sdsaws/store/storetest"
)

// memory is a backend for one test: it counts requests, and fails as the test says. Its
// methods are in memory_test.go.
type memory struct {
	storetest.Memory
	archive memoryArchive

	mu    sync.Mutex // protects calls
	calls []string
	fault func(op string) fault
	wait  func()
	keep  func(request func() error)
}

type fault int

const (
	none   fault = iota
	refuse       // fail before anything is done
	lose         // do it, and lose the reply
	hold         // call wait first
	stuck        // give no answer
	late         // fail, and give keep what is still to be done
)

var errInjected = errors.New("injected")

// newMemory returns a backend with DynamoDB's limits.
func newMemory() *memory {
	m := &memory{fault: func(string) fault { return none }}
	m.archive.memory = m
	m.Max = store.Limits{Messages: 99, HeadBytes: 400 << 10, MessageBytes: 400 << 10, CommitBytes: 4 << 20}
	return m
}

// do runs f as the request op.
func (m *memory) do(ctx context.Context, op string, f func(context.Context) error) error {
	m.mu.Lock()
	m.calls = append(m.calls, op)
	fault, wait, keep := m.fault(op), m.wait, m.keep
	m.mu.Unlock()
	switch fault {
	case refuse:
		return errInjected
	case stuck:
		<-ctx.Done()
		return ctx.Err()
	case hold:
		wait()
		return f(ctx)
	case lose:
		_ = f(ctx) // its outcome is what is lost
		return errInjected
	case late:
		keep(func() error { return f(context.WithoutCancel(ctx)) })
		return errInjected
	default:
		return f(ctx)
	}
}

// at returns what setFault takes, for a fault of every request op.
func at(op string, f fault) func(string) fault {
	return func(o string) fault {
		if o == op {
			return f
		}
		return none
	}
}

func (m *memory) setFault(f func(op string) fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
}

func (m *memory) count(op string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.calls {
		if c == op {
			n++
		}
	}
	return n
}

// head returns the stored head of the tests' channel.
func (m *memory) head(t *testing.T) store.Head {
	t.Helper()
	h, err := m.Head(t.Context(), key)
	if err != nil || h == nil {
		t.Fatalf("head %v, %v", h, err)
	}
	return *h
}

var key = store.Key{Namespace: "alice", Channel: channel}

const channel = "chat"

func open(t *testing.T, m *memory, o sdsaws.Options) *sdsaws.Adapter {
	t.Helper()
	o.Namespace = "alice"
	o.GroupSize = max(1, o.GroupSize) // so that each message can be archived or lost by itself
	a, err := sdsaws.New(sdsaws.Backend{Log: m, Hints: m, Archive: &m.archive}, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	return a
}

func meta(lamport int64) *sds.ChannelMeta {
	return &sds.ChannelMeta{SchemaVersion: 1, LamportTimestamp: lamport}
}

func appends(ids ...string) *sds.HistoryUpdate {
	u := &sds.HistoryUpdate{}
	for i, id := range ids {
		u.Append = append(u.Append, sds.Message{MessageID: id, LamportTimestamp: int64(i), Content: []byte(id)})
	}
	return u
}

// loads fails the test unless a new adapter loads this clock and these ids.
func loads(t *testing.T, m *memory, lamport int64, ids ...string) {
	t.Helper()
	m.setFault(func(string) fault { return none })
	d, err := open(t, m, sdsaws.Options{}).LoadChannel(t.Context(), channel)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range d.MessageHistory {
		got = append(got, h.MessageID)
	}
	slices.Sort(got)
	slices.Sort(ids)
	if d.Meta.LamportTimestamp != lamport || !slices.Equal(got, ids) {
		t.Fatalf("loaded clock %d and %q, want %d and %q", d.Meta.LamportTimestamp, got, lamport, ids)
	}
}

func TestOpeningMakesNoRequest(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	if err := a.Close(t.Context()); err != nil || len(m.calls) != 0 {
		t.Fatalf("%v, requests %q", err, m.calls)
	}
	if err := a.SaveChannelMeta(t.Context(), channel, meta(1)); !errors.Is(err, sds.ErrClosed) {
		t.Fatalf("%v, want ErrClosed", err)
	}
}

func TestAPairIsOneCommitAndAnEqualSnapshotNone(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	if _, err := a.LoadChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	before := m.count("commit")
	for range 3 { // the second and third time nothing changes
		if err := a.SaveChannelMeta(t.Context(), channel, meta(1)); err != nil {
			t.Fatal(err)
		}
		if err := a.UpdateHistory(t.Context(), channel, appends("x")); err != nil {
			t.Fatal(err)
		}
	}
	if n := m.count("commit") - before; n != 1 {
		t.Fatalf("%d commits, want 1", n)
	}
	loads(t, m, 1, "x")
}

// TestAFailedCommitIsCarriedForward fails each commit before or after it is done: what was
// accepted comes with the next, and whoever hands it over again does no harm.
func TestAFailedCommitIsCarriedForward(t *testing.T) {
	for _, f := range []fault{refuse, lose} {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("fault %d, handed over again %v", f, again), func(t *testing.T) {
				m := newMemory()
				a := open(t, m, sdsaws.Options{})
				if err := a.Commit(t.Context(), channel, meta(1), appends("one")); err != nil {
					t.Fatal(err)
				}
				m.setFault(at("commit", f))
				err := a.Commit(t.Context(), channel, meta(2), appends("two"))
				if !errors.Is(err, sds.ErrUnknownOutcome) || !errors.Is(err, errInjected) {
					t.Fatalf("%v, want ErrUnknownOutcome and its cause", err)
				}
				m.setFault(func(string) fault { return none })
				next := appends("three")
				if again {
					next = appends("two", "three")
				}
				if err := a.Commit(t.Context(), channel, meta(3), next); err != nil {
					t.Fatal(err)
				}
				loads(t, m, 3, "one", "two", "three")
			})
		}
	}
}

func TestAReplacedAdapterChangesNothingUntilItLoads(t *testing.T) {
	m := newMemory()
	var told []string
	old := open(t, m, sdsaws.Options{OnFenced: func(id string) { told = append(told, id) }})
	if err := old.Commit(t.Context(), channel, meta(1), appends("one")); err != nil {
		t.Fatal(err)
	}
	successor := open(t, m, sdsaws.Options{})
	if _, err := successor.LoadChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := old.Commit(t.Context(), channel, meta(9), appends("lost")); !errors.Is(err, sds.ErrFenced) {
			t.Fatalf("%v, want ErrFenced", err)
		}
	}
	if err := old.Flush(t.Context()); !errors.Is(err, sds.ErrFenced) {
		t.Fatalf("flush: %v, want ErrFenced", err)
	}
	if !slices.Equal(told, []string{channel}) {
		t.Fatalf("OnFenced was told %q", told)
	}
	if err := successor.Commit(t.Context(), channel, meta(2), appends("two")); err != nil {
		t.Fatal(err)
	}
	if d, err := old.LoadChannel(t.Context(), channel); err != nil || len(d.MessageHistory) != 2 {
		t.Fatalf("%v, %v", d, err)
	}
	if err := old.Commit(t.Context(), channel, meta(3), appends("three")); err != nil {
		t.Fatal(err)
	}
	if err := successor.Commit(t.Context(), channel, meta(9), appends("lost")); !errors.Is(err, sds.ErrFenced) {
		t.Fatalf("%v, want ErrFenced", err)
	}
	loads(t, m, 3, "one", "two", "three")
}

// TestALostClaimIsFoundOut: the claim happened, its reply was lost.
func TestALostClaimIsFoundOut(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	if err := a.Commit(t.Context(), channel, meta(1), appends("one")); err != nil {
		t.Fatal(err)
	}
	m.setFault(at("claim", lose))
	if _, err := a.LoadChannel(t.Context(), channel); !errors.Is(err, sds.ErrUnknownOutcome) {
		t.Fatalf("%v, want ErrUnknownOutcome", err)
	}
	if err := a.Commit(t.Context(), channel, meta(2), appends("two")); !errors.Is(err, sds.ErrUnknownOutcome) {
		t.Fatalf("a write before the load is repeated: %v, want ErrUnknownOutcome", err)
	}
	m.setFault(func(string) fault { return none })
	if _, err := a.LoadChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(t.Context(), channel, meta(2), appends("two")); err != nil {
		t.Fatal(err)
	}
	loads(t, m, 2, "one", "two")
}

// TestDamageIsNamedAndNothingChanges damages each part of a stored channel in turn.
func TestDamageIsNamedAndNothingChanges(t *testing.T) {
	type messages = map[uint64]store.Message
	for name, c := range map[string]struct {
		damage func(h *store.Head, all messages)
		want   error
	}{
		"a message is missing": {func(_ *store.Head, all messages) { delete(all, 1) }, sds.ErrIncomplete},
		"a message is altered": {func(_ *store.Head, all messages) { all[1].Body[5] ^= 1 }, sds.ErrCorrupt},
		"a message stands in another's place": {func(_ *store.Head, all messages) {
			other := all[0]
			other.Offset = 1
			all[1] = other
		}, sds.ErrCorrupt},
		"the head is altered":            {func(h *store.Head, _ messages) { h.Body[30] ^= 1 }, sds.ErrCorrupt},
		"the head is of a newer version": {func(h *store.Head, _ messages) { h.Body[0] = 9 }, sds.ErrUnsupportedFormat},
		"the head's start was moved":     {func(h *store.Head, _ messages) { h.Start++ }, sds.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			if err := open(t, m, sdsaws.Options{}).Commit(t.Context(), channel, meta(1), appends("one", "two", "three")); err != nil {
				t.Fatal(err)
			}
			m.Edit(key, c.damage)
			commit := m.head(t).CommitID
			_, err := open(t, m, sdsaws.Options{}).LoadChannel(t.Context(), channel)
			var named *sds.ChannelError
			if !errors.Is(err, c.want) || !errors.As(err, &named) || named.Channel != channel || named.Item == "" {
				t.Fatalf("%v, want %v with channel and item", err, c.want)
			}
			if m.head(t).CommitID != commit {
				t.Fatal("the load has claimed a channel that it couldn't read")
			}
		})
	}
}

func TestAcceptedWorkIsStoredWithinTheLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		a := open(t, m, sdsaws.Options{Durability: sdsaws.Accepted, Lag: time.Second})
		for i := range 5 {
			if err := a.SaveChannelMeta(t.Context(), channel, meta(int64(i+1))); err != nil {
				t.Fatal(err)
			}
			if err := a.UpdateHistory(t.Context(), channel, appends(fmt.Sprint("m", i))); err != nil {
				t.Fatal(err)
			}
		}
		if n := m.count("commit"); n != 0 {
			t.Fatalf("%d commits before the lag", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		// One creates the channel's head, one holds all five pairs.
		if n := m.count("commit"); n != 2 {
			t.Fatalf("%d commits, want 2", n)
		}
		loads(t, m, 5, "m0", "m1", "m2", "m3", "m4")
	})
}

func TestMemoryIsBoundedWhileNothingCanBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.setFault(func(string) fault { return refuse })
		a := open(t, m, sdsaws.Options{Durability: sdsaws.Accepted, MaxPending: 4 << 10})
		for i := range 1000 {
			err := a.UpdateHistory(t.Context(), channel, appends(fmt.Sprintf("message %d", i)))
			if errors.Is(err, sds.ErrOverloaded) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Fatal("1000 messages were accepted beyond 4 KB")
	})
}

func TestHintsAreBatchedAndRemembered(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{Lag: time.Hour})
	for range 3 {
		for i := range 20 {
			if err := a.SetRetrievalHint(t.Context(), fmt.Sprint(i), []byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := m.count("hints"); n != 1 {
		t.Fatalf("hints were written %d times, want once", n)
	}
	got, err := open(t, m, sdsaws.Options{}).Hints(t.Context(), "7", "none")
	if err != nil || len(got) != 1 || !slices.Equal(got["7"], []byte{7}) {
		t.Fatalf("%v, %v", got, err)
	}
}

// TestALogStaysBounded holds one message for ever while thousands pass it.
func TestALogStaysBounded(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	if err := a.Commit(t.Context(), channel, meta(0), appends("stays")); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		u := appends(fmt.Sprint("m", i))
		u.Evict = []string{fmt.Sprint("m", i-3)}
		if err := a.Commit(t.Context(), channel, meta(int64(i)), u); err != nil {
			t.Fatal(err)
		}
	}
	h := m.head(t)
	if span := h.Next - h.Start; span > 2*4+128+1 {
		t.Fatalf("a load reads %d messages for 4", span)
	}
	loads(t, m, 999, "stays", "m997", "m998", "m999")
}
