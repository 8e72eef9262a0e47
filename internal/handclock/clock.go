package replay

import (
	"sync"
	"time"

	"github.com/sdsaws/sdsaws"
)

// clock is moved by hand, so that what a replay counts doesn't depend on how fast it
// runs. Timers run in whoever moves it.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*timer]bool
	made   int
}

type timer struct {
	c    *clock
	at   time.Time
	made int
	f    func()
}

func newClock() *clock {
	return &clock{now: time.UnixMilli(1_700_000_000_000), timers: map[*timer]bool{}}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) AfterFunc(d time.Duration, f func()) sdsaws.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made++
	t := &timer{c: c, at: c.now.Add(d), made: c.made, f: f}
	c.timers[t] = true
	return t
}

func (t *timer) Stop() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	was := t.c.timers[t]
	delete(t.c.timers, t)
	return was
}

// advance moves the clock and runs the timers that are due on the way, in order.
func (c *clock) advance(d time.Duration) {
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
func (c *clock) next(end time.Time) *timer {
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
