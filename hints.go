package sdsaws

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

const (
	hintBatch  = 25      // waiting hints that are written without waiting for more
	hintMemory = 8 << 10 // hints in each of the two generations that are remembered
)

// hintBuffer collects hints until they fill a request or have waited long enough, and
// remembers what it has written: SDS sets the hints of its latest messages again with
// each send. It remembers up to 16,384 hints in some 2 MB.
type hintBuffer struct {
	a     *Adapter
	store store.Hints
	turn  chan struct{} // of capacity 1: held by who writes hints

	mu       sync.Mutex // protects what follows; never held during a request
	waiting  map[string]*waitingHint
	pending  int64                   // bytes of them
	known    [2]map[idHash]knownHint // the newer generation first
	timer    Timer
	failures int
	retryAt  time.Time
	closed   bool
}

type waitingHint struct {
	value []byte
	since time.Time
}

type knownHint struct {
	sum [16]byte // of the value
	at  time.Time
}

func (h *hintBuffer) init(a *Adapter, s store.Hints) {
	h.a, h.store, h.turn = a, s, make(chan struct{}, 1)
	h.waiting = map[string]*waitingHint{}
	h.forget()
}

// SetRetrievalHint accepts a hint for a message. Hints are written together, up to 25 a
// request: when that many wait, with Flush and Close, or within Options.Lag. Setting
// again what is stored costs no request.
func (a *Adapter) SetRetrievalHint(ctx context.Context, messageID string, hint []byte) error {
	err := a.check(ctx)
	if err == nil {
		err = a.hints.set(messageID, hint)
	}
	if err != nil {
		return fmt.Errorf("sdsaws: set retrieval hint: %w", err)
	}
	return nil
}

// Hints returns the retrieval hints of those messages that have one, by message id,
// what was accepted and not yet stored included. When some are damaged, the others come with the
// error, sds.ErrCorrupt or sds.ErrUnsupportedFormat: set those again, or do without.
func (a *Adapter) Hints(ctx context.Context, messageIDs ...string) (map[string][]byte, error) {
	err := a.check(ctx)
	var found map[string][]byte
	if err == nil {
		found, err = a.hints.get(ctx, messageIDs)
	}
	if err != nil {
		return found, fmt.Errorf("sdsaws: hints: %w", err)
	}
	return found, nil
}

func (h *hintBuffer) set(id string, value []byte) error {
	if n, limit := len(id)+len(value), h.store.HintLimit(h.a.o.Namespace)-record.HintOverhead; n > limit {
		return fmt.Errorf("%w: id and hint have %d bytes, at most %d fit", sds.ErrTooLarge, n, limit)
	}
	if err := h.a.fitsMemory(hintBytes(id, value)); err != nil {
		return err
	}
	h.mu.Lock()
	err := h.admit(id, value)
	h.mu.Unlock()
	if errors.Is(err, errFull) {
		return h.a.overloaded(0)
	}
	return err
}

// hintBytes is how much memory a waiting hint takes.
func hintBytes(id string, value []byte) int64 { return int64(len(id) + len(value) + hintOverhead) }

// admit takes a hint in. It returns errFull when there is no room for it. h.mu is held.
func (h *hintBuffer) admit(id string, value []byte) error {
	now := h.a.o.Clock.Now()
	old, waits := h.waiting[id]
	if h.closed || h.a.closed.Load() {
		return sds.ErrClosed
	}
	if waits && bytes.Equal(old.value, value) || !waits && h.knows(id, value, now) {
		return nil
	}
	grown := hintBytes(id, value)
	w := &waitingHint{bytes.Clone(value), now}
	if waits {
		grown = int64(len(value) - len(old.value))
		w.since = old.since
	}
	if !h.a.reserve(grown, h.pending) {
		return errFull
	}
	h.pending += grown
	h.waiting[id] = w
	if len(h.waiting) == hintBatch && h.failures == 0 {
		h.stopTimer()
	}
	h.arm()
	return nil
}

// knows reports whether the hint is stored and will not expire soon: half its
// time is the margin for being set again.
func (h *hintBuffer) knows(id string, value []byte, now time.Time) bool {
	key := h.a.hash(id)
	k, ok := h.known[0][key]
	if !ok {
		k, ok = h.known[1][key]
	}
	ttl := h.a.o.HintTTL
	return ok && k.sum == sumOf(value) && (ttl == 0 || now.Sub(k.at) < ttl/2)
}

func sumOf(value []byte) [16]byte {
	sum := sha256.Sum256(value)
	return [16]byte(sum[:])
}

func (h *hintBuffer) remember(id string, value []byte, now time.Time) {
	if len(h.known[0]) >= hintMemory {
		h.known[1], h.known[0] = h.known[0], map[idHash]knownHint{}
	}
	h.known[0][h.a.hash(id)] = knownHint{sumOf(value), now}
}

