package sdsaws_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
	"github.com/sdsaws/sdsaws/store/storetest"
)

// overloadSeed seeds the tests of overload; SDSAWS_OVERLOAD_SEED sets another one.
func overloadSeed(t *testing.T) uint64 {
	t.Helper()
	s := os.Getenv("SDSAWS_OVERLOAD_SEED")
	if s == "" {
		return 1
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("SDSAWS_OVERLOAD_SEED: %v", err)
	}
	return n
}

// What the simulated table does with each attempt of a request.
const (
	tableLatency     = 8 * time.Millisecond
	partitionUnits   = 1000 // write units a second: DynamoDB's limit of a partition
	clientAttempts   = 8    // RetryPolicy.MaxAttempts
	clientRetryQuota = 5000 / 5
)

// table is a backend in memory, for tests in a synctest bubble, that throttles as DynamoDB
// does, seen through a client with the default RetryPolicy: each request is
// attempted up to eight times, with waits, as long as the client's retry quota lasts.
type table struct {
	storetest.Memory
	archive storetest.MemoryArchive

	mu         sync.Mutex // protects what follows
	random     *rand.Rand
	refused    float64              // the share of attempts that is throttled
	never      func(store.Key) bool // of these channels all are; may be nil
	partitions map[store.Key]*bucket
	quota      int
	start      time.Time
	perSecond  []int // attempts, since start
	inFlight   int   // requests that commit
	peak       int
}

// bucket is what is left of a partition's write units. A request goes through when there is
// any, and can leave a debt.
type bucket struct {
	left float64
	at   time.Time
}

func newTable(seed uint64) *table {
	tb := &table{random: rand.New(rand.NewPCG(seed, 0)), quota: clientRetryQuota, start: time.Now()}
	tb.Max = store.Limits{Messages: 99, HeadBytes: 400 << 10, MessageBytes: 400 << 10, CommitBytes: 4 << 20}
	return tb
}

func (tb *table) adapter(t *testing.T, o sdsaws.Options) *sdsaws.Adapter {
	t.Helper()
	o.Namespace = "alice"
	// Parquet's encoders are kept by their library, and none that a bubble has made may be used
	// outside it. TestOverloadAtRandom archives.
	o.ArchiveMessages, o.ArchiveBytes = 1<<30, 1<<40
	a, err := sdsaws.New(sdsaws.Backend{Log: tb, Hints: tb, Archive: &tb.archive}, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	return a
}

func (tb *table) refuse(share float64) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.refused = share
}

// limitPartitions gives each channel the write units of one partition.
func (tb *table) limitPartitions() { tb.partitions = map[store.Key]*bucket{} }

