package torture_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/ordeal"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// TestClaimsCommitsAndLoadsAreLinearizable has goroutines of several adapters load, commit and drop at
// once, with faults whose outcome is unknown, and lets porcupine look for an order in which one
// process after the other could have done the same. SDSAWS_LINEAR_RUNS plays more, and
// SDSAWS_LINEAR_SEED is the first seed; the goroutines run as they come.
func TestClaimsCommitsAndLoadsAreLinearizable(t *testing.T) {
	dir := t.TempDir()
	for name, b := range map[string]struct {
		runs int
		open func(seed uint64) (ordeal.Site, func(), error)
	}{
		"memory": {200, func(uint64) (ordeal.Site, func(), error) { return openMemory(time.Now, sound) }},
		"embedded": {20, func(seed uint64) (ordeal.Site, func(), error) {
			return openEmbedded(filepath.Join(dir, strconv.FormatUint(seed, 10)), time.Now)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			runs, first := uint64(b.runs), uint64(1)
			if raceDetector {
				runs /= 4
			}
			runs, first = number(t, "SDSAWS_LINEAR_RUNS", runs), number(t, "SDSAWS_LINEAR_SEED", first)
			operations, unknown, fenced := 0, 0, 0
			for seed := first; seed < first+runs; seed++ {
				site, end, err := b.open(seed)
				if err != nil {
					t.Fatal(err)
				}
				all := history(site, seed)
				end()
				if r := porcupine.CheckOperationsTimeout(linear.ToModel(), all, time.Minute); r != porcupine.Ok {
					t.Fatalf("SDSAWS_LINEAR_SEED=%d: %s\n%s", seed, r, tell(all))
				}
				operations += len(all)
				for _, o := range all {
					switch o.Output.(output).err {
					case outcomeUnknown:
						unknown++
					case isFenced:
						fenced++
					}
				}
			}
			t.Logf("linearizability: runs %d, operations %d, violations 0; unknown outcomes %d, fenced %d",
				runs, operations, unknown, fenced)
		})
	}
}

// TestWeakConditionsAreNotLinearizable: porcupine sees a backend that at times ignores a condition.
func TestWeakConditionsAreNotLinearizable(t *testing.T) {
	for name, guard := range map[string]func(store.Log) store.Log{
		"commits": func(l store.Log) store.Log { return &sometimesBlind{Log: l, commits: true} },
		"claims":  func(l store.Log) store.Log { return &sometimesBlind{Log: l} },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(1000) {
				site, _, err := openMemory(time.Now, guard)
				if err != nil {
					t.Fatal(err)
				}
				if porcupine.CheckOperationsTimeout(linear.ToModel(), history(site, seed), time.Minute) == porcupine.Illegal {
					t.Logf("run %d", seed+1)
					return
				}
			}
			t.Error("1000 runs have not shown it")
		})
	}
}

// sometimesBlind ignores the condition of each third commit, or claim.
type sometimesBlind struct {
	store.Log
	commits bool
	n       atomic.Int64
}

func (l *sometimesBlind) prev(ctx context.Context, key store.Key, prev store.CommitID, may bool) store.CommitID {
	if may && l.n.Add(1)%3 == 0 {
		return current(ctx, l.Log, key)
	}
	return prev
}

func (l *sometimesBlind) Commit(ctx context.Context, key store.Key, prev store.CommitID, head store.Head, all []store.Message) error {
	return l.Log.Commit(ctx, key, l.prev(ctx, key, prev, l.commits), head, all)
}

func (l *sometimesBlind) Claim(ctx context.Context, key store.Key, prev store.CommitID, c store.Claim) error {
	return l.Log.Claim(ctx, key, l.prev(ctx, key, prev, !l.commits), c)
}

func number(t *testing.T, name string, n uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return n
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s=%s is no number", name, s)
	}
	return n
}

// What goroutines do to a channel.
const (
	load   = "load"
	commit = "commit"
	drop   = "drop"
)

type input struct {
	channel string
	process int
	op      string
	blind   bool // the process had not loaded it
	n       int  // of a commit: its clock, and what it appends
	evict   int
	twice   bool // a request was done, its reply lost, and it was done again
}

const (
	done           = ""
	isFenced       = "fenced"
	outcomeUnknown = "unknown"
)

