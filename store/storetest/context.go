package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws/store"
)

var contextTests = []logTest{
	{"Cancelled", func(c *channel) {
		c.commit(newHead(0, 4), newMessages(0, 4))
		ctx, cancel := context.WithCancel(c.Context())
		cancel()
		c.tried[4], c.tried[5] = true, true
		other := c.key
		other.Channel += "2"
		calls := map[string]func() error{
			"Load":     func() error { _, _, err := c.log.Load(ctx, c.key, 0); return err },
			"Head":     func() error { _, err := c.log.Head(ctx, c.key); return err },
			"Messages": func() error { _, err := c.log.Messages(ctx, c.key, []uint64{0, 1}); return err },
			"Claim":    func() error { return c.log.Claim(ctx, c.key, c.id(), newClaim()) },
			"Delete":   func() error { return c.log.Delete(ctx, c.key, 0, 2) },
			"Commit": func() error {
				return c.log.Commit(ctx, c.key, c.id(), newHead(0, 6), newMessages(4, 6))
			},
			"Commit without messages": func() error {
				return c.log.Commit(ctx, c.key, c.id(), newHead(0, 6), nil)
			},
			"first Commit": func() error {
				return c.log.Commit(ctx, other, store.CommitID{}, newHead(0, 1), newMessages(0, 1))
			},
		}
		for what, call := range calls {
			cancelled(c.T, what, call)
		}
		c.check()
		newChannel(c.T, c.log, other).check()
	}},
	{"CancelledMidway", func(c *channel) {
		// Whatever a cancelled write has done, it is done whole, and sending it again
		// settles it.
		for i := range uint64(25) {
			ctx, cancel := context.WithCancel(c.Context())
			head, messages := newHead(0, 4*(i+1)), newMessages(4*i, 4*(i+1))
			timer := time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, cancel) //nolint:gosec // a test's
			err := c.log.Commit(ctx, c.key, c.id(), head, messages)
			timer.Stop()
			cancel()
			if err != nil {
				if !errors.Is(err, context.Canceled) && !landed(err, head.CommitID) {
					c.Errorf("Commit, cancelled midway: %v, want context.Canceled", err)
				}
				if err := c.try(c.id(), head, messages); !landed(err, head.CommitID) {
					c.Fatalf("a cancelled commit sent again: %v", err)
				}
			}
			c.apply(head, messages)
			c.check()
		}
	}},
}

// prompt is how long a call may take that has nothing to wait for, on a busy machine.
const prompt = 5 * time.Second

// cancelled checks that a call with a cancelled context returns that, and soon.
func cancelled(t testing.TB, what string, call func() error) {
	t.Helper()
	begun := time.Now()
	if err := call(); !errors.Is(err, context.Canceled) {
		t.Errorf("%s with a cancelled context: %v, want context.Canceled", what, err)
	}
	if d := time.Since(begun); d > prompt {
		t.Errorf("%s with a cancelled context took %v", what, d)
	}
}
