package storetest

import (
	"math"

	"github.com/sdsaws/sdsaws/store"
)

var commitTests = []logTest{
	{"NoHead", func(c *channel) {
		c.check()
		c.tried[0], c.tried[5] = true, true
		c.check()
	}},
	{"FirstCommit", func(c *channel) {
		c.commit(newHead(0, 3), newMessages(0, 3))
		c.check()
	}},
	{"FirstCommitTwice", func(c *channel) {
		c.commit(newHead(0, 3), newMessages(0, 3))
		c.refused("a second first commit", c.try(store.CommitID{}, newHead(0, 5), newMessages(2, 5)))
		c.refused("a second first commit without messages", c.try(store.CommitID{}, newHead(0, 5), nil))
		c.check()
	}},
	{"FirstCommitWithPrev", func(c *channel) {
		c.refused("a commit over no head", c.try(newCommitID(), newHead(0, 2), newMessages(0, 2)))
		c.refused("a commit over no head, without messages", c.try(newCommitID(), newHead(0, 0), nil))
		c.check()
	}},
	{"RightPrev", func(c *channel) {
		c.commit(newHead(0, 3), newMessages(0, 3))
		c.commit(newHead(0, 5), newMessages(3, 5))
		c.commit(newHead(2, 6), newMessages(5, 6))
		c.check()
	}},
	{"WrongPrev", func(c *channel) {
		c.commit(newHead(0, 3), newMessages(0, 3))
		near := c.id()
		near[15] ^= 1
		for _, prev := range []store.CommitID{newCommitID(), near} {
			c.refused("a commit over a wrong id", c.try(prev, newHead(0, 5), newMessages(1, 5)))
			c.refused("a commit over a wrong id, without messages", c.try(prev, newHead(0, 5), nil))
		}
		c.check()
	}},
	{"StalePrev", func(c *channel) {
		c.commit(newHead(0, 3), newMessages(0, 3))
		stale := c.id()
		c.commit(newHead(0, 5), newMessages(3, 5))
		c.refused("a commit over a stale id", c.try(stale, newHead(0, 7), newMessages(3, 7)))
		c.refused("a commit over a stale id, without messages", c.try(stale, newHead(0, 9), nil))
		c.check()
	}},
	{"HeadOnly", func(c *channel) {
		c.commit(newHead(0, 0), nil)
		c.check()
		c.commit(newHead(0, 4), newMessages(0, 4))
		c.commit(newHead(1, 4), nil)
		c.commit(newHead(1, 4), []store.Message{})
		c.check()
	}},
	{"Values", func(c *channel) {
		head := newHead(1<<53+1, 1<<62+9)
		head.Epoch = math.MaxUint64
		head.Origin = 1<<53 - 1
		head.Body = everyByte()
		messages := newMessages(1<<53+1, 1<<53+4)
		messages[0].ID, messages[0].Lamport, messages[0].Body = "", math.MinInt64, []byte{0}
		messages[1].ID, messages[1].Lamport, messages[1].Body = string(everyByte()), math.MaxInt64, everyByte()
		messages[2].ID, messages[2].Lamport = string(random(100<<10)), -1
		c.commit(head, append(messages, newMessages(1<<62+7, 1<<62+9)...))
		c.check()
		head = newHead(head.Start, head.Next)
		head.Epoch, head.Writer, head.Region = 0, "", ""
		head.Origin = head.Start
		head.Body = []byte{0}
		c.commit(head, nil)
		c.check()
	}},
}

// What is sent again with the same commit id has no second effect.
var repeatTests = []logTest{
	{"CommitTwice", func(c *channel) {
		c.commit(newHead(0, 2), newMessages(0, 2))
		for _, messages := range [][]store.Message{newMessages(2, 4), nil} {
			prev, head := c.id(), newHead(0, 4)
			c.commit(head, messages)
			if err := c.try(prev, head, messages); !landed(err, head.CommitID) {
				c.Errorf("the same commit again: %v", err)
			}
			c.check()
		}
	}},
	{"FirstCommitSentAgain", func(c *channel) {
		head, messages := newHead(0, 2), newMessages(0, 2)
		c.commit(head, messages)
		if err := c.try(store.CommitID{}, head, messages); !landed(err, head.CommitID) {
			c.Errorf("the same commit again: %v", err)
		}
		c.check()
	}},
	{"CommitAgainAfterAnother", func(c *channel) {
		for _, n := range []uint64{2, 0} {
			prev, head, messages := c.id(), newHead(0, 4), newMessages(0, n)
			c.commit(head, messages)
			c.commit(newHead(0, 6), newMessages(4, 6))
			if err := c.try(prev, head, messages); err != nil {
				c.refused("a commit sent again after another", err)
			}
			c.check()
		}
	}},
	{"CommitAgainAfterDelete", func(c *channel) {
		head, messages := newHead(0, 4), newMessages(0, 4)
		c.commit(head, messages)
		c.remove(0, 2)
		if err := c.try(store.CommitID{}, head, messages); !landed(err, head.CommitID) {
			c.Errorf("the same commit again: %v", err)
		}
		c.check()
	}},
	{"ClaimTwice", func(c *channel) {
		c.commit(newHead(0, 2), newMessages(0, 2))
		prev, claim := c.id(), newClaim()
		c.claim(claim)
		if err := c.log.Claim(c.Context(), c.key, prev, claim); !landed(err, claim.CommitID) {
			c.Errorf("the same claim again: %v", err)
		}
		c.check()
	}},
}
