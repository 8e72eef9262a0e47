package sdsaws

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sdsaws/sdsaws/sds"
)

// What accepted work takes in memory beside its encoded bytes, so that many small
// operations count as much as a few large ones: some more than was measured.
const (
	operationOverhead = 256 // an update or a snapshot, its batch, and who waits for it
	messageOverhead   = 256
	evictBytes        = 16 // of a hash
	hintOverhead      = 192
)

// Pending is the accepted work that is not known to be stored: how far an adapter is behind.
type Pending struct {
	Bytes    int64         // in memory, counted as Options.MaxPending does
	Channels int           // that have some of it
	Hints    int           // retrieval hints among it
	Oldest   time.Duration // for how long the oldest of it has waited; 0: there is none
}

// Pending tells how much accepted work waits to be stored, and for how long. It makes no
// request, and looks at each channel that the adapter knows.
func (a *Adapter) Pending() Pending {
	var p Pending
	var oldest time.Time
	note := func(since time.Time) {
		if oldest.IsZero() || since.Before(oldest) {
			oldest = since
		}
	}
	for _, ch := range a.known() {
		ch.mu.Lock()
		if since, ok := ch.oldest(); ok {
			p.Channels++
			note(since)
		}
		ch.mu.Unlock()
	}
	p.Hints = a.hints.eachWaiting(note)
	p.Bytes = a.pending.Load()
	if !oldest.IsZero() {
		p.Oldest = a.o.Clock.Now().Sub(oldest)
	}
	return p
}

// oldest returns since when the channel's oldest accepted work waits. ch.mu is held.
func (ch *channel) oldest() (since time.Time, ok bool) {
	switch {
	case len(ch.queue) > 0:
		return ch.queue[0].since, true
	case ch.open != nil:
		return ch.open.since, true
	default:
		return since, false
	}
}

// count notes that accepted work of the channel takes so many bytes more. ch.mu is held.
func (ch *channel) count(bytes int64) {
	ch.pending += bytes
	ch.a.pending.Add(bytes)
}

// share is how many times what is left free may be taken by one channel, or by the hints:
// four fifths of the memory, when nobody else needs any. So one throttled partition
// leaves room to the others, and so do several. (The dynamic thresholds of Choudhury and
// Hahne, 1998, for the shared memory of switches.)
const share = 4

// reserve counts bytes of work that is about to be accepted by who has accepted own, unless
// they pass the bounds.
func (a *Adapter) reserve(bytes, own int64) bool {
	for {
		pending := a.pending.Load()
		free := a.o.MaxPending - pending - bytes
		if bytes > 0 && (free < 0 || own > 0 && own+bytes > share*free) {
			return false
		}
		if a.pending.CompareAndSwap(pending, pending+bytes) {
			return true
		}
	}
}

// reserveUpdate counts bytes of an update whose snapshot was accepted, so that pairs aren't cut, unless
// the bound is passed already: with what alone fits it, at most twice the bound is reached.
func (a *Adapter) reserveUpdate(bytes int64) bool {
	for {
		pending := a.pending.Load()
		if pending > a.o.MaxPending {
			return false
		}
		if a.pending.CompareAndSwap(pending, pending+bytes) {
			return true
		}
	}
}

// fitsMemory refuses what can't be accepted even when nothing waits.
func (a *Adapter) fitsMemory(bytes int64) error {
	if bytes > a.o.MaxPending {
		return fmt.Errorf("%w: it takes %d bytes of memory, Options.MaxPending is %d", sds.ErrTooLarge, bytes, a.o.MaxPending)
	}
	return nil
}

// errFull says that an operation was refused; overloaded makes an error of it that says why.
var errFull = errors.New("full")

// overloaded returns the error of an operation on a channel of whose work so many bytes
// wait. No lock is held.
func (a *Adapter) overloaded(ofChannel int64) error {
	a.o.Telemetry.refused(a.work)
	return &sds.OverloadedError{
		Pending: a.pending.Load(), Limit: a.o.MaxPending, Channel: ofChannel, Behind: a.relief.look(a)}
}

