package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

var errInjected = errors.New("injected")

// world has namespaces with channels, and notes when each was swept last.
type world struct {
	mu       sync.Mutex
	channels map[string][]string                           // of a namespace, in order
	swept    map[string]time.Time                          // by namespace and channel, however it ended
	times    map[string]int                                // how often
	takes    func(namespace, channel string) time.Duration // of a sweep; nil: no time
	fails    map[string]error                              // of a namespace's list, or of a channel's sweep
	lag      uint64
	homes    map[string]string // of a channel; "": any
	table    table
}

func newWorld(channels map[string]int) *world {
	w := &world{channels: map[string][]string{}, swept: map[string]time.Time{}, times: map[string]int{}, fails: map[string]error{}}
	for namespace, n := range channels {
		for i := range n {
			w.channels[namespace] = append(w.channels[namespace], fmt.Sprintf("c%04d", i))
		}
	}
	return w
}

func (w *world) Namespaces(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, namespace := range slices.Sorted(maps.Keys(w.channels)) {
			if !yield(namespace, w.fails["namespace "+namespace]) {
				return
			}
		}
	}
}

func (w *world) ChannelsAfter(ctx context.Context, namespace, place string) iter.Seq2[dynamo.Listed, error] {
	return func(yield func(dynamo.Listed, error) bool) {
		if err := w.fails[namespace]; err != nil {
			yield(dynamo.Listed{}, err)
			return
		}
		for _, c := range w.channels[namespace] {
			if c > place && !yield(dynamo.Listed{Channel: c, Place: c}, w.fails["name of "+c]) {
				return
			}
		}
	}
}

type adapter struct {
	w                 *world
	region, namespace string
}

func (a adapter) Sweep(ctx context.Context, channel string, o *sdsaws.SweepOptions) (sdsaws.Swept, error) {
	name := a.namespace + "/" + channel
	if home := a.w.homes[name]; home != "" && home != a.region {
		return sdsaws.Swept{}, &sds.ChannelError{Op: "sweep", Channel: channel, Err: sds.ErrElsewhere}
	}
	if a.w.takes != nil {
		select {
		case <-time.After(a.w.takes(a.namespace, channel)):
		case <-ctx.Done():
			return sdsaws.Swept{}, &sds.ChannelError{Op: "sweep", Channel: channel, Err: ctx.Err()}
		}
	}
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.w.swept[name] = time.Now()
	a.w.times[name]++
	if err := a.w.fails[name]; err != nil {
		return sdsaws.Swept{Waiting: a.w.lag}, &sds.ChannelError{Op: "sweep", Channel: channel, Err: err}
	}
	return sdsaws.Swept{Messages: 1}, nil
}

func (a adapter) Close(context.Context) error { return nil }

// table keeps the rounds.
type table struct {
	dynamo.LogClient // what isn't called

	mu    sync.Mutex
	items map[string]map[string]types.AttributeValue
	fails error
}

func (t *table) Query(_ context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := &dynamodb.QueryOutput{}
	for sk, it := range t.items {
		if strings.HasPrefix(sk, in.ExpressionAttributeValues[":r"].(*types.AttributeValueMemberS).Value) {
			out.Items = append(out.Items, it)
		}
	}
	return out, t.fails
}

func (t *table) PutItem(_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sk := in.Item["sk"].(*types.AttributeValueMemberS).Value
	there := t.items[sk]
	var was, wanted []byte
	if there != nil {
		was = there["c"].(*types.AttributeValueMemberB).Value
	}
	if prev := in.ExpressionAttributeValues[":c"]; prev != nil {
		wanted = prev.(*types.AttributeValueMemberB).Value
	}
	if !bytes.Equal(was, wanted) {
		return nil, &types.ConditionalCheckFailedException{Item: there}
	}
	if t.items == nil {
		t.items = map[string]map[string]types.AttributeValue{}
	}
	t.items[sk] = in.Item
	return &dynamodb.PutItemOutput{}, nil
}

