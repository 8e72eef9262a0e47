package torture

import (
	"math/bits"
	"sync"
	"time"

	"github.com/sdsaws/sdsaws"
)

// clock is moved by hand. What its timers call runs in whoever moves it. As with the machine's
// clock, timers don't follow when the time is set to another one.
type clock struct {
	mu     sync.Mutex // protects what follows; not held while a timer's function runs
	now    time.Time
	passed time.Duration
	made   int
	timers map[*timer]bool
}

type timer struct {
	c    *clock
	at   time.Duration
	made int
	of   *process
	f    func()
}

// Stop implements sdsaws.Timer.
func (t *timer) Stop() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	was := t.c.timers[t]
	delete(t.c.timers, t)
	return was
}

func newClock() *clock {
	return &clock{now: time.Unix(1_800_000_000, 0), timers: map[*timer]bool{}}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// set moves the time and lets none pass.
func (c *clock) set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// stop takes away the timers of a process: it has crashed.
func (c *clock) stop(of *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for t := range c.timers {
		if t.of == of {
			delete(c.timers, t)
		}
	}
}

// pass lets time pass, and runs what is due on the way, in order.
func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	end := c.passed + d
	for {
		t := c.next(end)
		if t == nil {
			break
		}
		delete(c.timers, t)
		c.advance(max(0, t.at-c.passed))
		c.mu.Unlock()
		t.f()
		c.mu.Lock()
	}
	c.advance(end - c.passed)
	c.mu.Unlock()
}

// advance is called with mu held.
func (c *clock) advance(d time.Duration) {
	c.passed += d
	c.now = c.now.Add(d)
}

// next returns the first timer that is due by end. mu is held.
func (c *clock) next(end time.Duration) (first *timer) {
	for t := range c.timers {
		if t.at <= end && (first == nil || t.at < first.at || t.at == first.at && t.made < first.made) {
			first = t
		}
	}
	return first
}

// of is the clock of a process.
type clockOf struct {
	*clock
	p *process
}

// AfterFunc implements sdsaws.Clock. Waits of more than a second are made longer, to a power
// of two: so that the random part of the wait before a retry doesn't change what a run does.
func (c clockOf) AfterFunc(d time.Duration, f func()) sdsaws.Timer {
	if s := d / time.Second; s > 0 {
		d = time.Second << bits.Len64(uint64(s)) //nolint:gosec // above 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made++
	t := &timer{c: c.clock, at: c.passed + d, made: c.made, of: c.p, f: f}
	if !c.p.dead.Load() {
		c.timers[t] = true
	}
	return t
}