// relief is what is done about overload, at most once a second: many operations may be
// refused at once, and each channel is looked at.
type relief struct {
	mu     sync.Mutex // protects what follows; the adapter's and the channels' are taken after it
	at     time.Time
	oldest time.Time // of accepted work, as of then
}

const reliefPause = time.Second

// look returns for how long the oldest work has waited. Work that still waits for its lag
// to be over is sent on its way.
func (r *relief) look(a *Adapter) time.Duration {
	now := a.o.Clock.Now()
	r.mu.Lock()
	looked := r.at.IsZero() || now.Sub(r.at) >= reliefPause
	var p Pending
	if looked {
		p = a.Pending()
		r.at, r.oldest = now, now.Add(-p.Oldest)
		for _, ch := range a.known() {
			ch.mu.Lock()
			if len(ch.queue) > 0 {
				ch.kickLater()
			}
			ch.mu.Unlock()
		}
	}
	behind := now.Sub(r.oldest)
	r.mu.Unlock()
	if looked {
		a.o.Telemetry.overloaded(a.work, p, a.o.MaxPending)
	}
	return behind
}

// places bounds how many commits are under way at once, over all channels.
type places struct {
	all chan struct{}

	// again is a quarter of them, and taken first: more can't be had by channels whose last
	// commit has failed. So those that are throttled leave places to the others, and don't
	// come back all at once.
	again chan struct{}

	leaveAll func()
}

func (p *places) init(n int) {
	p.all, p.again = make(chan struct{}, n), make(chan struct{}, max(1, n/4))
	p.leaveAll = func() { <-p.all }
}

// placePatience is how long a commit waits for a place. Then who waits for the commit
// is told, and it is tried again later.
const placePatience = 30 * time.Second

var errNoPlace = errors.New("as many commits as may be are under way, see Options.MaxInFlight")

// enter waits for a place and returns what leaves it. A place is held for requests alone:
// who holds one waits for a channel's turn, and never the other way round.
func (p *places) enter(ctx context.Context, again bool) (leave func(), err error) {
	leave = p.leaveAll
	if !again {
		select {
		case p.all <- struct{}{}:
			return leave, nil
		default: // a wait needs a timer
		}
	}
	patient, stop := context.WithTimeout(ctx, placePatience)
	defer stop()
	if again {
		if !put(patient, p.again) {
			return nil, noPlace(ctx)
		}
		leave = func() { <-p.all; <-p.again }
	}
	if put(patient, p.all) {
		return leave, nil
	}
	if again {
		<-p.again
	}
	return nil, noPlace(ctx)
}

func put(ctx context.Context, into chan<- struct{}) bool {
	select {
	case into <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func noPlace(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return fmt.Errorf("%w: not stored yet: %w", sds.ErrUnknownOutcome, errNoPlace)
}

// Release stores what was accepted for a channel and forgets what is known of it, to have
// its memory back: what stays is its id and some 500 bytes. It writes nothing else. An
// operation after it loads, and so claims, the channel again. What is accepted meanwhile is
// kept. A channel that was fenced, or one whose load has failed half-way, stays so. Errors
// are those of Flush, and then the channel is as before.
func (a *Adapter) Release(ctx context.Context, channelID string) error {
	if err := a.checkChannel(ctx, channelID); err != nil {
		return &sds.ChannelError{Op: "release", Channel: channelID, Err: err}
	}
	a.mu.Lock()
	ch := a.channels[channelID]
	a.mu.Unlock()
	if ch == nil {
		return nil
	}
	if ch.mustLoad() {
		return nil // nothing is known of it
	}
	if err := ch.flush(ctx); err != nil {
		return err
	}
	ch.awaitBackground(ctx)
	if err := ch.takeSettled(ctx, "release"); err != nil {
		return err
	}
	defer ch.release()
	ch.keepFrame(nil)
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.phase == held {
		ch.phase, ch.state = unopened, nil
	}
	return nil
}
