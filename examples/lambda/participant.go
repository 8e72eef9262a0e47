package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

// participant works on the channels of one namespace.
type participant struct {
	adapter  *sdsaws.Adapter
	rejected *rejectedQueue // nil: none
	log      *slog.Logger

	mu    sync.Mutex       // protects chats; the chats belong to the invocation
	chats map[string]*chat // that are loaded, by channel id
}

// handle takes a batch of messages, each a base64-encoded sds.Message in the body of a record. It
// answers which of them are not stored, for the queue to deliver again: the event source needs
// ReportBatchItemFailures. When none is stored that is an error, which Lambda's metrics count.
//
// A message that is delivered again changes nothing when it is in the history. One that can never
// be stored doesn't keep the others of its channel: it is moved to the queue for such, or is
// answered as failed alone.
func (p *participant) handle(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	work, stop := beforeDeadline(ctx)
	defer stop()
	b := read(e)
	p.receive(work, b, slices.Collect(maps.Keys(b.channels)))
	if fenced := b.failedWith(sds.ErrFenced); len(fenced) > 0 {
		// Another instance has had the channel meanwhile, because this one was frozen or the
		// queue has more than one consumer. Once more, from what the other has stored; if it is
		// still at it, the queue decides who goes on.
		p.receive(work, b, fenced)
	}
	p.moveRejected(work, b)
	p.release(work)
	return p.answer(b)
}

const margin = time.Second

// beforeDeadline returns a context that ends before the invocation's time does, to answer.
func beforeDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(margin, time.Until(deadline)/4)))
}

// receive takes the messages of these channels and stores what they change.
func (p *participant) receive(ctx context.Context, b *batch, channels []string) {
	waiting := map[string][]*delivery{}
	for _, channel := range channels {
		waiting[channel] = b.waiting(channel)
	}
	for len(waiting) > 0 {
		waiting = p.round(ctx, waiting)
	}
}

// round takes messages up to the first of each channel that is rejected, and returns those behind
// it. They go on from what is stored by then, for the chat has the rejected one.
func (p *participant) round(ctx context.Context, waiting map[string][]*delivery) (left map[string][]*delivery) {
	left = map[string][]*delivery{}
	var mu sync.Mutex // protects left
	var all sync.WaitGroup
	for channel, deliveries := range waiting {
		all.Go(func() {
			if n := p.receiveFor(ctx, channel, deliveries); n < len(deliveries) {
				mu.Lock()
				defer mu.Unlock()
				left[channel] = deliveries[n:]
			}
		})
	}
	all.Wait()
	failed, other := byChannel(p.adapter.Flush(ctx))
	for channel, deliveries := range waiting {
		if err := errors.Join(failed[channel], other); err != nil {
			fail(deliveries, err)
			delete(left, channel)
		}
	}
	return left
}

// receiveFor hands over one pair for each message, as SDS does after each of its operations, until
// one is rejected. It returns how many it has tried. After one that fails the others fail too: the
// queue delivers them again behind it.
func (p *participant) receiveFor(ctx context.Context, channel string, deliveries []*delivery) int {
	if len(deliveries) == 0 {
		return 0
	}
	c, err := p.chat(ctx, channel)
	if err != nil {
		fail(deliveries, err)
		return len(deliveries)
	}
	for i, d := range deliveries {
		if err := p.take(ctx, c, d); err != nil {
			fail(deliveries[i:], err)
			return len(deliveries)
		}
		if d.rejected {
			return i + 1
		}
	}
	return len(deliveries)
}

// take hands over the pair of one message.
func (p *participant) take(ctx context.Context, c *chat, d *delivery) error {
	before := c.meta
	update := c.receive(d.message)
	if update == nil {
		return nil
	}
	err := p.adapter.SaveChannelMeta(ctx, d.message.ChannelID, &c.meta)
	if err == nil {
		err = p.adapter.UpdateHistory(ctx, d.message.ChannelID, update)
	}
	if err == nil {
		return nil
	}
	p.forget(d.message.ChannelID) // it may not have been accepted, but c has it
	if !errors.Is(err, sds.ErrTooLarge) && !errors.Is(err, sds.ErrInvalidArgument) {
		return err
	}
	// The snapshot may have been accepted without its update: the one before takes its place.
	if err := p.adapter.SaveChannelMeta(ctx, d.message.ChannelID, &before); err != nil {
		return err
	}
	d.reject(err)
	return nil
}

// chat returns a channel. Its first use loads it, and so claims it.
func (p *participant) chat(ctx context.Context, channel string) (*chat, error) {
	p.mu.Lock()
	c := p.chats[channel]
	p.mu.Unlock()
	if c == nil {
		data, err := p.adapter.LoadChannel(ctx, channel)
		if err != nil {
			return nil, err
		}
		c = newChat(data)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.used = time.Now()
	p.chats[channel] = c
	return c, nil
}

// forget has the channel's next use load it. The adapter calls it when the channel was lost.
func (p *participant) forget(channel string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.chats, channel)
}

// maxChats is how many channels stay in memory between invocations.
const maxChats = 100

// release forgets the channels that were used the longest ago, when there are many. What they have
// accepted is stored; where that fails it stays with the adapter, for a later flush.
func (p *participant) release(ctx context.Context) {
	p.mu.Lock()
	oldest := slices.SortedFunc(maps.Keys(p.chats), func(a, b string) int {
		return p.chats[a].used.Compare(p.chats[b].used)
	})
	p.mu.Unlock()
	for _, channel := range oldest[:max(0, len(oldest)-maxChats)] {
		if ctx.Err() != nil {
			return // after the next invocation
		}
		p.forget(channel)
		if err := p.adapter.Release(ctx, channel); err != nil {
			p.log.Warn("a channel can't be released", "error", err.Error())
		}
	}
}

// byChannel takes the error of a Flush apart. The second result is what isn't about a channel.
func byChannel(err error) (failed map[string]error, other error) {
	failed = map[string]error{}
	var walk func(error)
	walk = func(err error) {
		var of *sds.ChannelError
		joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // of this error alone
		switch {
		case err == nil:
		case ok:
			for _, e := range joined.Unwrap() {
				walk(e)
			}
		case errors.As(err, &of):
			failed[of.Channel] = err
		default:
			other = errors.Join(other, err)
		}
	}
	walk(err)
	return failed, other
}
