package storetest

import (
	"errors"

	"github.com/sdsaws/sdsaws/store"
)

// testable is the largest limit that is tried: 64 MB.
const testable = 64 << 20

// atMost commits what is at a limit, which must work, and what is one above, which must
// be refused and change nothing.
func (c *channel) atMost(what string, limit int, build func(n int) (store.Head, []store.Message)) {
	c.Helper()
	if limit > testable {
		c.Logf("not tried: %s can be up to %d", what, limit)
		return
	}
	c.commit(build(limit))
	c.check()
	head, messages := build(limit + 1)
	if err := c.try(c.id(), head, messages); !errors.Is(err, store.ErrTooLarge) {
		c.Errorf("%s one above the limit of %d: %v, want ErrTooLarge", what, limit, err)
	}
	c.check()
}

// next is the offset after all that were tried.
func (c *channel) next() uint64 {
	var n uint64
	for o := range c.tried {
		n = max(n, o+1)
	}
	return n
}

var limitTests = []logTest{
	{"LimitHead", func(c *channel) {
		c.atMost("a head", c.log.Limits(c.key).HeadBytes, func(n int) (store.Head, []store.Message) {
			head := newHead(0, c.next())
			head.Body = random(n)
			return head, nil
		})
	}},
	{"LimitHeadWithMessage", func(c *channel) {
		c.atMost("a head", c.log.Limits(c.key).HeadBytes, func(n int) (store.Head, []store.Message) {
			from := c.next()
			head := newHead(0, from+1)
			head.Body = random(n)
			return head, newMessages(from, from+1)
		})
	}},
	{"LimitMessage", func(c *channel) {
		for _, id := range []int{0, 40_000} {
			c.atMost("a message", c.log.Limits(c.key).MessageBytes, func(n int) (store.Head, []store.Message) {
				m := newMessage(c.next(), max(1, n-id))
				m.ID = string(random(n - len(m.Body)))
				return newHead(0, m.Offset+1), []store.Message{m}
			})
		}
	}},
	{"LimitMessages", func(c *channel) {
		c.atMost("a number of messages", c.log.Limits(c.key).Messages, func(n int) (store.Head, []store.Message) {
			from := c.next()
			to := from + uint64(n) //nolint:gosec // above 0
			return newHead(0, to), newMessages(from, to)
		})
	}},
	{"LimitCommit", func(c *channel) {
		limits := c.log.Limits(c.key)
		if limits.CommitBytes/limits.MessageBytes+2 > limits.Messages {
			c.Logf("not tried: the number of messages keeps commits below %d bytes", limits.CommitBytes)
			return
		}
		c.atMost("a commit", limits.CommitBytes, func(n int) (store.Head, []store.Message) {
			from := c.next()
			head := newHead(0, from)
			rest := n - len(head.Body)
			// As few messages as hold it, none of them at its own limit.
			var messages []store.Message
			for count := (rest-1)/(limits.MessageBytes-1) + 1; count > 0; count-- {
				m := newMessage(head.Next, 1)
				m.Body = random(rest/count - len(m.ID))
				rest -= len(m.ID) + len(m.Body)
				head.Next++
				messages = append(messages, m)
			}
			return head, messages
		})
	}},
	{"LimitsOfLongChannel", func(c *channel) {
		c.key.Channel = string(random(100 << 10))
		c.atMost("a head", c.log.Limits(c.key).HeadBytes, func(n int) (store.Head, []store.Message) {
			head := newHead(0, c.next())
			head.Body = random(n)
			return head, nil
		})
	}},
}
