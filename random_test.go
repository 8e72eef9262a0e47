package sdsaws_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/internal/segment"
	"github.com/sdsaws/sdsaws/sds"
)

// model is what a channel must hold.
type model struct {
	clock   int64
	meta    string
	live    map[string]string // id: content
	evicted map[string]int    // id/content
}

func (m model) clone() model {
	return model{m.clock, m.meta, maps.Clone(m.live), maps.Clone(m.evicted)}
}

// TestRandomHistories commits, evicts, sweeps, archives, drops and crashes at random, with
// large and staged updates, refused requests, lost replies, and whole sweeps by another
// process between any two requests. Checks, which sweeps come between too, find nothing
// broken. Loads, History, what a drop leaves and, at the end, the
// archive are held against a model. SDSAWS_SEEDS=FROM-TO runs other seeds.
func TestRandomHistories(t *testing.T) {
	from, to := int64(1), int64(20)
	if s := os.Getenv("SDSAWS_SEEDS"); s != "" {
		if _, err := fmt.Sscanf(s, "%d-%d", &from, &to); err != nil {
			t.Fatalf("SDSAWS_SEEDS=%s is not FROM-TO: %v", s, err)
		}
	}
	for seed := from; seed <= to; seed++ {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { randomHistory(t, seed) }) {
			return
		}
	}
}

func bytesOf(m *sds.ChannelMeta) string {
	b, err := m.MarshalBinary()
	if err != nil {
		panic(err)
	}
	return string(b)
}

// stopped is a clock whose timers never fire.
type stopped struct{}

func (stopped) Now() time.Time { return time.Unix(1_800_000_000, 0) }

func (stopped) AfterFunc(time.Duration, func()) sdsaws.Timer { return stopped{} }

func (stopped) Stop() bool { return true }

