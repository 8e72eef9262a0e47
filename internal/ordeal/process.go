package ordeal

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sdsaws/sdsaws"
)

// request names a request of the scenario: the n-th of an operation.
type request struct {
	op string
	n  int
}

func (r request) String() string { return fmt.Sprintf("%s#%d", r.op, r.n) }

// worker is the processes that do the steps. One that was killed or frozen is followed by
// another, and what becomes of its steps is not judged any more.
type worker struct {
	p      *play
	main   *process // the participant
	old    *process // the one that main has replaced, or nil
	second *process // another process that sweeps and reads, or nil

	frozen    <-chan struct{} // closed when they freeze; nil: they don't
	abandoned bool            // under p.mu
}

func (w *worker) helper() *process {
	if w.second == nil {
		w.second = w.p.start(sdsaws.Committed)
	}
	return w.second
}

func (w *worker) violate(format string, x ...any) error {
	if w.isAbandoned() {
		return nil
	}
	return w.p.violate(format, x...)
}

func (w *worker) isAbandoned() bool {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return w.abandoned
}

// load loads a channel, which must be in one of the states that it can have. What a load starts in
// the background can be the request that another process comes before: then that comes
// behind the load, which has given what was there until then, and the next one tells.
func (w *worker) load(ctx context.Context, id string) error {
	d, err := w.main.a.LoadEncodedChannel(ctx, id)
	if err == nil && !w.isAbandoned() && w.p.outrun(id, d) {
		w.p.say("   load, before the other process came: %s", describe(d))
		d, err = w.main.a.LoadEncodedChannel(ctx, id)
	}
	if w.isAbandoned() {
		return err
	}
	w.p.say("   load: %s, %v", describe(d), err)
	if err != nil {
		return err
	}
	return w.p.loaded(id, d)
}

// process is one process of those that work on the channels.
type process struct {
	p      *play
	a      *sdsaws.Adapter
	d      sdsaws.Durability
	isDead bool // under p.mu
	frozen bool // likewise
}

func (pr *process) dead() bool {
	pr.p.mu.Lock()
	defer pr.p.mu.Unlock()
	return pr.isDead
}

// clock is moved by hand. Its timers never fire: a process that is abandoned does nothing
// more, as one that was killed.
type clock struct {
	mu  sync.Mutex // protects now
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clock) AfterFunc(time.Duration, func()) sdsaws.Timer { return never{} }

type never struct{}

func (never) Stop() bool { return true }

// open returns an adapter of the play's processes over a backend.
func (p *play) open(b sdsaws.Backend, d sdsaws.Durability) *sdsaws.Adapter {
	a, err := sdsaws.New(b, &sdsaws.Options{Namespace: p.namespace, Durability: d, InlineBytes: inlineBytes,
		ArchiveMessages: 60, Clock: &p.clock})
	if err != nil {
		panic(err) // the options are good
	}
	return a
}

// start starts a process that the fault can hit.
func (p *play) start(d sdsaws.Durability) *process {
	pr := &process{p: p, d: d}
	pr.a = p.open(p.site.Backend(func(op string) Fault { return p.decide(pr, op) }), d)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.processes = append(p.processes, pr)
	return pr
}

// commits are the operations that store a head.
var commits = []string{"Commit", "TransactWriteItems", "PutItem"}

// decide says what happens to a request.
func (p *play) decide(pr *process, op string) Fault {
	p.mu.Lock()
	switch {
	case pr.isDead:
		p.mu.Unlock()
		return Refuse
	case pr.frozen:
		p.mu.Unlock()
		<-p.thaw
		return None
	}
	p.count[op]++
	r := request{op, p.count[op]}
	if p.c == nil {
		p.where[r] = p.now
	}
	if p.hit && !p.woken && slices.Contains(commits, op) && p.c.wakes == beforeCommit {
		p.woken = true
		p.mu.Unlock()
		p.site.Release()
		return None
	}
	if p.hit {
		p.after++
	}
	if p.c == nil || p.hit && p.after != p.c.later || !p.hit && p.c.request != r {
		p.mu.Unlock()
		return None
	}
	if p.c.between != nil && (p.hit || p.c.later == 0) {
		p.hit = true
		p.note("   here: %s, %v", op, p.c)
		p.mu.Unlock()
		p.c.between(p)
		return None
	}
	p.hit = true
	p.note("   here: %v", p.c)
	if p.c.killed || p.c.freezes {
		p.killed = true
		for _, each := range p.processes {
			each.isDead, each.frozen = p.c.killed, p.c.freezes
		}
	}
	p.mu.Unlock()
	if p.c.freezes {
		close(p.frozen)
		if p.c.fault == None {
			<-p.thaw
		}
	}
	return p.c.fault
}

// wake does what was held back, and lets processes that were frozen go on until they have
// done what they were at.
func (p *play) wake() {
	p.mu.Lock()
	asleep := !p.woken
	p.woken = true
	p.mu.Unlock()
	if !asleep {
		return
	}
	p.site.Release()
	close(p.thaw)
	p.zombies.Wait() // no other step is under way
}
