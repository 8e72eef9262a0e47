package sdsaws

import (
	"bytes"
	"container/list"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sdsaws/sdsaws/sds"
)

// frame is the latest group of a log, as far as the next message is packed against it, and the latest
// snapshot. It doesn't change.
type frame struct {
	start   uint64
	size    int64             // bytes that it keeps
	last    framed            // the latest one with much to repeat, whole
	senders map[string]framed // the latest such of each sender
	latest  []framed          // the latest messages, the newest last: their envelopes
	saved   *saved            // the snapshot that was stored last, or nil
}

type framed struct {
	offset uint64
	bytes  []byte
}

const (
	// latestKept is how many messages a snapshot is packed against that it doesn't hold.
	latestKept = 4

	// smallPlain is the size up to which messages and skeletons are packed by themselves. They fit a
	// write unit anyway, and to prepare for a dictionary takes longer than all the rest of a commit.
	smallPlain = 512

	// maxDictionary is the size up to which something is a dictionary. Encoders and decoders that are
	// kept keep the last one too.
	maxDictionary = 1 << 20
)

func newFrame(start uint64) *frame { return &frame{start: start} }

// with returns the frame with one more message.
func (f *frame) with(offset uint64, sender string, plain []byte) *frame {
	g := *f
	if e := sds.Envelope(plain); len(e) <= maxDictionary/latestKept {
		latest := append(slices.Clip(f.latest), framed{offset, e})
		g.latest = latest[max(0, len(latest)-latestKept):]
	}
	if len(plain) > smallPlain && len(plain) <= maxDictionary {
		g.last = framed{offset, bytes.Clone(plain)}
		g.senders = maps.Clone(f.senders)
		if g.senders == nil {
			g.senders = map[string]framed{}
		}
		g.senders[sender] = g.last
	}
	g.size = g.held()
	return &g
}

// holding returns the frame with another snapshot.
func (f *frame) holding(s *saved) *frame {
	if f == nil || s == nil {
		return f
	}
	g := *f
	g.saved = s
	g.size = g.held()
	return &g
}

// held returns the bytes that the frame keeps.
func (f *frame) held() (size int64) {
	for _, m := range f.latest {
		size += int64(len(m.bytes))
	}
	for _, m := range f.senders {
		size += int64(len(m.bytes))
	}
	if f.saved != nil {
		size += f.saved.bytes
	}
	return size
}

// against returns what a message of a sender is packed against: the sender's latest one, which has
// nearly the same bloom filter, and the envelope of the latest of all, which has nearly the same
// causal history.
func (f *frame) against(sender string) (offsets []uint64, dictionary []byte) {
	if f == nil || f.senders == nil {
		return nil, nil
	}
	whole, ok := f.senders[sender]
	if !ok {
		whole = f.last
	}
	offsets, dictionary = []uint64{whole.offset}, whole.bytes
	if n := len(f.latest); n > 0 && f.latest[n-1].offset != whole.offset {
		last := f.latest[n-1]
		offsets = append(offsets, last.offset)
		dictionary = slices.Concat(dictionary, last.bytes)
	}
	return offsets, dictionary
}

const (
	maxFrames = 64 << 20    // bytes of messages in frames, over all channels of an adapter
	frameIdle = time.Minute // after which a channel loses its frame
)

// frames are the channels that have a frame, the least recently used first. What has none
// begins a new group with its next message.
type frames struct {
	clock Clock

	mu     sync.Mutex // protects what follows
	order  list.List  // of *frameUse
	size   int64
	timer  Timer // to drop those of idle channels; nil: there are none
	closed bool
}

type frameUse struct {
	ch *channel
	at time.Time
}

// keepFrame sets the channel's frame; nil: it has none. Others lose theirs when all
// together are too large. The turn is held.
func (ch *channel) keepFrame(f *frame) {
	all := &ch.a.frames
	all.mu.Lock()
	defer all.mu.Unlock()
	all.drop(ch)
	if f == nil || all.closed {
		return
	}
	ch.frame.Store(f)
	all.size += f.size
	ch.framed = all.order.PushBack(&frameUse{ch, all.clock.Now()})
	for all.size > maxFrames {
		all.drop(all.oldest().ch)
	}
	all.arm()
}

// oldest returns the least recently used; there is one. mu is held.
func (a *frames) oldest() *frameUse {
	return a.order.Front().Value.(*frameUse) //nolint:forcetypeassert // nothing else is there
}

// drop takes a channel's frame away. mu is held.
func (a *frames) drop(ch *channel) {
	if old := ch.frame.Swap(nil); old != nil {
		a.size -= old.size
		a.order.Remove(ch.framed)
	}
}

// arm sets the timer, when there is something to drop. mu is held.
func (a *frames) arm() {
	if a.timer == nil && a.order.Len() > 0 && !a.closed {
		idle := a.clock.Now().Sub(a.oldest().at)
		a.timer = a.clock.AfterFunc(max(0, frameIdle-idle), a.dropIdle)
	}
}

func (a *frames) dropIdle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.timer = nil
	for now := a.clock.Now(); a.order.Len() > 0 && now.Sub(a.oldest().at) >= frameIdle; {
		a.drop(a.oldest().ch)
	}
	a.arm()
}

func (a *frames) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
	}
}