type output struct {
	err    string
	stored stored // that a load has returned
}

// stored is what a channel holds.
type stored struct {
	clock int
	ids   string // of the history, each with a comma behind it, in the order of loads
}

// held is a channel and who holds it: a process, or 0.
type held struct {
	holder int
	stored
}

// with returns what is stored after a commit.
func (s stored) with(in input) stored {
	ids := []int{in.n}
	for part := range strings.SplitSeq(s.ids, ",") {
		if id, err := strconv.Atoi(part); err == nil && id != in.evict {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return stored{in.n, join(ids)}
}

func join(ids []int) string {
	text := ""
	for _, id := range ids {
		text += fmt.Sprintf("%d,", id)
	}
	return text
}

// linear is what channels do, one operation after another. What has an unknown outcome has happened or not;
// it is over at no time, so that it can also be done late, as far as its process holds the channel then.
var linear = porcupine.NondeterministicModel{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		by := map[string][]porcupine.Operation{}
		for _, o := range all {
			id := o.Input.(input).channel
			by[id] = append(by[id], o)
		}
		var parts [][]porcupine.Operation
		for _, part := range by {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() []any { return []any{held{}} },
	Step: func(state, in, out any) []any { return step(state.(held), in.(input), out.(output)) },
}

func step(s held, in input, out output) []any {
	mine := held{in.process, s.stored}
	after := mine
	switch in.op {
	case load:
		switch out.err {
		case done:
			if s.stored != out.stored {
				return nil
			}
			return []any{mine}
		case isFenced: // others have claimed it all the time
			return []any{s}
		default:
			return []any{s, mine}
		}
	case commit:
		after.stored = s.with(in)
	case drop:
		after.stored = stored{}
	}
	holds := s.holder == in.process
	switch {
	// Another claimed between the first time and the second.
	case out.err == isFenced && in.twice && in.blind:
		return []any{s, mine, after}
	case out.err == isFenced && in.twice && holds:
		return []any{after}
	case in.blind && out.err == done:
		return []any{after}
	case in.blind && out.err == isFenced:
		return []any{s, mine} // it claimed, and another did
	case in.blind:
		return []any{s, mine, after}
	case out.err == done && holds, out.err == outcomeUnknown && !holds:
		if holds {
			return []any{after}
		}
		return []any{s}
	case out.err == outcomeUnknown:
		return []any{s, after}
	case out.err == isFenced && !holds:
		return []any{s}
	default:
		return nil
	}
}

func tell(all []porcupine.Operation) string {
	text := ""
	for _, o := range all {
		text += fmt.Sprintf("%d to %d: %+v: %+v\n", o.Call, o.Return, o.Input, o.Output)
	}
	return text
}

// recorder takes down what is done, when.
type recorder struct {
	now  atomic.Int64
	made atomic.Int64
	mu   sync.Mutex // protects all
	all  []porcupine.Operation
}

// do does an operation of a process, and takes it down. It looks at how often the process's commits were done
// twice.
func (r *recorder) do(a *sdsaws.Adapter, twice *atomic.Int64, in input) (out output) {
	ctx := context.Background()
	before := twice.Load()
	call := r.now.Add(1)
	var err error
	switch in.op {
	case load:
		var d *sds.ChannelData
		if d, err = a.LoadChannel(ctx, in.channel); err == nil {
			var ids []int
			for _, m := range d.MessageHistory {
				id, _ := strconv.Atoi(m.MessageID) // another id than ours is none of the model's
				ids = append(ids, id)
			}
			out.stored = stored{int(d.Meta.LamportTimestamp), join(ids)}
		}
	case commit:
		err = a.Commit(ctx, in.channel, &sds.ChannelMeta{SchemaVersion: sds.SchemaVersion, LamportTimestamp: int64(in.n)},
			&sds.HistoryUpdate{
				Append: []sds.Message{{MessageID: strconv.Itoa(in.n), LamportTimestamp: int64(in.n), Content: make([]byte, in.n%700)}},
				Evict:  []string{strconv.Itoa(in.evict)},
			})
	case drop:
		err = a.DropChannel(ctx, in.channel)
	}
	over := r.now.Add(1)
	in.twice = twice.Load() > before
	switch {
	case err == nil:
	case errors.Is(err, sds.ErrFenced):
		out.err = isFenced
	default:
		out.err, over = outcomeUnknown, math.MaxInt64
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if in.blind && in.op == commit && out.err == outcomeUnknown {
		// It may have claimed, and claim again and be stored when it is sent again, after others have claimed.
		r.all = append(r.all, porcupine.Operation{ClientId: in.process, Input: input{channel: in.channel, process: in.process, op: load},
			Call: call, Output: out, Return: over})
	}
	r.all = append(r.all, porcupine.Operation{ClientId: in.process, Input: in, Call: call, Output: out, Return: over})
	return out
}

// history has adapters work on two channels at once: three with a goroutine for each, or, for each second seed,
// two with two, whose commits can become one. These meet fewer faults, for what has an unknown outcome makes
// the search for an order long.
func history(site ordeal.Site, seed uint64) []porcupine.Operation {
	r := &recorder{}
	open := func(d ordeal.Decide) *sdsaws.Adapter {
		a, err := sdsaws.New(site.Backend(d), &sdsaws.Options{Namespace: "alice", InlineBytes: 300, Clock: stopped{}})
		if err != nil {
			panic(err)
		}
		return a
	}
	processes, channels, rare := 3, []string{"a", "b"}, 12
	if seed%2 == 0 {
		processes, channels, rare = 2, []string{"a", "b", "a", "b"}, 60
	}
	var workers []*worker
	for process := 1; process <= processes; process++ {
		twice := &atomic.Int64{}
		a := open(faults(site, rand.New(rand.NewPCG(seed, uint64(process))), rare, twice))
		for i, channel := range channels {
			workers = append(workers, &worker{r, a, twice, process, channel, rand.New(rand.NewPCG(seed, uint64(10*process+i))), true, false, 0})
		}
	}
	for range 2 {
		var group sync.WaitGroup
		for _, w := range workers {
			group.Go(w.work)
		}
		group.Wait()
		site.Release() // while no request is on its way: see its wait
	}
	last := open(nil)
	for _, channel := range channels[:2] {
		r.do(last, &atomic.Int64{}, input{channel: channel, process: 4, op: load})
	}
	_ = last.Close(context.Background())
	return r.all
}

// faults lets one of so many requests have an outcome that the caller doesn't know, and all of them give
// way to others.
func faults(site ordeal.Site, random *rand.Rand, rare int, twice *atomic.Int64) ordeal.Decide {
	var mu sync.Mutex // protects random
	return func(op string) ordeal.Fault {
		mu.Lock()
		yields, hit, kind := random.IntN(4), random.IntN(rare) == 0, random.IntN(6)
		mu.Unlock()
		for range yields {
			runtime.Gosched()
		}
		if all := site.Faults(op); hit {
			fault := all[kind%len(all)]
			if fault == ordeal.Twice && op == "Commit" {
				twice.Add(1)
			}
			return fault
		}
		return ordeal.None
	}
}

// worker does a process's operations on one channel, one after another.
type worker struct {
	r       *recorder
	a       *sdsaws.Adapter
	twice   *atomic.Int64
	process int
	channel string
	random  *rand.Rand

	blind, mustLoad bool
	known           int // a commit that it has seen
}

func (w *worker) work() {
	for range 4 {
		in := input{channel: w.channel, process: w.process, op: commit, blind: w.blind, evict: w.known}
		switch n := w.random.IntN(10); {
		case w.mustLoad || n < 3:
			in.op = load
		case n == 3 && !w.blind:
			in.op = drop
		default:
			in.n = int(w.r.made.Add(1))
			w.known = in.n
		}
		out := w.r.do(w.a, w.twice, in)
		w.blind = w.blind && out.err != done
		// After what has failed it isn't known whether the process holds the channel.
		w.mustLoad = out.err == isFenced || out.err == outcomeUnknown && (w.blind || in.op != commit)
	}
}

// stopped is a clock whose timers never fire.
type stopped struct{}

func (stopped) Now() time.Time { return time.Unix(1_800_000_000, 0) }

func (stopped) AfterFunc(time.Duration, func()) sdsaws.Timer { return stopped{} }

func (stopped) Stop() bool { return true }
