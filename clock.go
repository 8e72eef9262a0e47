package sdsaws

import "time"

// Clock is where an [Adapter] takes the time and its timers from. Everything that it
// does in the background is started by a timer.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f, once, after d: in a goroutine of its own, or, for a clock that
	// is moved by hand, in whoever moves it.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a call that was asked for with [Clock].
type Timer interface {
	// Stop calls it off; false says that it was too late for that.
	Stop() bool
}

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

func (wallClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