func (t *table) DeleteItem(_ context.Context, in *dynamodb.DeleteItemInput, _ ...func(*dynamodb.Options)) (
	*dynamodb.DeleteItemOutput, error,
) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sk := in.Key["sk"].(*types.AttributeValueMemberS).Value
	wanted := in.ExpressionAttributeValues[":c"].(*types.AttributeValueMemberB).Value
	if there := t.items[sk]; there != nil && !bytes.Equal(there["c"].(*types.AttributeValueMemberB).Value, wanted) {
		return nil, &types.ConditionalCheckFailedException{}
	}
	delete(t.items, sk)
	return &dynamodb.DeleteItemOutput{}, nil
}

func (w *world) rounds(t *testing.T) map[string]dynamo.Round {
	t.Helper()
	all, err := dynamo.NewRounds(&w.table, "state", here, nil).Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// output is what a sweeper has written.
type output struct{ log, metrics bytes.Buffer }

func (w *world) sweeper(workers int) (*sweeper, *output) { return w.sweeperIn(here, workers) }

func (w *world) sweeperIn(region string, workers int) (*sweeper, *output) {
	out := &output{}
	return &sweeper{
		listing: w,
		rounds:  dynamo.NewRounds(&w.table, "state", region, nil),
		open:    func(namespace string) (channelSweeper, error) { return adapter{w, region, namespace}, nil },
		workers: workers, function: "sweeper-1",
		log:     slog.New(slog.NewJSONHandler(&out.log, nil)),
		metrics: &out.metrics,
		now:     time.Now,
	}, out
}

const here = "eu-central-1"

// invoke is one invocation of so long.
func (w *world) invoke(t *testing.T, timeout time.Duration) (report, *output, error) {
	t.Helper()
	return w.invokeIn(t, here, timeout)
}

func (w *world) invokeIn(t *testing.T, region string, timeout time.Duration) (report, *output, error) {
	t.Helper()
	s, out := w.sweeperIn(region, 1)
	ctx, stop := context.WithTimeout(t.Context(), timeout)
	defer stop()
	r, err := s.handle(ctx)
	if ctx.Err() != nil {
		t.Error("it has passed its deadline")
	}
	return r, out, err
}

func constant(d time.Duration) func(string, string) time.Duration {
	return func(string, string) time.Duration { return d }
}

// TestItGoesOnWhereItStopped: invocations that are too short for all reach every channel of a
// namespace once before any a second time.
func TestItGoesOnWhereItStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(map[string]int{"alice": 25, "bob": 1, "carol": 9})
		w.takes = constant(7 * time.Second)
		invocations := 0
		for ; len(w.swept) < 35; invocations++ {
			if r, _, err := w.invoke(t, time.Minute); err != nil || r.Channels == 0 {
				t.Fatalf("invocation %d: %+v, %v", invocations, r, err)
			}
			for _, c := range w.channels["alice"] {
				if n := w.times["alice/"+c]; n > 1 {
					t.Fatalf("alice's %s was swept %d times, and not all once", c, n)
				}
			}
		}
		if invocations < 5 {
			t.Fatalf("%d invocations, want some that are too short", invocations)
		}
	})
}

// TestALargeNamespaceStarvesNoOther: each has its turn, in every invocation.
func TestALargeNamespaceStarvesNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(map[string]int{"large": 10_000, "small": 3, "tiny": 1})
		w.takes = constant(time.Second)
		if _, _, err := w.invoke(t, time.Minute); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"small/c0002", "tiny/c0000", "large/c0020"} {
			if w.times[name] == 0 {
				t.Errorf("%s was not swept", name)
			}
		}
	})
}

// TestEachNamespaceHasItsTurnInTheEnd, when an invocation is too short for one turn of each.
func TestEachNamespaceHasItsTurnInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(map[string]int{"a": 100, "b": 100, "c": 100, "d": 100})
		w.takes = constant(time.Second)
		for range 3 {
			if _, _, err := w.invoke(t, 20*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		for namespace := range w.channels {
			if w.times[namespace+"/c0000"] != 1 {
				t.Errorf("%s had %d turns from its begin", namespace, w.times[namespace+"/c0000"])
			}
		}
	})
}

