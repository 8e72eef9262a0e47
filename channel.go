package sdsaws

import (
	"container/list"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// ref is a channel by name. Its methods read and tidy what is stored of it, whoever
// holds it, and need no turn.
type ref struct {
	a   *Adapter
	id  string
	key store.Key
}

func (a *Adapter) ref(id string) ref {
	return ref{a, id, store.Key{Namespace: a.o.Namespace, Channel: id}}
}

func (r ref) fail(op, item string, err error) error {
	return &sds.ChannelError{Op: op, Channel: r.id, Item: item, Err: err}
}

// phase says what an adapter may do with a channel.
type phase int

const (
	unopened  phase = iota // nothing known: the first write loads, and so claims
	held                   // claimed: state is what is stored
	fenced                 // it was lost, and why says how: only a load goes on from here
	uncertain              // a load failed when it had begun to claim: likewise
)

// channel is what an adapter knows of one channel and has accepted for it.
//
// Who holds the turn may make requests for the channel and owns state; the turn is
// taken before mu. The rest is under mu, which is never held during a request.
type channel struct {
	ref
	turn  chan struct{}         // of capacity 1; whoever put the value in holds the turn
	state *state                // valid when held
	frame atomic.Pointer[frame] // of state, or nil

	limits store.Limits // of the log

	framed *list.Element // under the mu of the adapter's frames

	mu       sync.Mutex
	phase    phase
	why      error    // of phase fenced: ErrFenced, ErrForked or ErrElsewhere
	open     *opened  // the snapshot that waits for its UpdateHistory
	queue    []*batch // accepted and not known to be stored, oldest first
	attempt  *attempt // sent, outcome unknown
	running  bool     // a run is under way and will look at the queue again
	closed   bool
	timer    Timer
	failures int       // runs that failed since one succeeded
	retryAt  time.Time // not before, after a failure
	pending  int64     // bytes of accepted work
	backlog  backlog
	trash    trash

	noLarge time.Time // until then large messages aren't moved: the archive has failed
}

type opened struct {
	snapshot *saved
	since    time.Time
}

// update is an encoded HistoryUpdate, inspected and copied.
type update struct {
	append []*message
	evict  []idHash
}

// batch is accepted work that goes into one commit: whole pairs, in their order. Work
// that comes later is merged into it as long as it isn't sealed and all fits.
type batch struct {
	snapshot *saved // the latest one
	updates  []update
	messages int   // of all updates
	bytes    int64 // of snapshot and messages, in memory
	stored   int   // of messages, in the log at most
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
	batch    *batch // nil: none
}

func newCommitID() (id store.CommitID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

func newChannel(a *Adapter, id string) *channel {
	r := a.ref(id)
	return &channel{ref: r, turn: make(chan struct{}, 1), limits: a.log.Limits(r.key)}
}

// lost returns the error of operations on a channel that must be loaded first, or nil.
// ch.mu is held.
func (ch *channel) lost() error {
	switch ch.phase {
	case fenced:
		return ch.why
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
// as a whole pair, it is queued. A non-nil waiter is told when it is stored; mine says that
// nobody else sees to that: who waits calls serve.
func (ch *channel) accept(s *saved, u *update, waiter chan<- error) (mine bool, err error) {
	b := &batch{since: ch.a.o.Clock.Now(), snapshot: s}
	if s != nil {
		b.bytes = s.bytes
	}
	if u != nil {
		b.updates, b.messages = []update{*u}, len(u.append)
		b.bytes += operationOverhead + evictBytes*int64(len(u.evict))
		inline := ch.a.inline(ch.limits)
		for _, m := range u.append {
			b.bytes += int64(m.size())
			b.stored += m.stored(inline)
		}
	}
	if err := ch.fits(b); err != nil {
		return false, err
	}
	ch.mu.Lock()
	mine, err = ch.admit(b, waiter)
	waiting := ch.pending
	ch.mu.Unlock()
	if errors.Is(err, errFull) {
		return false, ch.a.overloaded(waiting)
	}
	return mine, err
}

// admit is accept for a batch that fits. It returns errFull when there is no room for
// it. ch.mu is held.
func (ch *channel) admit(b *batch, waiter chan<- error) (mine bool, err error) {
	if ch.closed || ch.a.closed.Load() {
		return false, sds.ErrClosed
	}
	if err := ch.lost(); err != nil {
		return false, err
	}
	paired := b.snapshot == nil && ch.open != nil
	if paired && !ch.a.reserveUpdate(b.bytes) || !paired && !ch.a.reserve(b.bytes, ch.pending) {
		return false, errFull
	}
	ch.pending += b.bytes
	switch {
	case b.updates == nil:
		ch.enqueueOpen()
		ch.open = &opened{b.snapshot, b.since}
	case paired:
		b.snapshot, b.since = ch.open.snapshot, ch.open.since
		b.bytes += b.snapshot.bytes
		ch.open = nil
		ch.enqueue(b)
	default:
		ch.enqueueOpen()
		ch.enqueue(b)
	}
	if waiter != nil {
		tail := ch.queue[len(ch.queue)-1]
		tail.waiters = append(tail.waiters, waiter)
		if mine = ch.calm(); mine {
			ch.running = true
			ch.a.runs.Add(1) // until serve has returned
		} else {
			ch.kick()
		}
	} else if len(ch.queue) > 1 {
		ch.kickLater()
	}
	ch.arm()
	return mine, nil
}

// calm reports whether the batch in the queue is the only work there is, and nothing has to be
// settled before it. ch.mu is held.
func (ch *channel) calm() bool {
	return ch.phase == held && !ch.running && len(ch.queue) == 1 && ch.attempt == nil && ch.failures == 0
}

// known returns messages that are likely to come again: those of the latest snapshot.
func (ch *channel) known() *known {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.open != nil {
		return &known{all: ch.open.snapshot.messages}
	}
	if f := ch.frame.Load(); f != nil && f.saved != nil {
		return &known{all: f.saved.messages}
	}
	return nil
}

// fits refuses what can't be stored: an id that leaves no room in its item, or what takes
// more memory than there may be.
func (ch *channel) fits(b *batch) error {
	if err := ch.a.fitsMemory(b.bytes); err != nil {
		return err
	}
	for _, u := range b.updates {
		for i, m := range u.append {
			if err := ch.fitsItem(m); err != nil {
				return fmt.Errorf("appended message %d: %w", i, err)
			}
		}
	}
	if b.snapshot != nil {
		for i, m := range b.snapshot.messages {
			if err := ch.fitsItem(m); err != nil {
				return fmt.Errorf("message %d of the snapshot: %w", i, err)
			}
		}
	}
	return nil
}

// fitsItem refuses a message whose id leaves no room in its item for a reference to the rest.
func (ch *channel) fitsItem(m *message) error {
	room := ch.limits.MessageBytes - record.MaxValueRef
	if len(m.plain) <= room { // its id is shorter
		return nil
	}
	info, err := sds.InspectMessage(m.plain)
	if err == nil && len(info.MessageID) > room {
		err = fmt.Errorf("its id has %d bytes, an item holds %d: %w", len(info.MessageID), room, sds.ErrTooLarge)
	}
	return err
}

// inline returns from which size on a packed value goes to the archive.
func (a *Adapter) inline(l store.Limits) int {
	return min(a.o.InlineBytes, l.HeadBytes-headRoom, l.MessageBytes/2)
}

// headRoom is kept free in a head, beside its snapshot, for the sets of offsets.
const headRoom = 8 << 10

// enqueueOpen queues the open snapshot by itself. ch.mu is held.
func (ch *channel) enqueueOpen() {
	if o := ch.open; o != nil {
		ch.open = nil
		ch.enqueue(&batch{snapshot: o.snapshot, since: o.since, bytes: o.snapshot.bytes})
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
	l := ch.limits
	bytes := into.bytes + b.bytes
	if into.snapshot != nil && b.snapshot != nil {
		bytes -= into.snapshot.bytes // the newer one replaces it
	}
	if into.messages+b.messages > l.Messages || into.stored+b.stored > l.CommitBytes-headRoom-ch.a.inline(l) {
		return false
	}
	into.stored += b.stored
	ch.count(bytes - into.bytes - b.bytes)
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
		ch.a.spawn(ch.run)
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
			return unsettled(ctx.Err())
		}
	}
}

// unsettled says that what was accepted isn't known to be stored, and why.
func unsettled(cause error) error {
	return fmt.Errorf("%w: accepted, not known to be stored: %w", sds.ErrUnknownOutcome, cause)
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

// takeSettled takes the turn and settles what is under way, so that another commit can be
// built. It reports errors of op.
func (ch *channel) takeSettled(ctx context.Context, op string) error {
	if err := ch.take(ctx); err != nil {
		return ch.fail(op, "", err)
	}
	if err := ch.resolve(ctx); err != nil {
		ch.release()
		return err
	}
	return nil
}

// serve commits the one batch in the queue in the goroutine of who waits for it: to hand it
// to another and back takes longer than to prepare the commit. When ctx ends first, the request
// is broken off, and a run sends it again, unchanged. What came meanwhile is a run's too.
func (ch *channel) serve(ctx context.Context) {
	more := true // also after a panic
	defer func() {
		if more {
			ch.a.spawn(ch.run)
		}
		ch.a.runs.Done()
	}()
	both, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(ch.a.work, stop)()
	err := ch.step(both)
	more = err != nil && ctx.Err() != nil || ch.goOn(err)
	if !more && ch.hasTrash() {
		ch.a.spawn(ch.tidy)
	}
}

// run commits batch after batch until the queue is empty or a commit fails. It runs on
// the adapter's context: callers that go away end only their wait.
func (ch *channel) run() {
	for ch.goOn(ch.step(ch.a.work)) {
	}
	ch.tidy()
}

// tidy deletes what commits have left behind.
func (ch *channel) tidy() {
	if !ch.hasTrash() {
		return
	}
	if leave, err := ch.a.places.enter(ch.a.work, false); err == nil { // else it is for a later run
		ch.emptyTrash(ch.a.work)
		leave()
	}
}

// step commits one batch when it has a place and the turn.
func (ch *channel) step(ctx context.Context) error {
	ch.mu.Lock()
	again := ch.failures > 0
	ch.mu.Unlock()
	leave, err := ch.a.places.enter(ctx, again)
	if err != nil {
		return ch.fail("commit", "", unsettled(err))
	}
	defer leave()
	if err := ch.take(ctx); err != nil {
		return ch.fail("commit", "", unsettled(err))
	}
	defer ch.release()
	return ch.commitNext(ctx)
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
	} else if ch.phase != fenced { // else all were told when it was lost
		behind = ch.failed(err)
	}
	ch.arm()
	lost := ch.phase == fenced
	ch.mu.Unlock()
	if err != nil && !lost {
		ch.a.o.Telemetry.kept(ch.a.work, ch.id, behind, err)
	}
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

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 30 * time.Second
)

// backoff returns how long to wait after so many failures in a row: twice the lag at first,
// which counts as 100 ms at least, up to half a minute, spread so that channels and adapters
// that failed together don't come back together.
func backoff(lag time.Duration, failures int) time.Duration {
	d := min(max(lag, minBackoff), maxBackoff)
	d = min(d<<min(failures, 5), maxBackoff)
	return d/2 + mathrand.N(d/2+1) //nolint:gosec // jitter
}

func tell(b *batch, err error) {
	for _, w := range b.waiters {
		w <- err // has room for one, and is told once
	}
	b.waiters = nil
}

// commitNext settles what is under way, then brings the oldest batch into the store. The
// turn is held.
func (ch *channel) commitNext(ctx context.Context) error {
	if err := ch.resolve(ctx); err != nil {
		return err
	}
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
			if errors.Is(err, sds.ErrElsewhere) {
				ch.giveUp(sds.ErrElsewhere, err)
			}
			return err
		}
	case fenced, uncertain:
		ch.mu.Lock()
		defer ch.mu.Unlock()
		return ch.fail("commit", "", ch.lost())
	}
	ch.seal(b, true)
	err := ch.commit(ctx, b)
	if err != nil {
		ch.seal(b, false) // later work may make it smaller, unless it is under way
	}
	return err
}

func (ch *channel) commit(ctx context.Context, b *batch) error {
	d, err := ch.draft(ctx, b, true)
	if err == nil && d.movedLarge && ch.uploadMoved(ctx, d) != nil {
		d, err = ch.draft(ctx, b, false)
	}
	if err != nil {
		return ch.fail("commit", "", err)
	}
	if d.dirty {
		return ch.send(ctx, d, b)
	}
	ch.noteBacklog()
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.done(b)
	return nil
}

// done takes b, which is stored, out of the queue. ch.mu is held.
func (ch *channel) done(b *batch) {
	if len(ch.queue) > 0 && ch.queue[0] == b {
		ch.count(-b.bytes)
		ch.queue[0] = nil // or the array would keep it
		ch.queue = ch.queue[1:]
		tell(b, nil)
	}
}

// seal says that nothing may be merged into b any more, or again. What is under way stays
// sealed.
func (ch *channel) seal(b *batch, sealed bool) {
	ch.mu.Lock()
	b.sealed = sealed || ch.attempt != nil && ch.attempt.batch == b
	ch.mu.Unlock()
}

// draft makes a draft of what the batch changes, and with large also moves large messages
// where that keeps the log bounded. The turn is held.
func (ch *channel) draft(ctx context.Context, b *batch, large bool) (*draft, error) {
	d := ch.newDraft()
	d.record.Trim(ch.archivedSoFar(ctx))
	if b.snapshot != nil {
		if err := d.save(b.snapshot); err != nil {
			return nil, err
		}
	}
	for _, u := range b.updates {
		for _, m := range u.append {
			if err := d.append(m); err != nil {
				return nil, err
			}
		}
		for _, h := range u.evict {
			d.evict(h)
		}
	}
	if !d.dirty {
		return d, nil
	}
	ch.keepBounded(ctx, d, large)
	return d, d.pack()
}

// newDraft returns a draft that changes nothing yet. The turn is held.
func (ch *channel) newDraft() *draft {
	return newDraft(ch.a, ch.limits, ch.state, ch.frame.Load())
}

// send commits a draft: first what goes to the archive, then what passes one commit, then
// the commit. Of which batch it is, is nil for one of the channel's own. The turn is held.
func (ch *channel) send(ctx context.Context, d *draft, b *batch) error {
	if err := ch.upload(ctx, d); err != nil {
		ch.discard(d.uploaded...)
		return ch.fail("commit", "", err)
	}
	head := d.head(ch.key, ch.a.o.Clock.Now())
	if len(head.Body) > ch.limits.HeadBytes {
		ch.discard(d.uploaded...)
		return ch.fail("commit", "head", sds.ErrTooLarge)
	}
	if err := ch.stage(ctx, d); err != nil {
		return err
	}
	at := &attempt{
		prev:     d.base.head.CommitID,
		head:     head,
		messages: d.messages,
		draft:    d,
		batch:    b,
	}
	ch.mu.Lock()
	ch.attempt = at
	ch.mu.Unlock()
	return ch.resolve(ctx)
}

// resolve sends the attempt, if there is one, until its outcome is known: for the first
// time, or again unchanged. Whoever takes the turn to write does so first. The turn is held.
func (ch *channel) resolve(ctx context.Context) error {
	ch.mu.Lock()
	at := ch.attempt
	ch.mu.Unlock()
	if at == nil {
		return nil
	}
	sent, answered := ch.a.o.Telemetry.committing(ctx, ch, at)
	err := ch.a.log.Commit(sent, ch.key, at.prev, at.head, at.messages)
	answered(err)
	if err == nil {
		ch.landed(ctx, at)
		return nil
	}
	var conflict *store.ConflictError
	switch {
	case errors.Is(err, store.ErrTooLarge):
		ch.settle(nil)
		ch.discard(at.draft.uploaded...)
		return ch.fail("commit", "", fmt.Errorf("%w: %w", sds.ErrTooLarge, err))
	case !errors.As(err, &conflict):
		return ch.fail("commit", "", fmt.Errorf("%w: %w", sds.ErrUnknownOutcome, err))
	case is(conflict.Current, at.head.CommitID): // it had landed before
	case is(conflict.Current, at.prev): // refused although nothing stands against it
		return ch.fail("commit", "", fmt.Errorf("%w: %w", sds.ErrUnknownOutcome, err))
	default:
		// It may have landed before the other claimed, so what was put for it stays: a sweep
		// can tell.
		ch.settle(nil)
		return ch.fence("commit", err, at.head.Epoch)
	}
	ch.landed(ctx, at)
	return nil
}

// landed settles an attempt that is stored. The turn is held.
func (ch *channel) landed(ctx context.Context, at *attempt) {
	// Before anybody is told, so that a Flush that follows deletes it.
	if old := at.draft.base.snapshot.value; old != nil && old != at.draft.snapshot.value {
		ch.discard(ch.valueObject(old))
	}
	ch.a.o.Telemetry.stored(ctx, at, ch.a.o.Clock.Now())
	ch.settle(at)
}

// stage writes messages that pass the limits of one commit before it, where no reader
// looks until the head takes them in.
func (ch *channel) stage(ctx context.Context, d *draft) error {
	l := ch.limits
	limit := l.CommitBytes - headRoom - d.inline
	if total, n := fit(d.messages, math.MaxInt, l.Messages); n == len(d.messages) && total <= limit {
		return nil
	}
	for len(d.messages) > 0 {
		_, n := fit(d.messages, limit, l.Messages)
		err := ch.a.log.Stage(ctx, ch.key, d.base.head.CommitID, d.messages[:n])
		if err != nil {
			ch.discard(d.uploaded...)
		}
		switch {
		case errors.Is(err, store.ErrConflict):
			return ch.fence("commit", err, d.base.head.Epoch)
		case err != nil:
			ch.state.skip = d.next
			return ch.fail("commit", "staged messages", err)
		}
		d.messages = d.messages[n:]
	}
	return nil
}

// fit returns how many of the messages, and of how many bytes, fit together; at least one.
func fit(messages []store.Message, bytes, count int) (total, n int) {
	for n < min(len(messages), count) {
		size := len(messages[n].ID) + len(messages[n].Body)
		if n > 0 && total+size > bytes {
			break
		}
		total += size
		n++
	}
	return total, n
}

// is reports whether a head, or its absence, has the commit id.
func is(h *store.Head, id store.CommitID) bool {
	if h == nil {
		return id == store.CommitID{}
	}
	return h.CommitID == id
}

// stillHeld reads the head, and fences this adapter when the channel isn't its any more, as st has
// it. It reports errors of op. The turn is held.
func (ch *channel) stillHeld(ctx context.Context, op string, st *state) (*store.Head, error) {
	head, err := ch.a.log.Head(ctx, ch.key)
	if err != nil {
		return nil, ch.fail(op, "head", err)
	}
	if !is(head, st.head.CommitID) {
		return nil, ch.fence(op, &store.ConflictError{Current: head}, st.head.Epoch)
	}
	return head, nil
}

// settle ends the attempt; landed says that it is stored. The turn is held.
func (ch *channel) settle(landed *attempt) {
	if landed != nil {
		ch.state = landed.draft.landed(landed.head)
		f := landed.draft.frame
		if landed.batch != nil {
			f = f.holding(landed.batch.snapshot)
		}
		ch.keepFrame(f)
		if landed.batch != nil {
			ch.noteBacklog() // before anybody is told, so that a Flush that follows awaits it
		}
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.attempt = nil
	if landed != nil {
		ch.phase = held
		ch.done(landed.batch)
	}
}

// fence gives up what was accepted: another adapter holds the channel, or has replaced what
// this one wrote under its epoch. It returns the error of op. The turn is held.
func (ch *channel) fence(op string, cause error, epoch uint64) error {
	why := sds.ErrFenced
	var conflict *store.ConflictError
	if errors.As(cause, &conflict) && ch.a.forked(conflict.Current, epoch) {
		why = sds.ErrForked
	}
	err := ch.fail(op, "", fmt.Errorf("%w: %w", why, cause))
	ch.giveUp(why, err)
	return err
}

// giveUp gives up what was accepted, and tells who waits for it err. Until the channel is
// loaded its operations fail with why. The turn is held.
func (ch *channel) giveUp(why, err error) {
	ch.mu.Lock()
	ch.phase, ch.why, ch.state = fenced, why, nil
	ch.mu.Unlock()
	ch.a.o.Telemetry.lost(ch.a.work, ch.id, why)
	defer func() { // when OnFenced panics too: nobody else would tell who waits
		ch.mu.Lock()
		ch.abandon(err)
		ch.mu.Unlock()
	}()
	if f := ch.a.o.OnFenced; f != nil {
		f(ch.id) // before anybody else is told, so that who gets ErrFenced knows that it was called
	}
}

// abandon forgets all accepted work. ch.mu is held.
func (ch *channel) abandon(err error) {
	for _, b := range ch.queue {
		tell(b, err)
	}
	ch.count(-ch.pending)
	ch.queue, ch.open, ch.attempt = nil, nil, nil
	ch.stopTimer()
}
