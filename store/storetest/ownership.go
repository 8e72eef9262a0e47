package storetest

import (
	"bytes"

	"github.com/sdsaws/sdsaws/store"
)

// scribble changes what a body's owner may change.
func scribble(b []byte) {
	for i := range b {
		b[i] ^= 0xff
	}
}

func scribbleAll(head *store.Head, messages []store.Message) {
	if head != nil {
		scribble(head.Body)
		*head = store.Head{}
	}
	for i := range messages {
		scribble(messages[i].Body)
		messages[i] = store.Message{}
	}
}

var ownershipTests = []logTest{
	{"CallerChangesWhatItPassed", func(c *channel) {
		for i := range uint64(3) {
			head, messages := newHead(0, i+2), newMessages(i, i+2)
			c.commit(head, messages)
			scribbleAll(&head, messages)
			c.check()
		}
		head := newHead(0, 4)
		c.commit(head, nil)
		scribbleAll(&head, nil)
		c.check()
	}},
	{"ArgumentsStay", func(c *channel) {
		head, messages := newHead(0, 3), newMessages(0, 3)
		messages[0], messages[2] = messages[2], messages[0]
		wantBody := bytes.Clone(head.Body)
		c.commit(head, messages)
		want := []store.Message{c.messages[2], c.messages[1], c.messages[0]}
		if d := diffMessages(messages, want); d != "" || !bytes.Equal(head.Body, wantBody) {
			c.Errorf("Commit changed its arguments: %s", d)
		}
		offsets := []uint64{2, 0, 2, 1}
		c.checkMessages(offsets)
		for i, o := range []uint64{2, 0, 2, 1} {
			if offsets[i] != o {
				c.Errorf("Messages changed its argument to %v", offsets)
			}
		}
	}},
	{"OwnerChangesWhatItGot", func(c *channel) {
		c.commit(newHead(0, 3), newMessages(0, 3))
		head, messages, err := c.log.Load(c.Context(), c.key, 0)
		if err != nil {
			c.Fatal(err)
		}
		scribbleAll(head, messages)
		c.check()
		if messages, err = c.log.Messages(c.Context(), c.key, []uint64{0, 1, 2}); err != nil {
			c.Fatal(err)
		}
		scribbleAll(nil, messages)
		if head, err = c.log.Head(c.Context(), c.key); err != nil {
			c.Fatal(err)
		}
		scribbleAll(head, nil)
		c.check()
	}},
	{"OwnerChangesConflict", func(c *channel) {
		c.commit(newHead(0, 3), newMessages(0, 3))
		for range 2 {
			err := c.try(newCommitID(), newHead(0, 3), nil)
			c.refused("a commit over another id", err)
			if conflict, ok := asConflict(err); ok {
				scribbleAll(conflict.Current, nil)
			}
		}
		c.check()
	}},
}
