package storetest

import (
	"math"

	"github.com/sdsaws/sdsaws/store"
)

var loadTests = []logTest{
	{"LoadFrom", func(c *channel) {
		c.fill(4, 12, 50)
		for _, from := range []uint64{0, 1, 3, 4, 5, 9, 10, 11, 12, 13, 100, math.MaxInt64, math.MaxUint64} {
			c.checkLoad(from)
		}
	}},
	{"LoadAscending", func(c *channel) {
		// Offsets that sort otherwise as text, in decimal or hexadecimal, or as bytes.
		var messages []store.Message
		for _, edge := range []uint64{10, 16, 100, 256, 1000, 1 << 16, 1 << 32, 1e15, 1 << 60} {
			messages = append(messages, newMessages(edge-1, edge+2)...)
		}
		c.commit(newHead(0, 1<<61), messages)
		c.check()
		for _, from := range []uint64{9, 16, 257, 1 << 32, 1 << 60} {
			c.checkLoad(from)
		}
	}},
	{"LoadMissing", func(c *channel) {
		c.fill(0, 20, 50)
		c.remove(0, 1)
		c.remove(7, 10)
		c.remove(19, 20)
		for _, from := range []uint64{0, 5, 8, 18, 19} {
			c.checkLoad(from)
		}
	}},
	{"LoadStartIsNext", func(c *channel) {
		c.fill(0, 5, 50)
		c.commit(newHead(5, 5), nil)
		c.checkLoad(0)
		c.checkLoad(5)
	}},
	{"LoadStaged", func(c *channel) {
		// Messages at or above next lie in wait; a later head takes them in.
		c.commit(newHead(0, 2), newMessages(0, 6))
		c.check()
		c.checkLoad(1)
		c.checkLoad(3)
		c.commit(newHead(0, 2), newMessages(100, 103))
		c.check()
		c.commit(newHead(1, 5), nil)
		c.check()
		c.commit(newHead(1, 102), nil)
		c.check()
	}},
	{"LoadPages", func(c *channel) {
		c.fill(2, 60, 60_000)
		c.check()
		c.checkLoad(17)
		c.checkLoad(59)
	}},
	{"LoadManySmall", func(c *channel) {
		c.fill(3, 300, 20)
		c.remove(10, 30)
		c.check()
		c.checkLoad(150)
	}},
}

var messagesTests = []logTest{
	{"Messages", func(c *channel) {
		c.fill(5, 10, 50)
		c.commit(newHead(5, 10), newMessages(12, 14)) // staged ones are returned too
		c.checkMessages(nil)
		c.checkMessages([]uint64{0, 4, 5, 9, 12})
		c.checkMessages([]uint64{3, 3, 13, 3, 13})
		c.checkMessages([]uint64{10, 11, 99, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64})
	}},
	{"MessagesMany", func(c *channel) {
		c.fill(0, 250, 50)
		c.remove(100, 120)
		var offsets []uint64
		for o := range uint64(300) {
			offsets = append(offsets, 299-o, o/2)
		}
		c.checkMessages(offsets)
	}},
	{"MessagesLarge", func(c *channel) {
		c.fill(0, 60, 60_000)
		var offsets []uint64
		for o := range uint64(60) {
			offsets = append(offsets, o)
		}
		c.checkMessages(offsets)
	}},
	{"MessagesWithoutHead", func(c *channel) { c.checkMessages([]uint64{0, 1}) }},
}
