package sdsaws_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"pgregory.net/rapid"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/internal/segment"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// kept is what a channel must hold, byte for byte. The zero value is an empty channel.
type kept struct {
	meta    string            // encoded; "": none was stored
	live    map[string]string // encoded messages by id
	evicted []string          // encoded messages, as often as each was evicted
}

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	rapid.TB
	Context() context.Context
	Cleanup(f func())
}

// apply notes what the store must hold after a commit.
func (k *kept) apply(t tester, meta *sds.ChannelMeta, u *sds.HistoryUpdate) {
	t.Helper()
	e := sds.EncodedHistoryUpdate{Evict: u.Evict}
	for i := range u.Append {
		e.Append = append(e.Append, []byte(encoded(t, &u.Append[i])))
	}
	k.applyEncoded(t, encoded(t, meta), e)
}

func (k *kept) applyEncoded(t tester, meta string, u sds.EncodedHistoryUpdate) {
	t.Helper()
	k.meta = meta
	k.live = maps.Clone(k.live) // others may have copied k
	if k.live == nil {
		k.live = map[string]string{}
	}
	k.evicted = slices.Clip(k.evicted)
	for _, b := range u.Append {
		m, err := sds.InspectMessage(b)
		if err != nil {
			t.Fatal(err)
		}
		if old, ok := k.live[m.MessageID]; ok && old != string(b) {
			k.evicted = append(k.evicted, old)
		}
		k.live[m.MessageID] = string(b)
	}
	for _, id := range u.Evict {
		if old, ok := k.live[id]; ok {
			k.evicted = append(k.evicted, old)
			delete(k.live, id)
		}
	}
}

// commit commits, and notes it.
func (k *kept) commit(t tester, a *sdsaws.Adapter, meta *sds.ChannelMeta, u *sds.HistoryUpdate) {
	t.Helper()
	if err := a.Commit(t.Context(), channel, meta, u); err != nil {
		t.Fatal(err)
	}
	k.apply(t, meta, u)
}

// all returns everything that is or was history.
func (k *kept) all() []string {
	return append(slices.Collect(maps.Values(k.live)), k.evicted...)
}

func encoded(t tester, v interface{ MarshalBinary() ([]byte, error) }) string {
	t.Helper()
	b, err := v.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// same compares messages in any order, each as often as it is there.
func same(t tester, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if slices.Equal(got, want) {
		return
	}
	id := func(b string) string {
		var m sds.Message
		_ = m.UnmarshalBinary([]byte(b))
		return fmt.Sprintf("%s (%d bytes)", m.MessageID, len(b))
	}
	left := slices.Clone(want)
	for _, b := range got {
		if i := slices.Index(left, b); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else {
			t.Errorf("%s: %s too many", what, id(b))
		}
	}
	for _, b := range left {
		t.Errorf("%s: %s is missing", what, id(b))
	}
	t.FailNow()
}

// judge says whether the tests' channel holds exactly what it must, wherever that lies, and
// nothing is left over, neither then nor when the channel has been dropped.
func (m *memory) judge(t tester, k *kept) {
	t.Helper()
	m.judgeOf(t, "alice", k)
}

// judgeOf is judge for the channel of another participant.
func (m *memory) judgeOf(t tester, namespace string, k *kept) {
	t.Helper()
	m.setFault(func(string) fault { return none })
	a := openAs(t, m, namespace, quiet)
	loadsExactly(t, a, k)
	yieldsExactly(t, a, k)
	if _, err := a.Archive(t.Context(), channel); err != nil {
		t.Fatalf("archive: %v", err)
	}
	if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
		t.Fatalf("sweep: %v", err)
	}
	yieldsExactly(t, a, k)
	checksClean(t, a)
	m.nothingElse(t, store.Key{Namespace: namespace, Channel: channel}, k)
	loadsExactly(t, a, k)
	if err := a.DropChannel(t.Context(), channel); err != nil {
		t.Fatalf("drop: %v", err)
	}
	checksClean(t, a)
	m.nothingAtAll(t, store.Key{Namespace: namespace, Channel: channel})
}

// checksClean expects that a check of a channel at rest finds nothing.
func checksClean(t tester, a *sdsaws.Adapter) {
	t.Helper()
	if c, err := a.Check(t.Context(), channel, nil); err != nil || len(c.Findings)+c.Pending > 0 {
		t.Fatalf("check: %+v, %v", c, err)
	}
}