// TestAChannelThatTakesLongStopsNothing: it is left for the next round, and is no failure.
func TestAChannelThatTakesLongStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(map[string]int{"alice": 5})
		w.takes = func(_, channel string) time.Duration {
			if channel == "c0002" {
				return time.Hour
			}
			return time.Second
		}
		r, out, err := w.invoke(t, 15*time.Minute)
		if err != nil || r.Channels != 4 || r.Namespaces != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		if !strings.Contains(out.log.String(), "c0002") {
			t.Errorf("the log doesn't name it: %s", out.log.String())
		}
		// Nor does one that takes longer than any invocation lasts.
		w = newWorld(map[string]int{"alice": 5})
		w.takes = func(_, channel string) time.Duration {
			if channel == "c0000" {
				return time.Hour
			}
			return time.Second
		}
		for range 3 {
			if _, _, err := w.invoke(t, 30*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		if w.times["alice/c0004"] == 0 {
			t.Error("the last was never swept")
		}
	})
}

// TestFailuresStopNothingElse, and are the invocation's error when all else is done.
func TestFailuresStopNothingElse(t *testing.T) {
	w := newWorld(map[string]int{"bad\xff": 1, "failing": 4, "fine": 4, "unlisted": 3})
	w.fails = map[string]error{
		"bad\xff/c0000": sds.ErrCorrupt,
		"failing/c0001": errInjected,
		"unlisted":      errInjected,
	}
	w.lag = 77
	r, out, err := w.invoke(t, time.Hour)
	if !errors.Is(err, sds.ErrCorrupt) || r.Failures != 3 || r.Channels != 7 {
		t.Fatalf("%+v, %v; want 3 failures, the first of a corrupt channel, and 7 channels swept", r, err)
	}
	for _, name := range []string{"failing/c0003", "fine/c0003"} {
		if w.times[name] != 1 {
			t.Errorf("%s was not swept", name)
		}
	}
	for _, want := range []string{`\"bad\\xff\"`, `\"failing\"`, `\"unlisted\"`, "c0001"} {
		if !strings.Contains(out.log.String(), want) {
			t.Errorf("%s is not in the log:\n%s", want, out.log.String())
		}
	}
	if strings.Contains(out.log.String(), "\xff") {
		t.Error("the log has raw bytes of a namespace")
	}
	if m := readMetrics(t, out); m.SweepFailures != 3 || m.SweptChannels != 7 || *m.ArchiveLagMessages != 77 {
		t.Errorf("%+v", m)
	}
}

// TestWhatHasNoNameStopsNothing: a namespace or a channel that can't be named is a failure.
func TestWhatHasNoNameStopsNothing(t *testing.T) {
	w := newWorld(map[string]int{"a": 3, "b": 3})
	w.fails["name of c0001"], w.fails["namespace a"] = store.ErrMalformed, store.ErrMalformed
	r, _, err := w.invoke(t, time.Hour)
	if !errors.Is(err, store.ErrMalformed) || r.Failures != 2 || r.Channels != 2 || w.times["b/c0002"] != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestNothingIsSweptBlindly: where namespaces or rounds can't be read, the invocation fails.
func TestNothingIsSweptBlindly(t *testing.T) {
	w := newWorld(map[string]int{"a": 1})
	w.fails["namespace a"] = errInjected
	if r, out, err := w.invoke(t, time.Hour); !errors.Is(err, errInjected) || r.Channels != 0 || readMetrics(t, out).SweepFailures != 1 {
		t.Errorf("unlisted: %+v, %v", r, err)
	}
	w = newWorld(map[string]int{"a": 1})
	w.table.fails = errInjected
	if r, _, err := w.invoke(t, time.Hour); !errors.Is(err, errInjected) || r.Channels != 0 {
		t.Errorf("no rounds: %+v, %v", r, err)
	}
}

// TestManyFailuresAreNotAllLogged, but counted.
func TestManyFailuresAreNotAllLogged(t *testing.T) {
	w := newWorld(map[string]int{"a": 500})
	for _, c := range w.channels["a"] {
		w.fails["a/"+c] = errInjected
	}
	r, out, err := w.invoke(t, time.Hour)
	if lines := strings.Count(out.log.String(), "\n"); err == nil || r.Failures != 500 || lines != maxLogged+1 {
		t.Errorf("%+v, %v, %d lines", r, err, lines)
	}
}

// TestItSaysHowOldTheOldestIs: since when each channel was taken, over rounds and invocations.
func TestItSaysHowOldTheOldestIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(map[string]int{"alice": 10})
		w.takes = constant(9 * time.Second)
		age := func() int64 {
			t.Helper()
			_, out, err := w.invoke(t, time.Minute) // five channels, in 50 s
			if err != nil {
				t.Fatal(err)
			}
			return *readMetrics(t, out).UnsweptAgeSeconds
		}
		if got := age(); got != 50 {
			t.Errorf("in the midst of the first round: %d s", got)
		}
		time.Sleep(time.Hour)
		if got := age(); got != 3695 {
			t.Errorf("at its end: %d s", got)
		}
		time.Sleep(time.Hour)
		if got := age(); got != 3600+3695+50 {
			t.Errorf("in the midst of the second: %d s", got)
		}
		if got := age(); got != 95 {
			t.Errorf("at its end: %d s", got)
		}
	})
}

