package sdsaws_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/offsets"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// damageable is a channel with messages of each format and a snapshot packed against some, and
// what is loaded of it.
func damageable(t tester) (*memory, *kept) {
	m, k := newMemory(), &kept{}
	o := quiet
	o.GroupSize = 4
	a := openAs(t, m, "alice", o)
	for i := range 7 {
		u := update([]string{fmt.Sprint("m", i)}, nil)
		u.Append[0].SenderID = []string{"a", "b"}[i%2]
		s := meta(int64(i))
		s.OutgoingBuffer = []sds.OutgoingMessage{{Message: u.Append[0]}}
		s.IncomingBuffer = []sds.IncomingMessage{{Message: sds.Message{MessageID: "in", Content: []byte("parked")}}}
		if i == 4 {
			u.Append = append(u.Append, update([]string{"L"}, nil).Append...)
		}
		if err := a.Commit(t.Context(), channel, s, u); err != nil {
			t.Fatal(err)
		}
		k.apply(t, s, u)
	}
	return m, k
}

// bodies returns the places of a channel's head and messages; -1 is that of the head.
func (m *memory) bodies() (places []int, bodies map[int][]byte) {
	bodies = map[int][]byte{}
	m.Edit(key, func(head *store.Head, all map[uint64]store.Message) {
		bodies[-1] = head.Body
		for o, s := range all {
			bodies[int(o)] = s.Body
		}
	})
	return slices.Sorted(maps.Keys(bodies)), bodies
}

// loadsAsWasOrFails expects that what has another body in one place loads as it was stored, or not at all.
func loadsAsWasOrFails(t tester, a *sdsaws.Adapter, m, from *memory, k *kept, place int, body []byte) {
	t.Helper()
	m.CopyFrom(&from.Memory)
	m.Edit(key, func(head *store.Head, all map[uint64]store.Message) {
		if place < 0 {
			head.Body = body
			return
		}
		s := all[uint64(place)]
		s.Body = body
		all[uint64(place)] = s
	})
	d, err := a.LoadEncodedChannel(t.Context(), channel)
	if err == nil {
		k.holds(t, d)
		return
	}
	var named *sds.ChannelError
	if !errors.As(err, &named) || named.Item == "" || !errors.Is(err, sds.ErrCorrupt) &&
		!errors.Is(err, sds.ErrIncomplete) && !errors.Is(err, sds.ErrUnsupportedFormat) {
		t.Fatalf("with other bytes at %d: %v", place, err)
	}
}

// TestEachDamagedByteIsNoticed, or changes nothing.
func TestEachDamagedByteIsNoticed(t *testing.T) {
	from, k := damageable(t)
	m := from.copy()
	a := openAs(t, m, "alice", quiet)
	places, bodies := from.bodies()
	for _, place := range places {
		for i := range bodies[place] {
			for _, xor := range []byte{1, 2, 0x80} {
				b := slices.Clone(bodies[place])
				b[i] ^= xor
				loadsAsWasOrFails(t, a, m, from, k, place, b)
			}
			loadsAsWasOrFails(t, a, m, from, k, place, bodies[place][:i])
		}
		for _, other := range places {
			loadsAsWasOrFails(t, a, m, from, k, place, bodies[other])
		}
	}
}

// FuzzStoredBytes loads a channel one of whose bodies is another one.
func FuzzStoredBytes(f *testing.F) {
	var from, m *memory
	var k *kept
	var a *sdsaws.Adapter
	for place := range 4 {
		f.Add(place-1, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}, uint16(0), uint16(3))
		f.Add(place-1, []byte{}, uint16(9), uint16(1))
	}
	f.Fuzz(func(t *testing.T, place int, patch []byte, at, replaced uint16) {
		if from == nil { // once a process
			from, k = damageable(t)
			m = from.copy()
			a = openAs(tb{t}, m, "alice", quiet)
		}
		places, bodies := from.bodies()
		place = places[uint(place)%uint(len(places))]
		b := bodies[place]
		i := int(at) % (len(b) + 1)
		b = slices.Concat(b[:i], patch, b[min(len(b), i+int(replaced)):])
		loadsAsWasOrFails(t, a, m, from, k, place, b)
	})
}

// tb is a test whose adapters stay open behind it.
type tb struct{ *testing.T }

func (tb) Cleanup(func()) {}

// TestAnEndlessChainEnds: each of many messages says that it is packed against the one before. Whoever
// follows them to the first would need a stack as deep.
func TestAnEndlessChainEnds(t *testing.T) {
	m := newMemory()
	a := openAs(t, m, "alice", quiet)
	if err := a.Commit(t.Context(), channel, meta(1), appends("first", "last")); err != nil {
		t.Fatal(err)
	}
	const n = 10_000
	m.Edit(key, func(head *store.Head, all map[uint64]store.Message) {
		rec, err := record.OpenHead(key, *head)
		if err != nil {
			t.Fatal(err)
		}
		for o := uint64(1); o < n; o++ {
			all[o] = store.Message{Offset: o, ID: "x", Body: record.Delta(o, record.Term{}, []uint64{o - 1}, []byte{0})}
		}
		head.Start, head.Next, rec.Live = 0, n, offsets.Set{}
		rec.Live.Add(n - 1)
		rec.History.Add(n - 1)
		head.Body = rec.Body(key, *head)
	})
	reads := 0
	m.setFault(func(op string) fault {
		if op == "messages" {
			reads++
		}
		return none
	})
	_, err := openAs(t, m, "alice", quiet).Message(t.Context(), channel, "x")
	if !errors.Is(err, sds.ErrCorrupt) || !strings.Contains(err.Error(), "group") {
		t.Errorf("%v, want that it is no group", err)
	}
	if reads > 100 {
		t.Errorf("%d requests for messages", reads)
	}
}
