package sdsaws

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// phase says what an adapter may do with a channel.
type phase int

const (
	unopened  phase = iota // nothing known: the first write loads, and so claims
	held                   // claimed: state is what is stored
	fenced                 // somebody else claimed it: only a load goes on from here
	uncertain              // a load failed when it had begun to claim: likewise
)

// channel is what an adapter knows of one channel and has accepted for it.
//
// Who holds the turn may make requests for the channel and owns state; the turn is
// taken before mu. The rest is under mu, which is never held during a request.
type channel struct {
	a   *Adapter
	id  string
	key store.Key

	turn  chan struct{} // of capacity 1; whoever put the value in holds the turn
	state *state        // valid when held

	mu       sync.Mutex
	phase    phase
	open     *opened  // the snapshot that waits for its UpdateHistory
	queue    []*batch // accepted and not known to be stored, oldest first
	attempt  *attempt // sent, outcome unknown
	running  bool     // a run is under way and will look at the queue again
	closed   bool
	timer    Timer
	failures int       // runs that failed since one succeeded
	retryAt  time.Time // not before, after a failure
}

type opened struct {
	snapshot snapshot
	since    time.Time
}

// update is an encoded HistoryUpdate, inspected, packed and copied.
type update struct {
	append []*message
	evict  []idHash
}

// batch is accepted work that goes into one commit: whole pairs, in their order. Work
// that comes later is merged into it as long as it isn't sealed and all fits.
type batch struct {
	snapshot *snapshot // the latest one
	updates  []update
	messages int   // of all updates
	bytes    int64 // of snapshot and messages
	since    time.Time
	sealed   bool // on its way
	waiters  []chan<- error
}

// attempt is a commit that was sent. Until its outcome is known no other is built.
type attempt struct {
	prev     store.CommitID
	head     store.Head
	messages []store.Message
	draft    *draft
}

func newCommitID() (id store.CommitID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

func newChannel(a *Adapter, id string) *channel {
	return &channel{a: a, id: id, key: store.Key{Namespace: a.o.Namespace, Channel: id},
		turn: make(chan struct{}, 1)}
}

func (ch *channel) fail(op, item string, err error) error {
	return &sds.ChannelError{Op: op, Channel: ch.id, Item: item, Err: err}
}

// lost returns the error of operations on a channel that must be loaded first, or nil.
// ch.mu is held.
func (ch *channel) lost() error {
	switch ch.phase {
	case fenced:
		return sds.ErrFenced
	case uncertain:
		return fmt.Errorf("a load failed half-way, load again: %w", sds.ErrUnknownOutcome)
	default:
		return nil
	}
}

func (ch *channel) mustLoad() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.lost() != nil
}