// request does a request of so many write units, as a client does.
func (tb *table) request(ctx context.Context, key store.Key, units int, do func() error) error {
	for attempt := 1; ; attempt++ {
		if err := pause(ctx, tableLatency); err != nil {
			return err
		}
		wait, ok := tb.attempt(key, units, attempt)
		switch {
		case ok:
			return do()
		case wait < 0:
			return fmt.Errorf("dynamo: commit: %w", &types.TransactionCanceledException{
				CancellationReasons: []types.CancellationReason{{Code: aws.String("ThrottlingError")}}})
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt reports whether an attempt goes through, or how long to wait for the next; below 0:
// there is none.
func (tb *table) attempt(key store.Key, units, n int) (wait time.Duration, ok bool) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	now := time.Now()
	second := int(now.Sub(tb.start) / time.Second)
	for len(tb.perSecond) <= second {
		tb.perSecond = append(tb.perSecond, 0)
	}
	tb.perSecond[second]++
	never := tb.never != nil && tb.never(key)
	if !never && tb.random.Float64() >= tb.refused && tb.admits(key, units, now) {
		if n > 1 {
			tb.quota++
		}
		return 0, true
	}
	if n == clientAttempts || tb.quota == 0 {
		return -1, false
	}
	tb.quota--
	ceiling := min(500*time.Millisecond<<(n-1), 5*time.Second)
	return time.Duration(tb.random.Int64N(int64(ceiling))), false
}

func (tb *table) admits(key store.Key, units int, now time.Time) bool {
	if tb.partitions == nil {
		return true
	}
	b := tb.partitions[key]
	if b == nil {
		b = &bucket{partitionUnits, now}
		tb.partitions[key] = b
	}
	b.left = min(partitionUnits, b.left+now.Sub(b.at).Seconds()*partitionUnits)
	b.at = now
	if b.left <= 0 {
		return false
	}
	b.left -= float64(units)
	return true
}

func unitsOf(bytes int) int { return max(1, (bytes+1023)/1024) }

func (tb *table) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, h store.Head, all []store.Message,
) error {
	tb.mu.Lock()
	tb.inFlight++
	tb.peak = max(tb.peak, tb.inFlight)
	tb.mu.Unlock()
	defer func() {
		tb.mu.Lock()
		tb.inFlight--
		tb.mu.Unlock()
	}()
	units := unitsOf(len(h.Body))
	for _, m := range all {
		units += unitsOf(len(m.ID) + len(m.Body))
	}
	if len(all) > 0 {
		units *= 2
	}
	return tb.request(ctx, key, units, func() error { return tb.Memory.Commit(ctx, key, prev, h, all) })
}

func (tb *table) Load(ctx context.Context, key store.Key, from uint64) (h *store.Head, all []store.Message, err error) {
	err = tb.request(ctx, key, 0, func() error { h, all, err = tb.Memory.Load(ctx, key, from); return err })
	return h, all, err
}

func (tb *table) Claim(ctx context.Context, key store.Key, prev store.CommitID, c store.Claim) error {
	return tb.request(ctx, key, 1, func() error { return tb.Memory.Claim(ctx, key, prev, c) })
}

func (tb *table) SetHints(ctx context.Context, ns string, hints []store.Hint, ttl time.Duration) error {
	return tb.request(ctx, store.Key{}, len(hints), func() error { return tb.Memory.SetHints(ctx, ns, hints, ttl) })
}

// talker works on one channel, hands over again what was refused or failed, and knows
// what must be stored.
type talker struct {
	a       *sdsaws.Adapter
	channel string
	random  *rand.Rand
	kept    kept
	carried sds.HistoryUpdate // refused or failed: it comes with the next
	live    []string
	n       int
	meta    *sds.ChannelMeta // the latest that was accepted

	saved, overloaded, failed int
	largest                   int // update, in bytes of its messages and some more
}

// noiseOf returns bytes that can't be compressed.
func noiseOf(random *rand.Rand, n int) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], random.Uint64())
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return b
}

const talkerWindow = 20

// work does one operation of the protocol: a save, and mostly an update.
func (p *talker) work(t *testing.T) {
	p.n++
	meta := &sds.ChannelMeta{SchemaVersion: 1, LamportTimestamp: int64(p.n)}
	if p.accepted(t, p.a.SaveChannelMeta(t.Context(), p.channel, meta)) {
		p.meta, p.kept.meta = meta, encoded(t, meta)
		p.saved++
	}
	if p.random.IntN(4) == 0 {
		return
	}
	u := p.carried
	u.Append, u.Evict = slices.Clone(u.Append), slices.Clone(u.Evict)
	id := fmt.Sprint(p.channel, "/", p.n)
	content := noiseOf(p.random, 100+p.random.IntN(1000))
	u.Append = append(u.Append, sds.Message{MessageID: id, LamportTimestamp: int64(p.n), Content: content})
	if p.live = append(p.live, id); len(p.live) > talkerWindow {
		i := p.random.IntN(len(p.live) / 2)
		u.Evict = append(u.Evict, p.live[i])
		p.live = slices.Delete(p.live, i, i+1)
	}
	p.update(t, &u)
}

func (p *talker) update(t *testing.T, u *sds.HistoryUpdate) {
	bytes := 1024
	for i := range u.Append {
		bytes += len(u.Append[i].Content) + 512
	}
	p.largest = max(p.largest, bytes)
	err := p.a.UpdateHistory(t.Context(), p.channel, u)
	if p.accepted(t, err) {
		p.kept.apply(t, p.meta, u)
	}
	p.carried = sds.HistoryUpdate{}
	if err != nil {
		p.carried = *u
	}
}

// accepted reports whether an operation with this outcome was accepted.
func (p *talker) accepted(t *testing.T, err error) bool {
	var full *sds.OverloadedError
	var where *sds.ChannelError
	switch {
	case err == nil:
		return true
	case errors.As(err, &full):
		p.overloaded++
		if !errors.Is(err, sds.ErrOverloaded) || full.Pending <= 0 || full.Limit <= 0 || full.Behind < 0 ||
			!errors.As(err, &where) || where.Channel != p.channel {
			t.Errorf("refused with %#v of %+v", full, where)
		}
		return false
	case errors.Is(err, sds.ErrUnknownOutcome) || errors.As(err, new(*types.TransactionCanceledException)):
		p.failed++
		return true // it stays accepted
	default:
		t.Errorf("%s: %v", p.channel, err)
		return false
	}
}

