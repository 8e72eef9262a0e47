package ordeal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

// play is one run of the scenario in a namespace of its own.
type play struct {
	ctx       context.Context
	site      Site
	namespace string
	steps     []step
	c         *trial // nil: without faults
	clock     clock

	w        *worker           // who does the steps
	errors   int               // that steps have returned
	hintsNow map[string]string // what the step under way sets

	frozen  chan struct{}  // closed when the processes freeze
	thaw    chan struct{}  // closed when they go on
	zombies sync.WaitGroup // steps of processes that were frozen

	mu         sync.Mutex // protects what follows
	now        int        // the step under way
	count      map[string]int
	hit        bool            // the fault has happened
	killed     bool            // or frozen, and nobody has been started again yet
	after      int             // requests since the fault
	woken      bool            // what was held back is done
	where      map[request]int // the steps of requests, without faults
	processes  []*process
	channels   map[string]*channel
	hints      map[string]string
	unsure     map[string]bool // hints that may be there or not, until they are looked at
	trail      []string
	violations []string
}

// channel is what is known of a channel.
type channel struct {
	possible []*state        // what may be stored; the first is what was reported stored
	before   []*state        // the same before another process changed it, within the step under way
	doomed   map[string]bool // the ids of messages that a drop under way removes
}

func (c *channel) last() *state { return c.possible[len(c.possible)-1] }

// errViolated ends a play.
var errViolated = errors.New("a promise is broken")

func newPlay(ctx context.Context, site Site, namespace string, c *trial) *play {
	p := &play{
		ctx: ctx, site: site, namespace: namespace, steps: scenario(), c: c,
		frozen: make(chan struct{}), thaw: make(chan struct{}), where: map[request]int{},
		count: map[string]int{}, channels: map[string]*channel{}, hints: map[string]string{}, unsure: map[string]bool{},
	}
	p.clock.now = time.Unix(1_800_000_000, 0)
	return p
}

// note adds to the trail. p.mu is held.
func (p *play) note(format string, x ...any) { p.trail = append(p.trail, fmt.Sprintf(format, x...)) }

func (p *play) say(format string, x ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(format, x...)
}

// violate notes that a promise is broken.
func (p *play) violate(format string, x ...any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.violations = append(p.violations, fmt.Sprintf(format, x...))
	return errViolated
}

// run plays all steps, and judges what is left.
func (p *play) run() {
	defer p.wake()
	p.w = &worker{p: p, main: p.start(sdsaws.Committed), frozen: p.frozen}
	for i := range p.steps {
		if p.step(i) != nil {
			return
		}
	}
	if p.c != nil && !p.hit {
		_ = p.violate("the request was not made: the scenario isn't the same each time")
		return
	}
	if p.c == nil || p.c.wakes != afterDrops {
		p.wake()
	}
	_ = p.judge()
}

// step does a step, and again after an error or a kill, as a participant would.
func (p *play) step(i int) error {
	before := p.requests()
	for {
		err := p.try(i)
		killed := p.wasKilled()
		if err == nil && !killed {
			break
		}
		if errors.Is(err, errViolated) {
			return err
		}
		if err := p.goOn(i, err); err != nil {
			return err
		}
		if !killed && p.c.carries && !errors.Is(err, sds.ErrFenced) {
			break // what was accepted stays so, and comes with the next commit
		}
		if killed && p.skip(i) {
			break
		}
	}
	if n := p.requests() - before; p.c == nil && p.steps[i].free && n > 0 {
		return p.violate("step %d, %s, makes %d requests, and needs none", i+1, p.steps[i].name, n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.violations) > 0 { // of another process in between
		return errViolated
	}
	return nil
}

// skip reports whether a new process need not do a step again, since what it has loaded
// has the step's effect.
func (p *play) skip(i int) bool {
	st := &p.steps[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	ch := p.of(st.channel)
	if st.change == nil && !st.drop || ch.last().at < i {
		return false
	}
	if st.drop {
		p.dropped(ch)
	}
	p.note("step %d, %s, has had its effect", i+1, st.name)
	return true
}

func (p *play) requests() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.count {
		n += c
	}
	return n
}

func (p *play) wasKilled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killed
}

// of returns what is known of a channel.
func (p *play) of(id string) *channel {
	ch := p.channels[id]
	if ch == nil {
		ch = &channel{possible: []*state{emptyState(-1)}}
		p.channels[id] = ch
	}
	return ch
}

// effect returns the state after a step.
func (st *step) effect(s *state, i int) *state {
	switch {
	case st.drop:
		return emptyState(i)
	case st.change != nil:
		return s.with(i, st.change)
	}
	return s
}

// try does a step once.
func (p *play) try(i int) error {
	st := &p.steps[i]
	p.clock.move(2 * time.Minute)
	p.mu.Lock()
	p.now = i
	for _, ch := range p.channels {
		ch.before = nil
	}
	ch := p.of(st.channel)
	if st.drop || st.change != nil {
		ch.possible = append(ch.possible, st.effect(ch.last(), i))
	}
	p.hintsNow = st.hints
	maps.Copy(p.hints, st.hints)
	if st.drop {
		ch.doom()
	}
	p.mu.Unlock()

	err, ended := p.do(st)
	if !ended {
		return nil
	}
	if err == nil {
		p.mu.Lock()
		if st.stores {
			p.stored(st.channel)
		}
		if st.drop {
			p.dropped(ch)
		}
		p.mu.Unlock()
		if !st.open {
			if err, ended = p.do(&step{run: func(ctx context.Context, w *worker) error { return w.main.a.Flush(ctx) }}); !ended {
				return nil
			}
		}
	}
	p.say("step %d, %s: %v", i+1, st.name, err)
	return err
}

