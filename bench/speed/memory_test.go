package speed

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/handclock"
	"github.com/sdsaws/sdsaws/sds"
)

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
	clock := handclock.New()
	a := open(b, &stub{}, sdsaws.Options{Clock: clock})
	write := func(channel string) {
		for from := 0; from < len(messages); from += 50 {
			part := messages[from:min(from+50, len(messages))]
			must(b, a.Commit(b.Context(), channel, snapshotOf(part[len(part)-5:]), &sds.HistoryUpdate{Append: part}))
		}
	}
	write("the first, which makes the encoders that all share")
	clock.Advance(2 * time.Minute)
	before := heap()
	for i := range channels {
		write(fmt.Sprint("channel ", i))
	}
	must(b, a.Flush(b.Context()))
	busy := heap() - before
	clock.Advance(2 * time.Minute)
	idle := heap() - before
	b.ReportMetric(float64(busy)/float64(channels), "bytes-busy/channel")
	b.ReportMetric(float64(idle)/float64(channels), "bytes-idle/channel")
	runtime.KeepAlive(a)
}