// TestSweepersOfTwoRegionsSweepAll: each has its own place in a table that both have, so that
// neither passes by, in the other's name, what only the other sweeps.
func TestSweepersOfTwoRegionsSweepAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(map[string]int{"alice": 20})
		w.takes, w.homes = constant(5*time.Second), map[string]string{}
		regions := []string{here, "us-east-1"}
		for i, c := range w.channels["alice"] {
			w.homes["alice/"+c] = regions[i/4%2]
		}
		for i := range 40 {
			if _, _, err := w.invokeIn(t, regions[i%2], 30*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range w.channels["alice"] {
			if w.times["alice/"+c] == 0 {
				t.Errorf("%s, whose home is %s, was never swept", c, w.homes["alice/"+c])
			}
		}
	})
}

// TestSweepersAtOnce: invocations of any length that overlap miss no channel, whatever fails:
// each was swept since the time that is stored.
func TestSweepersAtOnce(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			r := rand.New(rand.NewPCG(seed, 0))
			draw := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return r.IntN(n)
			}
			w := newWorld(map[string]int{"a": 30, "b": 7, "c": 1, "d": 60})
			w.takes = func(string, string) time.Duration { return time.Duration(draw(3000)) * time.Millisecond }
			w.fails["b/c0003"] = errInjected
			var sweepers sync.WaitGroup
			for range 3 {
				sweepers.Go(func() {
					for range 20 {
						time.Sleep(time.Duration(draw(20)) * time.Second)
						ctx, stop := context.WithTimeout(t.Context(), time.Duration(10+draw(50))*time.Second)
						s, _ := w.sweeper(1 + draw(3))
						_, _ = s.handle(ctx) // b's failure
						stop()
					}
				})
			}
			sweepers.Wait()
			rounds := w.rounds(t)
			for namespace, channels := range w.channels {
				since := rounds[namespace].Since
				if since.IsZero() {
					t.Errorf("seed %d: %s has no round", seed, namespace)
				}
				for _, c := range channels {
					if at := w.swept[namespace+"/"+c]; at.Before(since) {
						t.Errorf("seed %d: %s/%s was swept at %v, before %v", seed, namespace, c, at, since)
					}
				}
			}
		})
	}
}

type metrics struct {
	SweptChannels, SweepFailures, ElsewhereChannels int64

	ArchiveLagMessages, UnsweptAgeSeconds *int64 // nil: not told
}