// accept takes work in: a snapshot alone stays open for its update; with an update, or
// as a whole pair, it is queued. A non-nil waiter is told when it is stored.
func (ch *channel) accept(s *snapshot, u *update, waiter chan<- error) error {
	b := &batch{since: ch.a.o.Clock.Now(), snapshot: s}
	if s != nil {
		b.bytes = int64(len(s.packed))
	}
	if u != nil {
		b.updates, b.messages = []update{*u}, len(u.append)
		for _, m := range u.append {
			b.bytes += int64(m.size())
		}
	}
	if err := ch.fits(b); err != nil {
		return err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.closed || ch.a.closed.Load() {
		return sds.ErrClosed
	}
	if err := ch.lost(); err != nil {
		return err
	}
	paired := u != nil && s == nil && ch.open != nil
	if pending := ch.a.pending.Load(); !paired && pending+b.bytes > ch.a.o.MaxPending {
		ch.kickLater()
		return fmt.Errorf("%w: %d bytes wait to be stored, Options.MaxPending is %d",
			sds.ErrOverloaded, pending, ch.a.o.MaxPending)
	}
	ch.a.pending.Add(b.bytes)
	switch {
	case u == nil:
		ch.enqueueOpen()
		ch.open = &opened{*s, b.since}
	case paired:
		b.snapshot, b.since = &ch.open.snapshot, ch.open.since
		b.bytes += int64(len(b.snapshot.packed))
		ch.open = nil
		ch.enqueue(b)
	default:
		ch.enqueueOpen()
		ch.enqueue(b)
	}
	if waiter != nil {
		tail := ch.queue[len(ch.queue)-1]
		tail.waiters = append(tail.waiters, waiter)
		ch.kick()
	} else if len(ch.queue) > 1 {
		ch.kickLater()
	}
	ch.arm()
	return nil
}

// fits refuses what no commit can hold.
func (ch *channel) fits(b *batch) error {
	l := ch.a.log.Limits(ch.key)
	head := 0
	if b.snapshot != nil {
		head = len(b.snapshot.packed)
	}
	if head > l.HeadBytes-headRoom {
		return fmt.Errorf("snapshot has %d bytes compressed, a head holds %d: %w",
			head, l.HeadBytes-headRoom, sds.ErrTooLarge)
	}
	if b.messages > l.Messages {
		return fmt.Errorf("update appends %d messages, one commit holds %d: %w",
			b.messages, l.Messages, sds.ErrTooLarge)
	}
	for _, u := range b.updates {
		for i, m := range u.append {
			if m.size() > l.MessageBytes {
				return fmt.Errorf("appended message %d has %d bytes compressed, an item holds %d: %w",
					i, m.size(), l.MessageBytes, sds.ErrTooLarge)
			}
		}
	}
	if b.bytes > int64(l.CommitBytes-headRoom) {
		return fmt.Errorf("snapshot and update have %d bytes compressed, one commit holds %d: %w",
			b.bytes, l.CommitBytes-headRoom, sds.ErrTooLarge)
	}
	return nil
}

// headRoom is kept free in a head, beside its snapshot, for the sets of offsets.
const headRoom = 8 << 10

// enqueueOpen queues the open snapshot by itself. ch.mu is held.
func (ch *channel) enqueueOpen() {
	if o := ch.open; o != nil {
		ch.open = nil
		ch.enqueue(&batch{snapshot: &o.snapshot, since: o.since, bytes: int64(len(o.snapshot.packed))})
	}
}

// enqueue queues b, merged into the last batch where that is still open and both
// fit. ch.mu is held.
func (ch *channel) enqueue(b *batch) {
	if n := len(ch.queue); n > 0 && !ch.queue[n-1].sealed && ch.merge(ch.queue[n-1], b) {
		return
	}
	ch.queue = append(ch.queue, b)
}

func (ch *channel) merge(into, b *batch) bool {
	l := ch.a.log.Limits(ch.key)
	bytes := into.bytes + b.bytes
	if into.snapshot != nil && b.snapshot != nil {
		bytes -= int64(len(into.snapshot.packed)) // the newer one replaces it
	}
	if into.messages+b.messages > l.Messages || bytes > int64(l.CommitBytes-headRoom) {
		return false
	}
	ch.a.pending.Add(bytes - into.bytes - b.bytes)
	into.bytes = bytes
	if b.snapshot != nil {
		into.snapshot = b.snapshot
	}
	into.updates = append(into.updates, b.updates...)
	into.messages += b.messages
	return true
}

// kick starts a run unless one is under way. ch.mu is held.
func (ch *channel) kick() {
	if !ch.running && !ch.closed {
		ch.running = true
		ch.a.runs.Go(ch.run)
	}
}

// kickLater starts a run for nobody who waits. ch.mu is held.
func (ch *channel) kickLater() {
	if ch.running || ch.closed || ch.failures > 0 {
		return
	}
	ch.stopTimer()
	ch.timer = ch.a.o.Clock.AfterFunc(0, func() { ch.fire(true) })
}

func (ch *channel) stopTimer() {
	if ch.timer != nil {
		ch.timer.Stop()
		ch.timer = nil
	}
}

// arm sets the timer for the oldest work that nobody waits for. ch.mu is held.
func (ch *channel) arm() {
	if at, ok := ch.due(); ok && ch.timer == nil && !ch.running && !ch.closed {
		ch.timer = ch.a.o.Clock.AfterFunc(max(0, at.Sub(ch.a.o.Clock.Now())), func() { ch.fire(false) })
	}
}

// due returns when the oldest accepted work must be on its way.
func (ch *channel) due() (time.Time, bool) {
	var at time.Time
	switch {
	case len(ch.queue) > 0:
		at = ch.queue[0].since.Add(ch.a.o.patience())
	case ch.open != nil:
		at = ch.open.since.Add(ch.a.o.patience())
	default:
		return at, false
	}
	if at.Before(ch.retryAt) {
		at = ch.retryAt
	}
	return at, true
}

// fire is what the timer calls: it commits what is due, in the timer's own goroutine. An
// open snapshot goes along only when it has itself waited long enough: otherwise its
// update may be about to come, and a pair is never cut.
func (ch *channel) fire(now bool) {
	ch.mu.Lock()
	ch.timer = nil
	at, ok := ch.due()
	t := ch.a.o.Clock.Now()
	if !ok || ch.closed || ch.running || !now && t.Before(at) {
		ch.arm()
		ch.mu.Unlock()
		return
	}
	if ch.open != nil && !t.Before(ch.open.since.Add(ch.a.o.patience())) {
		ch.enqueueOpen()
	}
	if len(ch.queue) == 0 {
		ch.arm()
		ch.mu.Unlock()
		return
	}
	ch.running = true
	ch.a.runs.Add(1)
	ch.mu.Unlock()
	defer ch.a.runs.Done()
	ch.run()
}

// flush returns when everything that was accepted before is stored.
func (ch *channel) flush(ctx context.Context) error {
	ch.mu.Lock()
	if ch.phase == fenced || ch.phase == uncertain {
		err := ch.fail("flush", "", ch.lost())
		ch.mu.Unlock()
		return err
	}
	ch.enqueueOpen()
	if ch.attempt != nil && len(ch.queue) == 0 {
		ch.queue = append(ch.queue, &batch{since: ch.a.o.Clock.Now()})
	}
	if len(ch.queue) == 0 {
		ch.mu.Unlock()
		return nil
	}
	done := make(chan error, 1)
	tail := ch.queue[len(ch.queue)-1]
	tail.waiters = append(tail.waiters, done)
	ch.kick()
	ch.mu.Unlock()
	return await(ctx, done)
}

func await(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		select {
		case err := <-done: // both are ready: the outcome says more
			return err
		default:
			return fmt.Errorf("%w: accepted, not known to be stored: %w", sds.ErrUnknownOutcome, ctx.Err())
		}
	}
}

