package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// sweeper sweeps the channels of all namespaces, as far as an invocation's time goes, and goes on
// from there with the next. Namespaces take turns, so that a large one doesn't keep the others
// waiting; the one whose turn was longest ago begins.
type sweeper struct {
	namespaces []string // none: all that there are
	listing    listing
	rounds     rounds
	open       func(namespace string) (channelSweeper, error)
	workers    int    // namespaces at once
	function   string // its name

	log     *slog.Logger
	metrics io.Writer
	now     func() time.Time
}

// listing lists namespaces and their channels; *dynamo.Log has it.
type listing interface {
	Namespaces(ctx context.Context) iter.Seq2[string, error]
	ChannelsAfter(ctx context.Context, namespace, place string) iter.Seq2[dynamo.Listed, error]
}

// rounds keeps how far sweepers have come; *dynamo.Rounds has it.
type rounds interface {
	Load(ctx context.Context) (map[string]dynamo.Round, error)
	Save(ctx context.Context, round dynamo.Round) (dynamo.Round, error)
	Remove(ctx context.Context, round dynamo.Round) error
}

// channelSweeper sweeps channels of one namespace; *sdsaws.Adapter has it.
type channelSweeper interface {
	Sweep(ctx context.Context, channel string, o *sdsaws.SweepOptions) (sdsaws.Swept, error)
	Close(ctx context.Context) error
}

var (
	_ listing        = (*dynamo.Log)(nil)
	_ rounds         = (*dynamo.Rounds)(nil)
	_ channelSweeper = (*sdsaws.Adapter)(nil)
)

const (
	// turnTime is for how long a namespace is swept until another's turn comes.
	turnTime = 10 * time.Second

	// channelTime is for how long one channel is swept at most. Each segment that is done stays
	// so, and the channel goes on with the next round.
	channelTime = 2 * time.Minute

	// margin is what is left of the invocation's time for saving how far it came, and to answer.
	margin = 10 * time.Second
)

// handle is one invocation. Its error says that something failed, when all else is done.
func (s *sweeper) handle(ctx context.Context) (report, error) {
	inv := &invocation{sweeper: s, ctx: ctx, channelTime: channelTime}
	work := ctx
	if deadline, ok := ctx.Deadline(); ok {
		left := deadline.Sub(s.now())
		var stop context.CancelFunc
		work, stop = context.WithDeadline(ctx, deadline.Add(-min(margin, left/4)))
		defer stop()
		inv.channelTime = min(channelTime, left/2)
	}
	inv.sweepAll(work)
	if err := inv.emit(s.metrics, s.now()); err != nil {
		inv.failed("", "metrics can't be written", err)
	}
	return inv.report, inv.err()
}

// invocation is one invocation at work.
type invocation struct {
	*sweeper
	ctx         context.Context // ends with the invocation's time
	channelTime time.Duration

	mu     sync.Mutex // protects what follows; nothing waits while it is held
	report report
	first  error                // of the failures
	since  map[string]time.Time // since when each channel of a namespace was taken; nil: unknown

	lag      uint64
	lagKnown bool // of one channel at least
}

func (i *invocation) sweepAll(work context.Context) {
	names, whole, ok := i.names(work)
	if !ok {
		return
	}
	known, err := i.rounds.Load(work)
	if err != nil {
		i.failed("", "it can't be read how far the last invocation came", err)
		return
	}
	if whole {
		i.removeOthers(work, known, names)
	}
	queue := make(chan dynamo.Round, len(names)) // each is in it or has its turn
	var all []dynamo.Round
	i.since = map[string]time.Time{}
	for _, name := range names {
		r := known[name]
		r.Namespace = name
		all = append(all, r)
		i.since[name] = r.Since
	}
	slices.SortStableFunc(all, func(a, b dynamo.Round) int { return a.Turn.Compare(b.Turn) })
	var left, workers sync.WaitGroup
	for _, r := range all {
		left.Add(1)
		queue <- r
	}
	for range i.workers {
		workers.Go(func() {
			for r := range queue {
				if r, again := i.turn(work, r); again {
					queue <- r
				} else {
					left.Done()
				}
			}
		})
	}
	left.Wait()
	close(queue)
	workers.Wait()
}

// names returns the namespaces to sweep, each once, and whether they are all that there are.
func (i *invocation) names(ctx context.Context) (names []string, whole, ok bool) {
	if len(i.namespaces) > 0 {
		return slices.Compact(slices.Sorted(slices.Values(i.namespaces))), false, true
	}
	whole = true
	for name, err := range i.listing.Namespaces(ctx) {
		if err != nil {
			i.failed("", "namespaces can't be listed", err)
			if !errors.Is(err, store.ErrMalformed) {
				return nil, false, false
			}
			whole = false
			continue
		}
		names = append(names, name)
	}
	return names, whole, true
}

// maxRemoved bounds how many rounds an invocation removes, before it sweeps.
const maxRemoved = 100