func readMetrics(t *testing.T, out *output) (m metrics) {
	t.Helper()
	if err := json.Unmarshal(out.metrics.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestMetricsAreOneLineAsCloudWatchReadsIt.
func TestMetricsAreOneLineAsCloudWatchReadsIt(t *testing.T) {
	var out bytes.Buffer
	i := &invocation{sweeper: &sweeper{function: "sweeper-1"}, report: report{Channels: 3, Elsewhere: 2, Failures: 1},
		lag: 9, lagKnown: true, since: map[string]time.Time{"a": time.UnixMilli(5_000), "b": {}, "c": time.UnixMilli(9_000)}}
	if err := i.emit(&out, time.UnixMilli(65_000)); err != nil {
		t.Fatal(err)
	}
	want := `{"ArchiveLagMessages":9,"ElsewhereChannels":2,"Function":"sweeper-1","Service":"sweeper",` +
		`"SweepFailures":1,"SweptChannels":3,"UnsweptAgeSeconds":60,` +
		`"_aws":{"Timestamp":65000,"CloudWatchMetrics":[{"Namespace":"sdsaws","Dimensions":[["Service","Function"]],"Metrics":[` +
		`{"Name":"SweptChannels","Unit":"Count"},{"Name":"ElsewhereChannels","Unit":"Count"},{"Name":"SweepFailures","Unit":"Count"},` +
		`{"Name":"ArchiveLagMessages","Unit":"Count"},{"Name":"UnsweptAgeSeconds","Unit":"Seconds"}]}]}}` + "\n"
	if got := out.String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestWhatIsUnknownIsNoMetric: neither a value nor a declaration, so that an alarm misses it.
func TestWhatIsUnknownIsNoMetric(t *testing.T) {
	elsewhere := newWorld(map[string]int{"a": 3})
	elsewhere.homes = map[string]string{"a/c0000": "us-east-1", "a/c0001": "us-east-1", "a/c0002": "us-east-1"}
	unlisted := newWorld(map[string]int{"a": 1})
	unlisted.fails["namespace a"] = errInjected
	unread := newWorld(map[string]int{"a": 1})
	unread.table.fails = errInjected
	failing := newWorld(map[string]int{"a": 1})
	failing.fails["a/c0000"] = errInjected
	for name, c := range map[string]struct {
		w        *world
		lag, age bool // known
	}{
		"all is well": {newWorld(map[string]int{"a": 1}), true, true}, "no namespace": {newWorld(nil), false, true},
		"elsewhere": {elsewhere, false, true}, "unlisted": {unlisted, false, false}, "no rounds": {unread, false, false},
		"the only channel fails": {failing, false, true},
	} {
		_, out, _ := c.w.invoke(t, time.Hour) // fails where it should
		m := readMetrics(t, out)
		if (m.ArchiveLagMessages != nil) != c.lag || (m.UnsweptAgeSeconds != nil) != c.age {
			t.Errorf("%s: lag %v, age %v", name, m.ArchiveLagMessages, m.UnsweptAgeSeconds)
		}
		if told := strings.Count(out.metrics.String(), "ArchiveLagMessages"); told == 1 || (told > 0) != c.lag {
			t.Errorf("%s: the lag is there %d times", name, told)
		}
		if told := strings.Count(out.metrics.String(), "UnsweptAgeSeconds"); told == 1 || (told > 0) != c.age {
			t.Errorf("%s: the age is there %d times", name, told)
		}
		if want := int64(len(c.w.homes)); m.ElsewhereChannels != want {
			t.Errorf("%s: %d channels are elsewhere, want %d", name, m.ElsewhereChannels, want)
		}
	}
}

// TestANamespaceThatComesBackIsYoung: its round went with its channels. One that is in a sweeper's
// list keeps its round, whatever it has.
func TestANamespaceThatComesBackIsYoung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(map[string]int{"alice": 3, "bob": 3})
		age := func() int64 {
			t.Helper()
			_, out, err := w.invoke(t, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			return *readMetrics(t, out).UnsweptAgeSeconds
		}
		age()
		bob := w.channels["bob"]
		delete(w.channels, "bob")
		age()
		if rounds := w.rounds(t); len(rounds) != 1 {
			t.Errorf("%+v, want a round of alice alone", rounds)
		}
		time.Sleep(time.Hour)
		age()
		w.channels["bob"], w.takes = bob, constant(time.Minute)
		if got := age(); got >= 3600 {
			t.Errorf("bob, who came back, is %d s old", got)
		}

		s, _ := w.sweeper(1)
		s.namespaces = []string{"carol"}
		if _, err := s.handle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rounds := w.rounds(t); len(rounds) != 3 {
			t.Errorf("%+v, want those that aren't in its list, too", rounds)
		}
	})
}
