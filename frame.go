package sdsaws

import (
	"bytes"
	"container/list"
	"maps"
	"slices"
	"sync"
)

// frame is the latest group of a log: its messages, as those are that the next one is packed
// against. It doesn't change.
type frame struct {
	start   uint64
	size    int64             // bytes
	latest  []framed          // messages, the newest last
	senders map[string]framed // the latest of each sender
}

type framed struct {
	offset uint64
	plain  []byte
}

// latestKept is how many messages a snapshot is packed against.
const latestKept = 4

func newFrame(start uint64) *frame { return &frame{start: start} }

// with returns the frame with one more message.
func (f *frame) with(offset uint64, sender string, plain []byte) *frame {
	m := framed{offset, bytes.Clone(plain)}
	latest := append(slices.Clip(f.latest), m)
	g := &frame{f.start, f.size + int64(len(plain)), latest[max(0, len(latest)-latestKept):], maps.Clone(f.senders)}
	if g.senders == nil {
		g.senders = map[string]framed{}
	}
	g.senders[sender] = m
	return g
}

// against returns what a message of a sender is packed against: its latest one, which has
// nearly the same bloom filter, and the latest of all, which has nearly the same causal history.
func (f *frame) against(sender string) (offsets []uint64, dictionary []byte) {
	if f == nil {
		return nil, nil
	}
	last := f.latest[len(f.latest)-1]
	if own, ok := f.senders[sender]; ok && own.offset != last.offset {
		return join(own, last)
	}
	return join(last)
}

// recent returns what a snapshot is packed against: it names many of the latest messages' ids.
func (f *frame) recent() ([]uint64, []byte) { return join(f.latest...) }

func join(messages ...framed) (offsets []uint64, dictionary []byte) {
	for _, m := range messages {
		offsets = append(offsets, m.offset)
		dictionary = append(dictionary, m.plain...)
	}
	return offsets, dictionary
}

// maxFrames bounds the bytes of messages in frames, over all channels of an adapter.
const maxFrames = 64 << 20

// frames are the channels that have a frame, the least recently used first. What has none
// begins a new group with its next message.
type frames struct {
	mu    sync.Mutex // protects what follows
	order list.List  // of *channel
	size  int64
}

// keepFrame sets the channel's frame; nil: it has none. Others lose theirs when all
// together are too large. The turn is held.
func (ch *channel) keepFrame(f *frame) {
	all := &ch.a.frames
	all.mu.Lock()
	defer all.mu.Unlock()
	all.drop(ch)
	if f == nil {
		return
	}
	ch.frame.Store(f)
	all.size += f.size
	ch.framed = all.order.PushBack(ch)
	for all.size > maxFrames {
		all.drop(all.order.Front().Value.(*channel)) //nolint:forcetypeassert // only channels are there
	}
}

// drop takes a channel's frame away. mu is held.
func (a *frames) drop(ch *channel) {
	if old := ch.frame.Swap(nil); old != nil {
		a.size -= old.size
		a.order.Remove(ch.framed)
	}
}