// removeOthers removes rounds of namespaces that have no channels any more. If they have some again,
// nothing was unswept in between.
func (i *invocation) removeOthers(work context.Context, known map[string]dynamo.Round, names []string) {
	listed := map[string]bool{}
	for _, name := range names {
		listed[name] = true
	}
	removed := 0
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if listed[name] {
			continue
		}
		if removed++; removed > maxRemoved || work.Err() != nil {
			return // the next invocation goes on
		}
		// A conflict: a sweeper that has the namespace in its list is at it.
		if err := i.rounds.Remove(work, known[name]); err != nil && !errors.Is(err, store.ErrConflict) {
			i.failed(name, "it can't be forgotten how far it came", err)
		}
	}
}

// turn sweeps channels of a namespace for a while, from where the last turn ended. It reports
// whether there are more, and time for them.
func (i *invocation) turn(work context.Context, r dynamo.Round) (_ dynamo.Round, again bool) {
	if work.Err() != nil {
		return r, false
	}
	began := i.now()
	if r.After == "" {
		r.Began = began
		if r.Since.IsZero() {
			r.Since = began
		}
	}
	a, err := i.open(r.Namespace)
	if err != nil {
		i.failed(r.Namespace, "it can't be swept", err)
		return r, false
	}
	defer a.Close(i.ctx) // it has accepted nothing
	ended, unlisted := i.channels(work, a, &r, began.Add(turnTime))
	if unlisted != nil {
		i.failed(r.Namespace, "its channels can't be listed", unlisted)
	}
	if ended {
		r.After, r.Since = "", r.Began
	}
	r.Turn = i.now()
	saved, err := i.rounds.Save(i.ctx, r)
	switch {
	case errors.Is(err, store.ErrConflict):
		i.log.Info("another sweeper is at this namespace", "namespace", strconv.Quote(r.Namespace))
		return r, false
	case err != nil:
		i.failed(r.Namespace, "it can't be saved how far it came", err)
		return r, false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.since[r.Namespace] = r.Since
	if ended {
		i.report.Namespaces++
	}
	return saved, !ended && work.Err() == nil && unlisted == nil
}

// channels sweeps channels until a time, and moves the round on. It reports whether the round
// has ended; the error is of the listing.
func (i *invocation) channels(work context.Context, a channelSweeper, r *dynamo.Round, until time.Time) (bool, error) {
	for listed, err := range i.listing.ChannelsAfter(work, r.Namespace, r.After) {
		switch {
		case work.Err() != nil:
			return false, nil
		case errors.Is(err, store.ErrMalformed):
			i.failed(r.Namespace, "a channel has no name", err)
		case err != nil:
			return false, err
		default:
			i.sweep(work, a, r.Namespace, listed.Channel)
		}
		if work.Err() != nil { // perhaps in its midst: the next invocation begins with it
			return false, nil
		}
		if r.After = listed.Place; !i.now().Before(until) {
			return false, nil
		}
	}
	return true, nil
}

// sweep sweeps one channel.
func (i *invocation) sweep(work context.Context, a channelSweeper, namespace, channel string) {
	ctx, stop := context.WithTimeout(work, i.channelTime)
	defer stop()
	swept, err := a.Sweep(ctx, channel, &sdsaws.SweepOptions{OnlyDue: true})
	switch {
	case work.Err() != nil && err != nil: // broken off
	case errors.Is(err, sds.ErrElsewhere): // its home's sweeper does it
	case err != nil && ctx.Err() != nil:
		i.log.Warn("a channel takes long: it goes on with the next round",
			"namespace", strconv.Quote(namespace), "error", err.Error())
	case err != nil:
		i.failed(namespace, "a channel can't be swept", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lag = max(i.lag, swept.Waiting)
	i.lagKnown = i.lagKnown || err == nil || swept.Waiting > 0
	i.report.add(swept)
	switch {
	case err == nil:
		i.report.Channels++
	case errors.Is(err, sds.ErrElsewhere):
		i.report.Elsewhere++
	}
}

// maxLogged bounds how many failures are logged: each channel may have one.
const maxLogged = 100

// failed counts a failure and logs it. Errors hold no content, and ids quoted.
func (i *invocation) failed(namespace, what string, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.report.Failures++
	i.first = cmp.Or(i.first, fmt.Errorf("%s: %w", what, err))
	switch n := i.report.Failures; {
	case n <= maxLogged:
		i.log.Error(what, "namespace", strconv.Quote(namespace), "error", err.Error())
	case n == maxLogged+1:
		i.log.Error("more failures are counted and not logged")
	}
}

// err returns the error of the invocation.
func (i *invocation) err() error {
	if i.report.Failures == 0 {
		return nil
	}
	return fmt.Errorf("sweeper: %d failures, %d channels swept; the first: %w", i.report.Failures, i.report.Channels, i.first)
}
