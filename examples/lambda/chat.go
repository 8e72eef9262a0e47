package main

import (
	"time"

	"github.com/sdsaws/sdsaws/sds"
)

// chat is a channel in memory. It stands for an implementation of SDS, and is none: each message is
// delivered as it comes, without causal order and repair.
type chat struct {
	meta    sds.ChannelMeta
	history []string // ids, the oldest first
	known   map[string]bool

	used time.Time // last, under the participant's mu
}

const maxHistory = 1000

func newChat(d *sds.ChannelData) *chat {
	c := &chat{meta: d.Meta, known: map[string]bool{}}
	for _, m := range d.MessageHistory {
		c.history = append(c.history, m.MessageID)
		c.known[m.MessageID] = true
	}
	return c
}

// receive delivers a message and returns what that changes in the history, nil when it is there.
func (c *chat) receive(m sds.Message) *sds.HistoryUpdate {
	if c.known[m.MessageID] {
		return nil
	}
	c.meta.LamportTimestamp = max(c.meta.LamportTimestamp, m.LamportTimestamp)
	c.history = append(c.history, m.MessageID)
	c.known[m.MessageID] = true
	u := &sds.HistoryUpdate{Append: []sds.Message{m}}
	for len(c.history) > maxHistory {
		delete(c.known, c.history[0])
		u.Evict = append(u.Evict, c.history[0])
		c.history = c.history[1:]
	}
	return u
}
