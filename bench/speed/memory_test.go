package speed

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

// clock stands until it is moved on, and then calls what is due.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*timer]bool
}

type timer struct {
	clock *clock
	at    time.Time
	f     func()
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0), timers: map[*timer]bool{}} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) AfterFunc(d time.Duration, f func()) sdsaws.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{c, c.now.Add(d), f}
	c.timers[t] = true
	return t
}

func (t *timer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	was := t.clock.timers[t]
	delete(t.clock.timers, t)
	return was
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []*timer
	for t := range c.timers {
		if !t.at.After(c.now) {
			due = append(due, t)
			delete(c.timers, t)
		}
	}
	c.mu.Unlock()
	for _, t := range due {
		t.f()
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse) //nolint:gosec // far below
}

// BenchmarkMemory opens channels in one process by writing to them, and tells how much of the heap
// each takes: right after it was written to, and once it was idle for two minutes.
func BenchmarkMemory(b *testing.B) {
	for _, c := range []struct{ channels, messages int }{{100, 1000}, {10_000, 20}} {
		b.Run(fmt.Sprint(c.channels, "x", c.messages), func(b *testing.B) {
			t := newTraffic()
			messages := make([]sds.Message, c.messages)
			for i := range messages {
				messages[i] = t.message(true)
			}
			for b.Loop() {
				measureChannels(b, c.channels, messages)
			}
		})
	}
}

func measureChannels(b *testing.B, channels int, messages []sds.Message) {
	b.Helper()
	clock := newClock()
	a := open(b, &stub{}, sdsaws.Options{Clock: clock})
	write := func(channel string) {
		for from := 0; from < len(messages); from += 50 {
			part := messages[from:min(from+50, len(messages))]
			must(b, a.Commit(b.Context(), channel, snapshotOf(part[len(part)-5:]), &sds.HistoryUpdate{Append: part}))
		}
	}
	write("the first, which makes the encoders that all share")
	clock.move(2 * time.Minute)
	before := heap()
	for i := range channels {
		write(fmt.Sprint("channel ", i))
	}
	must(b, a.Flush(b.Context()))
	busy := heap() - before
	clock.move(2 * time.Minute)
	idle := heap() - before
	b.ReportMetric(float64(busy)/float64(channels), "bytes-busy/channel")
	b.ReportMetric(float64(idle)/float64(channels), "bytes-idle/channel")
	runtime.KeepAlive(a)
}
