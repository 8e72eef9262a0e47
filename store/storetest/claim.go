package storetest

import (
	"math"

	"github.com/sdsaws/sdsaws/store"
)

func newClaim() store.Claim {
	return store.Claim{CommitID: newCommitID(), Writer: "writer-2", Region: "us-east-2"}
}

// claim claims the head there is, which must work.
func (c *channel) claim(claim store.Claim) {
	c.Helper()
	if err := c.log.Claim(c.Context(), c.key, c.id(), claim); err != nil {
		c.Fatalf("Claim: %v", err)
	}
	c.head.CommitID, c.head.Writer, c.head.Region = claim.CommitID, claim.Writer, claim.Region
	c.head.Epoch++
}

var claimTests = []logTest{
	{"Claim", func(c *channel) {
		head := newHead(3, 6)
		head.Origin = 2
		c.commit(head, newMessages(0, 8))
		c.claim(newClaim())
		c.check()
		c.claim(newClaim())
		c.check()
	}},
	{"ClaimThenCommit", func(c *channel) {
		c.commit(newHead(0, 3), newMessages(0, 3))
		fenced := c.id()
		c.claim(newClaim())
		c.refused("a commit of the former holder", c.try(fenced, newHead(0, 5), newMessages(3, 5)))
		c.refused("its commit without messages", c.try(fenced, newHead(0, 5), nil))
		c.check()
		c.commit(newHead(0, 5), newMessages(3, 5))
		c.check()
	}},
	{"ClaimConflict", func(c *channel) {
		c.commit(newHead(0, 3), newMessages(0, 3))
		stale := c.id()
		c.commit(newHead(0, 4), newMessages(3, 4))
		for _, prev := range []store.CommitID{stale, newCommitID(), {}} {
			c.refused("a claim over another id", c.log.Claim(c.Context(), c.key, prev, newClaim()))
		}
		c.check()
	}},
	{"ClaimWithoutHead", func(c *channel) {
		for _, prev := range []store.CommitID{newCommitID(), {}} {
			c.refused("a claim of no head", c.log.Claim(c.Context(), c.key, prev, newClaim()))
			c.check()
		}
	}},
	{"ClaimLargeEpoch", func(c *channel) {
		for _, epoch := range []uint64{0, 1 << 53, math.MaxInt64, math.MaxUint64 - 1} {
			head := newHead(0, 0)
			head.Epoch = epoch
			c.commit(head, nil)
			c.claim(newClaim())
			c.check()
		}
	}},
}