// take takes the turn.
func (ch *channel) take(ctx context.Context) error {
	select {
	case ch.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (ch *channel) release() { <-ch.turn }

// run commits batch after batch until the queue is empty or a commit fails. It runs on
// the adapter's context: callers that go away end only their wait.
func (ch *channel) run() {
	for {
		ch.turn <- struct{}{}
		err := ch.commitNext(ch.a.work)
		ch.release()
		if !ch.goOn(err) {
			return
		}
	}
}

// goOn settles a run's step: whether there is more to do, or who is told of a failure.
func (ch *channel) goOn(err error) bool {
	ch.mu.Lock()
	if err == nil && len(ch.queue) > 0 {
		ch.failures, ch.retryAt = 0, time.Time{}
		ch.mu.Unlock()
		return true
	}
	ch.running = false
	var behind time.Duration
	if err == nil {
		ch.failures, ch.retryAt = 0, time.Time{}
	} else if !errors.Is(err, sds.ErrFenced) {
		behind = ch.failed(err)
	}
	ch.arm()
	ch.mu.Unlock()
	if f := ch.a.o.OnLag; f != nil && behind > ch.a.o.Lag {
		f(ch.id, behind, err)
	}
	return false
}

// failed tells all who wait that err happened, keeps the work for the next run, and
// returns for how long the oldest has waited. ch.mu is held.
func (ch *channel) failed(err error) (behind time.Duration) {
	now := ch.a.o.Clock.Now()
	ch.failures++
	ch.retryAt = now.Add(backoff(ch.a.o.Lag, ch.failures))
	for _, b := range ch.queue {
		behind = max(behind, now.Sub(b.since))
		tell(b, err)
	}
	return behind
}

// backoff returns how long to wait after so many failures in a row: from the lag up to
// half a minute, spread so that adapters that failed together don't come back together.
func backoff(lag time.Duration, failures int) time.Duration {
	d := min(lag<<min(failures, 5), 30*time.Second)
	return d/2 + mathrand.N(d/2+1) //nolint:gosec // jitter
}

func tell(b *batch, err error) {
	for _, w := range b.waiters {
		w <- err // has room for one, and is told once
	}
	b.waiters = nil
}

// commitNext brings the oldest batch into the store. The turn is held.
func (ch *channel) commitNext(ctx context.Context) error {
	ch.mu.Lock()
	if len(ch.queue) == 0 {
		ch.mu.Unlock()
		return nil
	}
	b, phase := ch.queue[0], ch.phase
	ch.mu.Unlock()

	switch phase {
	case held:
	case unopened:
		if _, err := ch.load(ctx); err != nil {
			return err
		}
	case fenced, uncertain:
		ch.mu.Lock()
		defer ch.mu.Unlock()
		return ch.fail("commit", "", ch.lost())
	}
	resolved, err := ch.resolve(ctx)
	if err != nil {
		return err
	}
	// An attempt that was under way is this batch's: there is never another.
	if !resolved || !b.sealed {
		ch.seal(b, true)
		d := ch.draft(ctx, b)
		if d.dirty {
			if err := ch.send(ctx, d); err != nil {
				if errors.Is(err, sds.ErrTooLarge) {
					ch.seal(b, false) // later work may make it smaller
				}
				return err
			}
		}
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.a.pending.Add(-b.bytes)
	ch.queue = ch.queue[1:]
	tell(b, nil)
	return nil
}

func (ch *channel) seal(b *batch, sealed bool) {
	ch.mu.Lock()
	b.sealed = sealed
	ch.mu.Unlock()
}

// draft makes a draft of what the batch changes. The turn is held.
func (ch *channel) draft(ctx context.Context, b *batch) *draft {
	d := newDraft(ch.state)
	if b.snapshot != nil {
		d.save(*b.snapshot)
	}
	for _, u := range b.updates {
		for _, m := range u.append {
			d.append(m)
		}
		for _, h := range u.evict {
			d.evict(h)
		}
	}
	if d.dirty {
		ch.keepBounded(ctx, d)
	}
	return d
}

const (
	slack    = 128 // how far a log may be longer than twice what is needed of it
	maxMoved = 32  // messages that one commit writes again
)

// keepBounded keeps what a load reads in proportion to what it needs: when the log
// from its start on has become more than twice as long, and slack, as what is
// needed of it, the oldest needed messages are written again at its end. A message that
// can't be read stays where it is: that is for a load to report, and commits go on.
func (ch *channel) keepBounded(ctx context.Context, d *draft) {
	needed := uint64(d.record.Live.Len())
	if d.next-d.start() <= 2*needed+slack {
		return
	}
	l := ch.a.log.Limits(ch.key)
	var oldest []uint64
	for o := range d.record.Live.All() {
		if o >= d.base.head.Next || len(oldest) == min(maxMoved, l.Messages-len(d.messages)) {
			break
		}
		oldest = append(oldest, o)
	}
	if len(oldest) == 0 {
		return
	}
	stored, err := ch.a.log.Messages(ctx, ch.key, oldest)
	if err != nil {
		return // the next commit tries again
	}
	room := l.CommitBytes - headRoom - len(d.snapshot.packed)
	for _, m := range d.messages {
		room -= len(m.ID) + len(m.Body)
	}
	for _, s := range stored {
		m, err := ch.a.stored(s)
		if room -= len(s.ID) + len(s.Body); err != nil || room < 0 {
			continue
		}
		d.move(m)
	}
}

// send commits a draft. The turn is held.
func (ch *channel) send(ctx context.Context, d *draft) error {
	at := &attempt{
		prev:     d.base.head.CommitID,
		head:     d.head(ch.key, ch.a.o.Clock.Now()),
		messages: d.messages,
		draft:    d,
	}
	if len(at.head.Body) > ch.a.log.Limits(ch.key).HeadBytes {
		return ch.fail("commit", "head", sds.ErrTooLarge)
	}
	ch.mu.Lock()
	ch.attempt = at
	ch.mu.Unlock()
	_, err := ch.resolve(ctx)
	return err
}

// resolve sends the attempt, if there is one, until its outcome is known: for the first
// time, or again unchanged. It reports whether there was one. The turn is held.
func (ch *channel) resolve(ctx context.Context) (bool, error) {
	ch.mu.Lock()
	at := ch.attempt
	ch.mu.Unlock()
	if at == nil {
		return false, nil
	}
	err := ch.a.log.Commit(ctx, ch.key, at.prev, at.head, at.messages)
	var conflict *store.ConflictError
	switch {
	case err == nil:
	case errors.Is(err, store.ErrTooLarge):
		ch.settle(nil)
		return true, ch.fail("commit", "", fmt.Errorf("%w: %w", sds.ErrTooLarge, err))
	case !errors.As(err, &conflict):
		return true, ch.fail("commit", "", fmt.Errorf("%w: %w", sds.ErrUnknownOutcome, err))
	case is(conflict.Current, at.head.CommitID): // it had landed before
	case is(conflict.Current, at.prev): // refused although nothing stands against it
		return true, ch.fail("commit", "", fmt.Errorf("%w: %w", sds.ErrUnknownOutcome, err))
	default:
		ch.settle(nil)
		return true, ch.fence(err)
	}
	ch.settle(at)
	return true, nil
}

// is reports whether a head, or its absence, has the commit id.
func is(h *store.Head, id store.CommitID) bool {
	if h == nil {
		return id == store.CommitID{}
	}
	return h.CommitID == id
}

// settle ends the attempt; landed says that it is stored. The turn is held.
func (ch *channel) settle(landed *attempt) {
	if landed != nil {
		ch.state = landed.draft.landed(landed.head)
	}
	ch.mu.Lock()
	ch.attempt = nil
	ch.mu.Unlock()
}

// fence gives up what was accepted: another adapter holds the channel. The turn is held.
func (ch *channel) fence(cause error) error {
	err := ch.fail("commit", "", fmt.Errorf("%w: %w", sds.ErrFenced, cause))
	ch.mu.Lock()
	ch.phase, ch.state = fenced, nil
	ch.abandon(err)
	ch.mu.Unlock()
	if f := ch.a.o.OnFenced; f != nil {
		f(ch.id)
	}
	return err
}

// abandon forgets all accepted work. ch.mu is held.
func (ch *channel) abandon(err error) {
	for _, b := range ch.queue {
		ch.a.pending.Add(-b.bytes)
		tell(b, err)
	}
	if ch.open != nil {
		ch.a.pending.Add(-int64(len(ch.open.snapshot.packed)))
	}
	ch.queue, ch.open, ch.attempt = nil, nil, nil
	ch.stopTimer()
}

// stored turns a message as the log has it into one that can be written again.
func (a *Adapter) stored(s store.Message) (*message, error) {
	plain, _, err := a.codec.OpenMessage(s.Offset, s.ID, s.Body)
	if err != nil {
		return nil, err
	}
	return a.message(plain)
}
