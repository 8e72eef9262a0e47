// Package handclock has a clock for tests and simulations.
package handclock

import (
	"sync"
	"time"

	"github.com/sdsaws/sdsaws"
)

// Clock is moved by hand, so that what is counted doesn't depend on how fast it is done. Timers run in
// whoever moves it.
type Clock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*timer]bool
	made   int
}

type timer struct {
	c    *Clock
	at   time.Time
	made int
	f    func()
}

// New returns a clock that stands.
func New() *Clock {
	return &Clock{now: time.UnixMilli(1_700_000_000_000), timers: map[*timer]bool{}}
}

// Now implements sdsaws.Clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc implements sdsaws.Clock.
func (c *Clock) AfterFunc(d time.Duration, f func()) sdsaws.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made++
	t := &timer{c: c, at: c.now.Add(d), made: c.made, f: f}
	c.timers[t] = true
	return t
}

// Stop implements sdsaws.Timer.
func (t *timer) Stop() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	was := t.c.timers[t]
	delete(t.c.timers, t)
	return was
}

// Advance moves the clock and runs the timers that are due on the way, in order.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(d)
	for {
		next := c.next(end)
		if next == nil {
			break
		}
		delete(c.timers, next)
		if next.at.After(c.now) {
			c.now = next.at
		}
		c.mu.Unlock()
		next.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}

// next returns the first timer that is due by end. c.mu is held.
func (c *Clock) next(end time.Time) *timer {
	var next *timer
	for t := range c.timers {
		if t.at.After(end) {
			continue
		}
		if next == nil || t.at.Before(next.at) || t.at.Equal(next.at) && t.made < next.made {
			next = t
		}
	}
	return next
}