func openAs(t tester, m *memory, namespace string, o sdsaws.Options) *sdsaws.Adapter {
	t.Helper()
	o.Namespace = namespace
	o.GroupSize = max(1, o.GroupSize) // so that each message can be archived or lost by itself
	a, err := sdsaws.New(sdsaws.Backend{Log: m, Hints: m, Archive: &m.archive}, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	return a
}

// loadsExactly expects that an adapter loads what a channel must hold.
func loadsExactly(t tester, a *sdsaws.Adapter, k *kept) {
	t.Helper()
	d, err := a.LoadEncodedChannel(t.Context(), channel)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	k.holds(t, d)
}

// holds expects that what was loaded is what a channel must hold.
func (k *kept) holds(t tester, d sds.EncodedChannelData) {
	t.Helper()
	var got []string
	for _, b := range d.Messages {
		got = append(got, string(b))
	}
	same(t, "load", got, slices.Collect(maps.Values(k.live)))
	want := k.meta
	if want == "" {
		want = encoded(t, meta(0))
	}
	if string(d.Meta) != want {
		var got sds.ChannelMeta
		_ = got.UnmarshalBinary(d.Meta)
		t.Fatalf("load: another snapshot, of clock %d", got.LamportTimestamp)
	}
}

// yieldsExactly expects that History gives all that is or was history, once.
func yieldsExactly(t tester, a *sdsaws.Adapter, k *kept) {
	t.Helper()
	var all, live []string
	for h, err := range a.History(t.Context(), channel, sdsaws.HistoryRange{}) {
		if err != nil {
			t.Fatalf("History: %v", err)
		}
		all = append(all, string(h.Encoded))
		if h.Live {
			live = append(live, string(h.Encoded))
		}
	}
	same(t, "History", all, k.all())
	same(t, "History, of what is live", live, slices.Collect(maps.Values(k.live)))
}

// nothingElse expects that a channel which is archived and swept has stored what it must hold,
// in its place, and nothing else: looked at directly, not through an adapter.
func (m *memory) nothingElse(t tester, key store.Key, k *kept) {
	t.Helper()
	head, err := m.Memory.Head(t.Context(), key)
	if err != nil || head == nil {
		t.Fatalf("head %v, %v", head, err)
	}
	rec, err := record.OpenHead(key, *head)
	if err != nil {
		t.Fatal(err)
	}
	used, mayStay := map[string]bool{}, map[string]bool{}
	if rec.Value != nil {
		used[record.Folder(record.Values, key)+rec.Value.Name] = true
	}
	m.Edit(key, func(_ *store.Head, all map[uint64]store.Message) {
		for offset := range rec.Live.All() {
			if v, err := record.MessageValue(all[offset].Body); err != nil {
				t.Errorf("message at offset %d: %v", offset, err)
			} else if v != nil {
				used[record.Folder(record.Values, key)+v.Name] = true
			}
		}
		for offset, s := range all {
			// Of a snapshot, or of one before: it goes with what lies around it.
			hole := offset >= head.Start && offset < head.Next && !rec.History.Contains(offset)
			if v, err := record.MessageValue(s.Body); hole && err == nil && v != nil {
				mayStay[record.Folder(record.Values, key)+v.Name] = true
			}
			if !rec.Live.Contains(offset) && !hole {
				t.Errorf("message %q at offset %d is left in the log", s.ID, offset)
			}
		}
	})
	var rows []string
	pos := head.Origin
	for _, s := range m.manifests(t, key) {
		mf, err := record.OpenManifest(key, s)
		if err != nil {
			t.Fatal(err)
		}
		if s.From != pos || s.To <= pos || s.To > head.Start {
			t.Errorf("a segment from %d to %d follows %d, the log starts at %d", s.From, s.To, pos, head.Start)
		}
		pos = s.To
		// What is not the last may be marked as written by a sweeper that came late.
		if mf.State != record.Done && (mf.State != record.Written || s.To == head.Start) {
			t.Errorf("the segment from %d has the state %d", s.From, mf.State)
		}
		if mf.Size > 0 {
			name := record.Folder(record.Segments, key) + mf.Name(s)
			used[name] = true
			rows = append(rows, m.rows(t, key, name)...)
		}
	}
	same(t, "segments", rows, k.evicted)
	for _, kind := range []record.Kind{record.Segments, record.Values} {
		for o, err := range m.archive.MemoryArchive.List(t.Context(), record.Folder(kind, key)) {
			if err != nil || !used[o.Name] && !mayStay[o.Name] {
				t.Errorf("object %s is left, %v", o.Name, err)
			}
			delete(used, o.Name)
		}
	}
	for name := range used {
		t.Errorf("object %s is missing", name)
	}
	if t.Failed() {
		t.FailNow()
	}
}

func (m *memory) manifests(t tester, key store.Key) []store.Segment {
	t.Helper()
	all, err := m.Memory.Segments(t.Context(), key, 0, math.MaxInt)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// rows returns the messages of a segment.
func (m *memory) rows(t tester, key store.Key, name string) (all []string) {
	t.Helper()
	body, err := m.archive.MemoryArchive.Get(t.Context(), store.Object{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	for row, err := range segment.Decode(key, body) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(row.Plain))
	}
	return all
}

// nothingAtAll expects that of a dropped channel an empty head is left.
func (m *memory) nothingAtAll(t tester, key store.Key) {
	t.Helper()
	m.Edit(key, func(h *store.Head, all map[uint64]store.Message) {
		if len(all) > 0 {
			t.Errorf("%d messages are left after a drop", len(all))
		}
		if h != nil && (h.Origin != h.Next || len(h.Body) > 200) {
			t.Errorf("after a drop the head has offsets %d to %d and %d bytes", h.Origin, h.Next, len(h.Body))
		}
	})
	if n := len(m.manifests(t, key)); n > 0 {
		t.Errorf("%d manifests are left after a drop", n)
	}
	for _, kind := range []record.Kind{record.Segments, record.Values} {
		for o, err := range m.archive.MemoryArchive.List(t.Context(), record.Folder(kind, key)) {
			t.Errorf("object %s is left after a drop, %v", o.Name, err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// large returns content that goes to the archive with the options quiet, other for each n.
func large(n int) []byte {
	b := make([]byte, 600)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b) // never fails
	return b
}

// largeMeta returns a snapshot that goes to the archive with the options quiet.
func largeMeta(lamport int64) *sds.ChannelMeta {
	m := meta(lamport)
	m.IncomingBuffer = []sds.IncomingMessage{{Message: sds.Message{MessageID: "in", Content: large(int(lamport))}}}
	return m
}

// update returns one that appends and evicts. Ids that begin with L have large messages.
func update(appended, evicted []string) *sds.HistoryUpdate {
	u := appends(appended...)
	for i := range u.Append {
		if id := u.Append[i].MessageID; id[0] == 'L' {
			n := 0
			for _, c := range id {
				n = n*31 + int(c)
			}
			u.Append[i].Content = large(n)
		}
	}
	u.Evict = evicted
	return u
}
