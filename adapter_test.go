package sdsaws_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// memory is a backend for one test: it counts requests, and fails as the test says.
type memory struct {
	mu       sync.Mutex
	heads    map[store.Key]store.Head
	messages map[store.Key]map[uint64]store.Message
	hints    map[string][]byte
	calls    []string
	fault    func(op string) fault
}

type fault int

const (
	none   fault = iota
	refuse       // fail before anything is done
	lose         // do it, and lose the reply
)

var errInjected = errors.New("injected")

func newMemory() *memory {
	return &memory{heads: map[store.Key]store.Head{}, messages: map[store.Key]map[uint64]store.Message{},
		hints: map[string][]byte{}, fault: func(string) fault { return none }}
}

// do runs f as the request op.
func (m *memory) do(ctx context.Context, op string, f func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	m.calls = append(m.calls, op)
	switch m.fault(op) {
	case refuse:
		return errInjected
	case lose:
		_ = f() // its outcome is what is lost
		return errInjected
	default:
		return f()
	}
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

func (m *memory) Limits(store.Key) store.Limits {
	return store.Limits{Messages: 99, HeadBytes: 400 << 10, MessageBytes: 400 << 10, CommitBytes: 4 << 20}
}

func (m *memory) head(key store.Key) *store.Head {
	h, ok := m.heads[key]
	if !ok {
		return nil
	}
	h.Body = slices.Clone(h.Body)
	return &h
}

func (m *memory) Load(ctx context.Context, key store.Key, from uint64) (h *store.Head, all []store.Message, err error) {
	err = m.do(ctx, "load", func() error {
		if h = m.head(key); h == nil {
			return nil
		}
		for _, o := range slices.Sorted(maps.Keys(m.messages[key])) {
			if o >= max(from, h.Start) && o < h.Next {
				all = append(all, m.messages[key][o])
			}
		}
		return nil
	})
	return h, all, err
}

func (m *memory) Head(ctx context.Context, key store.Key) (h *store.Head, err error) {
	err = m.do(ctx, "head", func() error { h = m.head(key); return nil })
	return h, err
}

func (m *memory) Messages(ctx context.Context, key store.Key, offsets []uint64) (all []store.Message, err error) {
	err = m.do(ctx, "messages", func() error {
		for _, o := range offsets {
			if s, ok := m.messages[key][o]; ok {
				all = append(all, s)
			}
		}
		return nil
	})
	return all, err
}

func (m *memory) Commit(ctx context.Context, key store.Key, prev store.CommitID, h store.Head, all []store.Message) error {
	return m.do(ctx, "commit", func() error {
		if current := m.heads[key]; current.CommitID != prev {
			return &store.ConflictError{Current: m.head(key)}
		}
		m.heads[key] = h
		if m.messages[key] == nil {
			m.messages[key] = map[uint64]store.Message{}
		}
		for _, s := range all {
			m.messages[key][s.Offset] = s
		}
		return nil
	})
}

func (m *memory) Claim(ctx context.Context, key store.Key, prev store.CommitID, c store.Claim) error {
	return m.do(ctx, "claim", func() error {
		h := m.head(key)
		if h == nil || h.CommitID != prev {
			return &store.ConflictError{Current: h}
		}
		h.CommitID, h.Writer, h.Region, h.Epoch = c.CommitID, c.Writer, c.Region, h.Epoch+1
		m.heads[key] = *h
		return nil
	})
}

func (m *memory) Delete(ctx context.Context, key store.Key, from, to uint64) error {
	return m.do(ctx, "delete", func() error {
		maps.DeleteFunc(m.messages[key], func(o uint64, _ store.Message) bool { return from <= o && o < to })
		return nil
	})
}

func (m *memory) HintLimit(string) int { return math.MaxInt }

func (m *memory) SetHints(ctx context.Context, ns string, hints []store.Hint, _ time.Duration) error {
	return m.do(ctx, "hints", func() error {
		for _, h := range hints {
			m.hints[ns+"/"+h.MessageID] = slices.Clone(h.Value)
		}
		return nil
	})
}

func (m *memory) Hints(ctx context.Context, ns string, ids []string) (all []store.Hint, err error) {
	err = m.do(ctx, "readhints", func() error {
		for _, id := range ids {
			if v, ok := m.hints[ns+"/"+id]; ok {
				all = append(all, store.Hint{MessageID: id, Value: slices.Clone(v)})
			}
		}
		return nil
	})
	return all, err
}

func (m *memory) DeleteHints(ctx context.Context, ns string, ids []string) error {
	return m.do(ctx, "deletehints", func() error {
		for _, id := range ids {
			delete(m.hints, ns+"/"+id)
		}
		return nil
	})
}

const channel = "chat"

func open(t *testing.T, m *memory, o sdsaws.Options) *sdsaws.Adapter {
	t.Helper()
	o.Namespace = "alice"
	a, err := sdsaws.New(m, m, &o)
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
	m.fault = func(string) fault { return none }
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
				m.fault = func(op string) fault {
					if op == "commit" {
						return f
					}
					return none
				}
				err := a.Commit(t.Context(), channel, meta(2), appends("two"))
				if !errors.Is(err, sds.ErrUnknownOutcome) || !errors.Is(err, errInjected) {
					t.Fatalf("%v, want ErrUnknownOutcome and its cause", err)
				}
				m.mu.Lock()
				m.fault = func(string) fault { return none }
				m.mu.Unlock()
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
	m.fault = func(op string) fault {
		if op == "claim" {
			return lose
		}
		return none
	}
	if _, err := a.LoadChannel(t.Context(), channel); !errors.Is(err, sds.ErrUnknownOutcome) {
		t.Fatalf("%v, want ErrUnknownOutcome", err)
	}
	if err := a.Commit(t.Context(), channel, meta(2), appends("two")); !errors.Is(err, sds.ErrUnknownOutcome) {
		t.Fatalf("a write before the load is repeated: %v, want ErrUnknownOutcome", err)
	}
	m.fault = func(string) fault { return none }
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
	key := store.Key{Namespace: "alice", Channel: channel}
	for name, c := range map[string]struct {
		damage func(m *memory)
		want   error
	}{
		"a message is missing": {func(m *memory) { delete(m.messages[key], 1) }, sds.ErrIncomplete},
		"a message is altered": {func(m *memory) { m.messages[key][1].Body[5] ^= 1 }, sds.ErrCorrupt},
		"a message stands in another's place": {func(m *memory) {
			other := m.messages[key][0]
			other.Offset = 1
			m.messages[key][1] = other
		}, sds.ErrCorrupt},
		"the head is altered":            {func(m *memory) { m.heads[key].Body[30] ^= 1 }, sds.ErrCorrupt},
		"the head is of a newer version": {func(m *memory) { m.heads[key].Body[0] = 9 }, sds.ErrUnsupportedFormat},
		"the head's start was moved": {func(m *memory) {
			h := m.heads[key]
			h.Start++
			m.heads[key] = h
		}, sds.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			if err := open(t, m, sdsaws.Options{}).Commit(t.Context(), channel, meta(1), appends("one", "two", "three")); err != nil {
				t.Fatal(err)
			}
			c.damage(m)
			commit := m.heads[key].CommitID
			_, err := open(t, m, sdsaws.Options{}).LoadChannel(t.Context(), channel)
			var named *sds.ChannelError
			if !errors.Is(err, c.want) || !errors.As(err, &named) || named.Channel != channel || named.Item == "" {
				t.Fatalf("%v, want %v with channel and item", err, c.want)
			}
			if m.heads[key].CommitID != commit {
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
		m.fault = func(string) fault { return refuse }
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
	h := m.heads[store.Key{Namespace: "alice", Channel: channel}]
	if span := h.Next - h.Start; span > 2*4+128+1 {
		t.Fatalf("a load reads %d messages for 4", span)
	}
	loads(t, m, 999, "stays", "m997", "m998", "m999")
}
