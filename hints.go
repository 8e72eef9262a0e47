package sdsaws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

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
// what was accepted and not yet stored included.
func (a *Adapter) Hints(ctx context.Context, messageIDs ...string) (map[string][]byte, error) {
	err := a.check(ctx)
	var found map[string][]byte
	if err == nil {
		found, err = a.hints.get(ctx, messageIDs)
	}
	if err != nil {
		return nil, fmt.Errorf("sdsaws: hints: %w", err)
	}
	return found, nil
}

func (h *hintBuffer) set(id string, value []byte) error {
	if n, limit := len(id)+len(value), h.store.HintLimit(h.a.o.Namespace); n > limit {
		return fmt.Errorf("%w: id and hint have %d bytes, at most %d fit", sds.ErrTooLarge, n, limit)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.a.o.Clock.Now()
	old, waits := h.waiting[id]
	if h.closed || h.a.closed.Load() {
		return sds.ErrClosed
	}
	if waits && bytes.Equal(old.value, value) || !waits && h.knows(id, value, now) {
		return nil
	}
	grown := int64(len(id) + len(value))
	w := &waitingHint{bytes.Clone(value), now}
	if waits {
		grown = int64(len(value) - len(old.value))
		w.since = old.since
	}
	if pending := h.a.pending.Load(); grown > 0 && pending+grown > h.a.o.MaxPending {
		return fmt.Errorf("%w: %d bytes wait to be stored, Options.MaxPending is %d",
			sds.ErrOverloaded, pending, h.a.o.MaxPending)
	}
	h.a.pending.Add(grown)
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
	for _, s := range hints {
		found[s.MessageID] = s.Value
	}
	return found, nil
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

// flush writes all hints that wait.
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
	written := make(map[string]*waitingHint, len(h.waiting))
	hints := make([]store.Hint, 0, len(h.waiting))
	for id, w := range h.waiting {
		written[id] = w
		hints = append(hints, store.Hint{MessageID: id, Value: w.value})
	}
	h.mu.Unlock()
	if len(hints) == 0 {
		return nil
	}
	slices.SortFunc(hints, func(x, y store.Hint) int {
		if c := written[x.MessageID].since.Compare(written[y.MessageID].since); c != 0 {
			return c
		}
		return compareIDs(x.MessageID, y.MessageID)
	})
	err := h.store.SetHints(ctx, h.a.o.Namespace, hints, h.a.o.HintTTL)
	return h.settle(written, err)
}

// settle keeps what could not be written for another try, and remembers what was.
func (h *hintBuffer) settle(written map[string]*waitingHint, err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.a.o.Clock.Now()
	if err != nil {
		h.failures++
		h.retryAt = now.Add(backoff(h.a.o.Lag, h.failures))
		h.arm()
		return fmt.Errorf("sdsaws: retrieval hints are not stored yet: %w", err)
	}
	h.failures = 0
	for id, w := range written {
		if h.waiting[id] == w {
			delete(h.waiting, id)
			h.a.pending.Add(-int64(len(id) + len(w.value)))
		}
		h.remember(id, w.value, now)
	}
	h.arm()
	return nil
}

func (h *hintBuffer) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.stopTimer()
}
