package storetest

import (
	"maps"
	"math"

	"github.com/sdsaws/sdsaws/store"
)

// remove deletes a range, which must work.
func (c *channel) remove(from, to uint64) {
	c.Helper()
	if err := c.log.Delete(c.Context(), c.key, from, to); err != nil {
		c.Fatalf("Delete %d to %d: %v", from, to, err)
	}
	maps.DeleteFunc(c.messages, func(o uint64, _ store.Message) bool { return from <= o && o < to })
}

var deleteTests = []logTest{
	{"Delete", func(c *channel) {
		c.fill(4, 10, 50)
		c.remove(0, 4)
		c.check()
		c.remove(0, 6) // partially gone
		c.check()
		c.remove(8, 9)
		c.check()
		c.remove(8, 9) // gone
		c.check()
	}},
	{"DeleteNothing", func(c *channel) {
		c.remove(0, 10) // no channel
		c.check()
		c.fill(0, 10, 50)
		c.remove(3, 3)
		c.remove(7, 2)
		c.remove(0, 0)
		c.remove(10, 50)
		c.check()
	}},
	{"DeleteMany", func(c *channel) {
		c.fill(0, 260, 50)
		c.remove(40, 60)
		c.remove(10, 250)
		c.check()
	}},
	{"DeleteLarge", func(c *channel) {
		c.fill(0, 40, 60_000)
		c.remove(1, 39)
		c.check()
	}},
	{"DeleteToTheEnd", func(c *channel) {
		c.commit(newHead(0, 5), append(newMessages(0, 8), newMessages(1<<62, 1<<62+2)...))
		c.remove(math.MaxInt64, math.MaxUint64)
		c.remove(1<<63+7, 1<<63+9)
		c.check()
		c.remove(3, math.MaxUint64)
		c.check()
	}},
	{"DeleteOtherChannels", func(c *channel) {
		other := newChannel(c.T, c.log, c.key)
		other.key.Channel += "2"
		c.fill(0, 5, 50)
		other.fill(0, 5, 50)
		c.remove(0, math.MaxUint64)
		c.check()
		other.check()
	}},
}