// verify expects that an adapter finds all that was accepted, and nothing else.
func (p *talker) verify(t *testing.T, a *sdsaws.Adapter) {
	t.Helper()
	d, err := a.LoadEncodedChannel(t.Context(), p.channel)
	if err != nil {
		t.Fatal(err)
	}
	p.kept.holds(t, d)
	var all []string
	for h, err := range a.History(t.Context(), p.channel, sdsaws.HistoryRange{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(h.Encoded))
	}
	// What was handed over again when it had been evicted was evicted again.
	once := func(s []string) []string { return slices.Compact(slices.Sorted(slices.Values(s))) }
	same(t, p.channel+": History", once(all), once(p.kept.all()))
}

// TestOverloadForAMinute throttles all, or half, of the attempts for a minute, while traffic
// goes on: before, meanwhile and after. Memory stays within its bound, what waits is
// bounded, and all that was accepted is there in the end, without a flush.
func TestOverloadForAMinute(t *testing.T) {
	for _, c := range []struct {
		name       string
		share      float64
		durability sdsaws.Durability
		refuses    bool
	}{
		{"all, accepted mode", 1, sdsaws.Accepted, true},
		{"all, committed mode", 1, sdsaws.Committed, false}, // each caller waits
		{"half, accepted mode", 0.5, sdsaws.Accepted, false},
		{"half, committed mode", 0.5, sdsaws.Committed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { overloadForAMinute(t, c.share, c.durability, c.refuses) })
		})
	}
}

func overloadForAMinute(t *testing.T, share float64, durability sdsaws.Durability, refuses bool) {
	const (
		channels   = 10
		maxPending = 192 << 10
	)
	seed := overloadSeed(t)
	tb := newTable(seed)
	var mu sync.Mutex
	lags := 0
	a := tb.adapter(t, sdsaws.Options{Durability: durability, MaxPending: maxPending,
		OnLag: func(id string, behind time.Duration, err error) {
			mu.Lock()
			defer mu.Unlock()
			if lags++; id == "" || behind <= time.Second || err == nil {
				t.Errorf("OnLag(%q, %v, %v)", id, behind, err)
			}
		}})
	ps := make([]*talker, channels)
	done := make(chan struct{})
	var all sync.WaitGroup
	for i := range ps {
		ps[i] = &talker{a: a, channel: fmt.Sprint("c", i), random: rand.New(rand.NewPCG(seed, uint64(i+1)))}
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(time.Duration(ps[i].random.IntN(1000)) * time.Millisecond):
					ps[i].work(t)
				}
			}
		})
	}
	var worst sdsaws.Pending
	watch := func(d time.Duration) {
		for range d / (250 * time.Millisecond) {
			time.Sleep(250 * time.Millisecond)
			p := a.Pending()
			worst.Bytes, worst.Oldest = max(worst.Bytes, p.Bytes), max(worst.Oldest, p.Oldest)
			worst.Channels = max(worst.Channels, p.Channels)
		}
	}
	watch(10 * time.Second)
	tb.refuse(share)
	watch(time.Minute)
	tb.refuse(0)
	watch(40 * time.Second)
	close(done)
	all.Wait()
	for _, p := range ps {
		if len(p.carried.Append)+len(p.carried.Evict) > 0 {
			p.update(t, &p.carried)
		}
	}
	time.Sleep(5 * time.Second) // no Flush: it recovers by itself
	synctest.Wait()
	if p := a.Pending(); p != (sdsaws.Pending{}) {
		t.Errorf("five seconds after all: %+v", p)
	}
	saved, overloaded, failed := 0, 0, 0
	mayExceed := int64(0) // by the update of one pair each
	for _, p := range ps {
		mayExceed += int64(p.largest)
		saved, overloaded, failed = saved+p.saved, overloaded+p.overloaded, failed+p.failed
	}
	t.Logf("%d saves accepted, %d operations refused, %d failed; OnLag %d times", saved, overloaded, failed, lags)
	t.Logf("at most %d bytes waited (bound %d + %d), of %d channels, the oldest for %v",
		worst.Bytes, maxPending, mayExceed, worst.Channels, worst.Oldest)
	if worst.Bytes > maxPending+mayExceed {
		t.Error("beyond the bound")
	}
	if refuses != (overloaded > 0) {
		t.Errorf("%d operations were refused", overloaded)
	}
	if share == 1 && (lags == 0 || worst.Oldest < 50*time.Second) {
		t.Errorf("nothing was stored for a minute: OnLag %d times, Pending.Oldest %v", lags, worst.Oldest)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	reader := tb.adapter(t, sdsaws.Options{})
	for _, p := range ps {
		p.verify(t, reader)
	}
}