// do does a step, unless its process freezes meanwhile: then ended is false, and it goes on
// when that process does.
func (p *play) do(st *step) (err error, ended bool) {
	w := p.w
	done := make(chan error, 1)
	p.zombies.Go(func() {
		err := st.run(p.ctx, w)
		done <- err
		select {
		case <-w.frozen:
			_ = w.main.a.Flush(p.ctx) // what a process does next
		default:
		}
	})
	select {
	case err = <-done:
	case <-w.frozen:
		p.say("   frozen")
		return nil, false
	}
	return err, true
}

// doom notes whose hints a drop that begins removes.
func (c *channel) doom() {
	if c.doomed == nil {
		c.doomed = map[string]bool{}
	}
	for _, s := range c.possible {
		maps.Copy(c.doomed, s.ids())
	}
}

// dropped notes that a drop is done, or that a sweep will end it. p.mu is held.
func (p *play) dropped(c *channel) {
	p.forget(c.doomed)
	c.doomed = nil
}

// forget notes that hints are deleted. Those that are being set may be set before or after, or
// partly so, when that takes several requests; and the log may have messages that the snapshot has no
// more. p.mu is held.
func (p *play) forget(ids map[string]bool) {
	if _, ok := p.hints[parked]; ok && !ids[parked] {
		p.unsure[parked] = true
	}
	for id := range ids {
		if _, ok := p.hintsNow[id]; ok {
			p.unsure[id] = true
		} else {
			delete(p.hints, id)
		}
	}
}

// stored notes that all that the steps up to the one under way have done to a channel was
// reported as stored. p.mu is held.
func (p *play) stored(id string) {
	ch := p.of(id)
	s := ch.last()
	for j := s.at + 1; j <= p.now; j++ {
		if p.steps[j].channel == id && s.at < j {
			s = p.steps[j].effect(s, j)
		}
	}
	ch.possible = []*state{s}
}

// goOn makes what a participant makes of an error, and what is done when it was killed:
// loading, and doing again what a load doesn't return.
func (p *play) goOn(i int, err error) error {
	if p.wasKilled() {
		return p.restart(i)
	}
	p.errors++
	switch {
	case p.c == nil || !p.hit:
		return p.violate("step %d, %s, fails without a fault: %v", i+1, p.steps[i].name, err)
	case p.c.passes:
		return p.violate("step %d, %s, fails although the client could have got over it: %v", i+1, p.steps[i].name, err)
	case p.errors > 1:
		return p.violate("step %d, %s, fails as well: %v", i+1, p.steps[i].name, err)
	case p.c.killed && p.c.between == nil:
		return p.violate("step %d, %s, fails in a new process: %v", i+1, p.steps[i].name, err)
	case (p.c.between != nil || p.c.freezes) && (!p.c.takes || !errors.Is(err, sds.ErrFenced)):
		return p.violate("step %d, %s, fails because of another process: %v", i+1, p.steps[i].name, err)
	}
	var lost *sds.ChannelError
	if !errors.Is(err, sds.ErrFenced) || !errors.As(err, &lost) {
		return nil
	}
	if err := p.w.load(p.ctx, lost.Channel); err != nil {
		return p.failedAgain("load of what is lost", err)
	}
	return p.redo(i)
}

func (p *play) failedAgain(what string, err error) error {
	if errors.Is(err, errViolated) {
		return err
	}
	return p.violate("%s fails: %v", what, err)
}

// restart follows a kill: a new process loads all channels and goes on.
func (p *play) restart(i int) error {
	p.mu.Lock()
	p.killed = false
	channels := slices.Sorted(maps.Keys(p.channels))
	p.note("   a new process")
	p.mu.Unlock()
	w := &worker{p: p, main: p.start(p.w.main.d)}
	p.mu.Lock()
	p.w.abandoned = true
	p.mu.Unlock()
	p.w = w
	for _, id := range channels {
		if err := w.load(p.ctx, id); err != nil {
			return p.failedAgain("load by a new process", err)
		}
	}
	if p.c.wakes == afterLoad {
		p.wake()
	}
	return p.redo(i)
}

// redo does again what was accepted before step i and isn't in what was loaded.
func (p *play) redo(i int) error {
	for j := range i {
		st := &p.steps[j]
		p.mu.Lock()
		again := (st.change != nil || st.drop) && p.of(st.channel).last().at < j
		p.mu.Unlock()
		if again {
			if err := p.try(j); err != nil {
				return p.failedAgain(fmt.Sprintf("step %d, %s, done again", j+1, st.name), err)
			}
		}
	}
	return nil
}

// outrun reports whether a load gave what was stored before another process changed it, within the
// step under way.
func (p *play) outrun(id string, d sds.EncodedChannelData) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	equal := func(s *state) bool { return s.equal(d) }
	ch := p.of(id)
	return !slices.ContainsFunc(ch.possible, equal) && slices.ContainsFunc(ch.before, equal)
}

// loaded notes what a load gave, which must be one of what is possible.
func (p *play) loaded(id string, d sds.EncodedChannelData) error {
	p.mu.Lock()
	ch := p.of(id)
	for _, s := range slices.Backward(ch.possible) {
		if s.equal(d) {
			ch.possible = []*state{s}
			p.mu.Unlock()
			return nil
		}
	}
	all := describeStates(ch.possible)
	p.mu.Unlock()
	return p.violate("channel %q is loaded as %s, want one of %s", id, describe(d), all)
}