// forget makes every hint one to be written: stored ones may be gone.
func (h *hintBuffer) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known = [2]map[idHash]knownHint{{}, {}}
}

func (h *hintBuffer) get(ctx context.Context, ids []string) (map[string][]byte, error) {
	found := make(map[string][]byte, len(ids))
	seen := make(map[string]bool, len(ids))
	var ask []string
	h.mu.Lock()
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		if w, ok := h.waiting[id]; ok {
			found[id] = bytes.Clone(w.value)
		} else {
			ask = append(ask, id)
		}
	}
	h.mu.Unlock()
	if len(ask) == 0 {
		return found, nil
	}
	hints, err := h.store.Hints(ctx, h.a.o.Namespace, ask)
	if err != nil {
		return nil, err
	}
	damaged := 0
	for _, s := range hints {
		value, failed := record.OpenHint(h.a.o.Namespace, s.MessageID, s.Value)
		if failed != nil {
			damaged, err = damaged+1, contract(failed)
			continue
		}
		found[s.MessageID] = value
	}
	if err != nil {
		err = fmt.Errorf("%d of %d: %w", damaged, len(hints), err)
	}
	return found, err
}

// arm sets the timer: at once for a full batch, else for when the lag is over. h.mu
// is held.
func (h *hintBuffer) arm() {
	if h.timer != nil || h.closed || len(h.waiting) == 0 {
		return
	}
	now := h.a.o.Clock.Now()
	wait := h.a.o.patience()
	switch {
	case h.failures > 0:
		wait = h.retryAt.Sub(now)
	case len(h.waiting) >= hintBatch:
		wait = 0
	}
	h.timer = h.a.o.Clock.AfterFunc(max(0, wait), h.fire)
}

func (h *hintBuffer) stopTimer() {
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
}

// fire is what the timer calls: it writes what waits, in the timer's own goroutine.
func (h *hintBuffer) fire() {
	h.mu.Lock()
	h.timer = nil
	if h.closed {
		h.mu.Unlock()
		return
	}
	h.a.runs.Add(1)
	h.mu.Unlock()
	defer h.a.runs.Done()
	_ = h.flush(h.a.work) // kept, and tried again later: see failed
}

// eachWaiting tells note since when each hint waits, and returns how many there are.
func (h *hintBuffer) eachWaiting(note func(since time.Time)) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.waiting {
		note(w.since)
	}
	return len(h.waiting)
}

// flush writes all hints that wait, the oldest first, a request at a time: what was written
// before one fails is not written again.
func (h *hintBuffer) flush(ctx context.Context) error {
	h.mu.Lock()
	idle := len(h.waiting) == 0
	h.mu.Unlock()
	if idle {
		return nil
	}
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("sdsaws: retrieval hints: %w", ctx.Err())
	}
	defer func() { <-h.turn }()
	h.mu.Lock()
	h.stopTimer()
	written := maps.Clone(h.waiting)
	h.mu.Unlock()
	var err error
	for ids := range slices.Chunk(byAge(written), hintBatch) {
		hints := make([]store.Hint, len(ids))
		for i, id := range ids {
			hints[i] = store.Hint{MessageID: id, Value: record.Hint(h.a.o.Namespace, id, written[id].value)}
		}
		err = h.store.SetHints(ctx, h.a.o.Namespace, hints, h.a.o.HintTTL)
		h.a.o.Telemetry.hintsWritten(ctx, len(hints), err)
		if err != nil {
			break
		}
		h.settle(ids, written)
	}
	return h.ended(err)
}

// byAge returns the ids of hints, the oldest first.
func byAge(hints map[string]*waitingHint) []string {
	return slices.SortedFunc(maps.Keys(hints), func(x, y string) int {
		return cmp.Or(hints[x].since.Compare(hints[y].since), compareIDs(x, y))
	})
}

// settle remembers what was written, which waits no more unless it was set again.
func (h *hintBuffer) settle(ids []string, written map[string]*waitingHint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.a.o.Clock.Now()
	for _, id := range ids {
		w := written[id]
		if h.waiting[id] == w {
			delete(h.waiting, id)
			h.pending -= hintBytes(id, w.value)
			h.a.pending.Add(-hintBytes(id, w.value))
		}
		h.remember(id, w.value, now)
	}
}

// ended sets the timer for what waits when a flush has ended.
func (h *hintBuffer) ended(err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.failures++
		h.retryAt = h.a.o.Clock.Now().Add(backoff(h.a.o.Lag, h.failures))
		err = fmt.Errorf("sdsaws: retrieval hints are not stored yet: %w", err)
	} else {
		h.failures = 0
	}
	h.arm()
	return err
}

func (h *hintBuffer) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.stopTimer()
}