func randomHistory(t *testing.T, seed int64) {
	r := rand.New(rand.NewSource(seed))
	m := newMemory()
	// Without timers an abandoned adapter does nothing more: it has crashed.
	o := sdsaws.Options{InlineBytes: 300, ArchiveMessages: 1 << 30, Clock: stopped{},
		GroupSize: 1 + r.Intn(20)}
	a := open(t, m, o)
	empty := model{0, bytesOf(meta(0)), map[string]string{}, map[string]int{}}
	now := empty.clone()
	var buffer []sds.Message // may be delivered later, and come again
	var mu sync.Mutex        // protects trail
	var trail []string
	say := func(f string, x ...any) {
		mu.Lock()
		defer mu.Unlock()
		trail = append(trail, fmt.Sprintf(f, x...))
	}
	defer func() {
		if t.Failed() {
			for _, s := range trail {
				t.Log(s)
			}
		}
	}()
	next := 0
	var rate atomic.Int64                     // one fault in so many requests; 0: none
	nested := false                           // under m.mu
	faults := rand.New(rand.NewSource(-seed)) //nolint:gosec // a test's; under m.mu
	const sweepRate = 12
	m.wait = func() {
		say("   (sweep in between)")
		if _, err := open(t, m, o).Sweep(context.WithoutCancel(t.Context()), channel, nil); err != nil {
			say("   sweep: %v", err)
			if !errors.Is(err, errInjected) {
				t.Errorf("sweep without a fault: %v", err)
			}
		}
		m.mu.Lock()
		nested = false
		m.mu.Unlock()
	}
	m.setFault(func(op string) fault {
		if !nested && faults.Intn(sweepRate) == 0 {
			nested = true
			return hold
		}
		if n := int(rate.Load()); n > 0 && faults.Intn(n) == 0 {
			f := []fault{refuse, lose}[faults.Intn(2)]
			say("   fault %d at %s", f, op)
			return f
		}
		return none
	})
	check := func(step int) {
		t.Helper()
		c, err := open(t, m, o).Check(t.Context(), channel, nil)
		if err != nil {
			t.Fatalf("step %d: check: %v", step, err)
		}
		if c.Has(sdsaws.Broken) {
			t.Fatalf("step %d: check: %+v", step, c.Findings)
		}
	}
	for step := range 60 {
		rate.Store(0)
		check(step)
		rate.Store([]int64{0, 5, 15}[r.Intn(3)])
		op := r.Intn(12)
		switch {
		case op < 6: // commit
			after := now.clone()
			after.clock = int64(step + 1)
			u := &sds.HistoryUpdate{}
			n := r.Intn(4)
			if r.Intn(10) == 0 {
				n = 100 + r.Intn(60)
			}
			for range n {
				id := fmt.Sprint("i", next)
				next++
				if r.Intn(5) == 0 {
					id = fmt.Sprint("i", r.Intn(next))
				}
				c := fmt.Sprint("c", r.Intn(1000))
				if r.Intn(4) == 0 && len(buffer) > 0 { // delivers one
					m := buffer[r.Intn(len(buffer))]
					id, c = m.MessageID, string(m.Content)
				}
				if r.Intn(6) == 0 {
					b := make([]byte, 600)
					rand.New(rand.NewSource(int64(next))).Read(b)
					c = string(b)
				}
				if old, ok := after.live[id]; ok && old != c {
					after.evicted[id+"/"+old]++
				}
				after.live[id] = c
				u.Append = append(u.Append, sds.Message{MessageID: id, Content: []byte(c)})
			}
			ids := slices.Sorted(maps.Keys(after.live))
			for range r.Intn(1 + min(len(ids), n+3)) {
				id := ids[r.Intn(len(ids))]
				if c, ok := after.live[id]; ok {
					after.evicted[id+"/"+c]++
					delete(after.live, id)
					u.Evict = append(u.Evict, id)
				}
			}
			mt := meta(after.clock)
			for range r.Intn(8) { // what is, was, will be or never comes to be history
				var m sds.Message
				switch k := r.Intn(4); {
				case k == 0 && len(ids) > 0:
					id := ids[r.Intn(len(ids))]
					m = sds.Message{MessageID: id, Content: []byte(after.live[id])}
				case k == 1 && len(buffer) > 0:
					m = buffer[r.Intn(len(buffer))]
				default:
					b := make([]byte, []int{3, 50, 600}[r.Intn(3)])
					r.Read(b)
					m = sds.Message{MessageID: fmt.Sprint("i", r.Intn(next+10)), Content: b}
					buffer = append(buffer, m)
				}
				switch r.Intn(3) {
				case 0:
					mt.IncomingBuffer = append(mt.IncomingBuffer, sds.IncomingMessage{Message: m})
				case 1:
					mt.OutgoingBuffer = append(mt.OutgoingBuffer, sds.OutgoingMessage{Message: m, SendTimeMs: int64(step)})
				default:
					b, err := m.MarshalBinary()
					if err != nil {
						t.Fatal(err)
					}
					if r.Intn(4) == 0 {
						b = b[:len(b)/2] // no message
					}
					mt.IncomingRepairBuffer = append(mt.IncomingRepairBuffer,
						sds.IncomingRepair{MessageID: m.MessageID, HistoryEntry: sds.HistoryEntry{MessageID: "x"}, CachedMessage: b})
				}
			}
			after.meta = bytesOf(mt)
			err := a.Commit(t.Context(), channel, mt, u)
			say("commit %d: +%d -%d: %v", after.clock, n, len(u.Evict), err)
			if err != nil {
				if r.Intn(2) == 0 { // crash
					a = open(t, m, o)
					say("crash")
				} else {
					rate.Store(0)
					if err := a.Flush(t.Context()); err != nil {
						t.Fatalf("step %d flush: %v", step, err)
					}
				}
			}
			rate.Store(0)
			d, err := a.LoadChannel(t.Context(), channel)
			if err != nil {
				t.Fatalf("step %d: load %v", step, err)
			}
			if d.Meta.LamportTimestamp == after.clock {
				now = after
			}
			if bytesOf(&d.Meta) != now.meta {
				t.Fatalf("step %d: clock %d, want that of %d and its buffers", step, d.Meta.LamportTimestamp, now.clock)
			} else if d.Meta.LamportTimestamp != now.clock {
				t.Fatalf("step %d: clock %d", step, d.Meta.LamportTimestamp)
			}
			got := map[string]string{}
			for _, h := range d.MessageHistory {
				got[h.MessageID] = string(h.Content)
			}
			if !maps.Equal(got, now.live) {
				t.Fatalf("step %d: load differs: %d, want %d", step, len(got), len(now.live))
			}
		case op < 8:
			who := a
			if r.Intn(2) == 0 {
				who = open(t, m, o)
			}
			_, err := who.Sweep(t.Context(), channel, &sdsaws.SweepOptions{OnlyDue: r.Intn(2) == 0})
			say("sweep %v", err)
		case op < 9:
			_, err := a.Archive(t.Context(), channel)
			say("archive %v", err)
			rate.Store(0)
			if err := a.Flush(t.Context()); err != nil {
				t.Log("flush", err)
			}
			if _, err := a.LoadChannel(t.Context(), channel); err != nil {
				t.Fatal(err)
			}
		case op < 10:
			a = open(t, m, o)
			say("new adapter")
		case op < 11 && r.Intn(3) == 0:
			who := a
			err := who.DropChannel(t.Context(), channel)
			say("drop %v", err)
			rate.Store(0)
			if err != nil {
				_ = a.Flush(t.Context())
				d, err := a.LoadChannel(t.Context(), channel)
				if err != nil {
					t.Fatal(err)
				}
				if d.Meta.LamportTimestamp != 0 || len(d.MessageHistory) > 0 {
					break // as it was
				}
			}
			now = empty.clone()
			if r.Intn(2) == 0 {
				if err := a.DropChannel(t.Context(), channel); err != nil {
					t.Fatal(err)
				}
				if n := m.inLog(); n > 0 || m.values(t) > 0 || len(m.archived(t)) > 0 {
					t.Fatalf("a drop leaves %d, %d values", n, m.values(t))
				}
			}
		default:
			rate.Store(0)
			got := map[string]int{}
			for h, err := range a.History(t.Context(), channel, sdsaws.HistoryRange{}) {
				if err != nil {
					t.Fatal("history", err)
				}
				var d sds.Message
				_ = d.UnmarshalBinary(h.Encoded)
				got[d.MessageID+"/"+string(d.Content)]++
			}
			want := maps.Clone(now.evicted)
			for id, c := range now.live {
				want[id+"/"+c]++
			}
			if !maps.Equal(got, want) {
				t.Fatalf("step %d: History %d want %d", step, len(got), len(want))
			}
		}
	}
	rate.Store(0)
	if _, err := a.Archive(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
	if c, err := a.Check(t.Context(), channel, nil); err != nil || len(c.Findings)+c.Pending > 0 {
		t.Fatalf("check after all: %+v, %v", c, err)
	}
	got := map[string]int{}
	for ob, err := range m.archive.List(t.Context(), record.Folder(record.Segments, key)) {
		if err != nil {
			t.Fatal(err)
		}
		body, err := m.archive.Get(t.Context(), ob)
		if err != nil {
			t.Fatal(err)
		}
		for row, err := range segment.Decode(key, body) {
			if err != nil {
				t.Fatal(err)
			}
			var d sds.Message
			_ = d.UnmarshalBinary(row.Plain)
			got[d.MessageID+"/"+string(d.Content)]++
		}
	}
	if !maps.Equal(got, now.evicted) {
		t.Errorf("archived %d, want %d", len(got), len(now.evicted))
	}
}
