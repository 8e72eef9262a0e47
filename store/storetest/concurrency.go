package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/sdsaws/sdsaws/store"
)

const writers = 16

var concurrencyTests = []logTest{
	{"OneWins", func(c *channel) {
		for round := range uint64(6) {
			c.race(round)
		}
		c.check()
	}},
	{"OneClaims", func(c *channel) {
		c.commit(newHead(0, 2), newMessages(0, 2))
		claims := make([]store.Claim, writers)
		errs := make([]error, writers)
		var group sync.WaitGroup
		for i := range writers {
			claims[i] = newClaim()
			claims[i].Writer = fmt.Sprintf("writer-%d", i)
			group.Go(func() { errs[i] = c.log.Claim(c.Context(), c.key, c.id(), claims[i]) })
		}
		group.Wait()
		winner := c.onlyWinner(errs, func(i int) store.CommitID { return claims[i].CommitID })
		c.head.CommitID, c.head.Writer, c.head.Region = claims[winner].CommitID, claims[winner].Writer, claims[winner].Region
		c.head.Epoch++
		c.check()
	}},
	{"ConcurrentChannels", func(c *channel) {
		var channels []*channel
		for i := range 8 {
			o := newChannel(c.T, c.log, c.key)
			o.key.Channel += fmt.Sprint(i)
			channels = append(channels, o)
		}
		each(channels, func(o *channel) {
			for n := range uint64(6) {
				head, messages := newHead(0, n+1), newMessages(n, n+1)
				if err := o.try(o.id(), head, messages); err != nil {
					o.Errorf("Commit beside other channels: %v", err)
					return
				}
				o.apply(head, messages)
				if n == 3 {
					if err := o.log.Delete(o.Context(), o.key, 0, 2); err != nil {
						o.Errorf("Delete beside other channels: %v", err)
					}
					delete(o.messages, 0)
					delete(o.messages, 1)
				}
			}
		})
		for _, o := range channels {
			o.check()
		}
	}},
	{"LoadWhileCommitting", loadWhileCommitting},
}

// race lets writers commit over the same head, some with messages at the same offsets.
func (c *channel) race(round uint64) {
	c.Helper()
	heads := make([]store.Head, writers)
	messages := make([][]store.Message, writers)
	errs := make([]error, writers)
	var group sync.WaitGroup
	for i := range writers {
		heads[i] = newHead(0, 10*(round+1))
		if i%3 != 0 {
			messages[i] = newMessages(10*round, 10*round+uint64(i%4)+1) //nolint:gosec // small
		}
		group.Go(func() { errs[i] = c.log.Commit(c.Context(), c.key, c.id(), heads[i], messages[i]) })
	}
	group.Wait()
	for o := 10 * round; o < 10*round+4; o++ {
		c.tried[o] = true
	}
	winner := c.onlyWinner(errs, func(i int) store.CommitID { return heads[i].CommitID })
	c.apply(heads[winner], messages[winner])
	for i, err := range errs {
		if i != winner {
			c.refused("a commit that lost", err)
		}
	}
	c.check()
}

// onlyWinner returns which of the writes went through, and fails unless it is one.
func (c *channel) onlyWinner(errs []error, id func(int) store.CommitID) int {
	c.Helper()
	var winners []int
	for i, err := range errs {
		if landed(err, id(i)) {
			winners = append(winners, i)
		} else if !errors.Is(err, store.ErrConflict) {
			c.Errorf("write %d of %d at the same time: %v, want a conflict", i, len(errs), err)
		}
	}
	if len(winners) != 1 {
		c.Fatalf("%d of %d writes over the same head went through, want 1", len(winners), len(errs))
	}
	return winners[0]
}

// loadWhileCommitting checks that a load never sees a part of a commit: every head comes
// with at least the messages of its own commit, and heads never go back.
func loadWhileCommitting(c *channel) {
	const commits, size = 12, 3
	c.commit(newHead(0, size), newMessages(0, size))
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			var last uint64
			for running := true; running; {
				select {
				case <-done:
					running = false
				default:
				}
				head, messages, err := c.log.Load(c.Context(), c.key, 0)
				if err != nil || head == nil {
					c.Errorf("Load while committing: head %v, %v", head, err)
					return
				}
				if head.Next < last {
					c.Errorf("Load while committing: next went back from %d to %d", last, head.Next)
				}
				last = head.Next
				sorted := slices.IsSortedFunc(messages, func(a, b store.Message) int {
					return int(min(a.Offset, math.MaxInt32)) - int(min(b.Offset, math.MaxInt32)) //nolint:gosec // bounded
				})
				if uint64(len(messages)) != head.Next || !sorted {
					c.Errorf("Load while committing: %d messages below next %d", len(messages), head.Next)
				}
			}
		})
	}
	for i := uint64(1); i < commits; i++ {
		head, messages := newHead(0, (i+1)*size), newMessages(i*size, (i+1)*size)
		if err := c.try(c.id(), head, messages); err != nil {
			c.Errorf("Commit while loading: %v", err)
			break
		}
		c.apply(head, messages)
	}
	close(done)
	group.Wait()
	c.check()
}
