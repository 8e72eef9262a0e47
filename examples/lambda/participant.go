package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
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
	adapter *sdsaws.Adapter
	log     *slog.Logger

	mu    sync.Mutex       // protects chats; the chats belong to the invocation
	chats map[string]*chat // that are loaded, by channel id
}

// handle takes a batch of messages, each a base64-encoded sds.Message in the body of a record. It
// answers which of them are not stored, for the queue to deliver again: the event source needs
// ReportBatchItemFailures. When none is stored that is an error, which Lambda's metrics count.
//
// A message that is delivered again changes nothing when it is in the history.
func (p *participant) handle(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	work, stop := beforeDeadline(ctx)
	defer stop()
	b := p.read(e)
	p.receive(work, b, slices.Collect(maps.Keys(b.messages)))
	if fenced := b.failedWith(sds.ErrFenced); len(fenced) > 0 {
		// Another instance has had the channel meanwhile, because this one was frozen or the
		// queue has more than one consumer. Once more, from what the other has stored; if it is
		// still at it, the queue decides who goes on.
		p.receive(work, b, fenced)
	}
	return p.answer(e, b)
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

// batch is the messages of an event.
type batch struct {
	messages map[string][]sds.Message // by channel, in the order of the event
	channel  map[string]string        // of a record, by its id; a record that can't be read has none

	mu     sync.Mutex       // protects failed
	failed map[string]error // by channel
}

func (p *participant) read(e events.SQSEvent) *batch {
	b := &batch{messages: map[string][]sds.Message{}, channel: map[string]string{}, failed: map[string]error{}}
	for i, r := range e.Records {
		var m sds.Message
		encoded, err := base64.StdEncoding.DecodeString(r.Body)
		if err == nil {
			err = m.UnmarshalBinary(encoded)
		}
		if err == nil && m.ChannelID == "" {
			err = errors.New("the message names no channel")
		}
		if err != nil { // it never will: the queue gives it up after some times
			p.log.Error("a record can't be read", "record", i, "error", err.Error())
			continue
		}
		b.channel[r.MessageId] = m.ChannelID
		b.messages[m.ChannelID] = append(b.messages[m.ChannelID], m)
	}
	return b
}

func (b *batch) fail(channel string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed[channel] = err
}

func (b *batch) failedWith(target error) (channels []string) {
	for channel, err := range b.failed {
		if errors.Is(err, target) {
			channels = append(channels, channel)
		}
	}
	return channels
}

// receive takes the messages of these channels and stores what they change.
func (p *participant) receive(ctx context.Context, b *batch, channels []string) {
	for _, channel := range channels {
		delete(b.failed, channel)
	}
	var all sync.WaitGroup
	for _, channel := range channels {
		all.Go(func() {
			if err := p.receiveFor(ctx, channel, b.messages[channel]); err != nil {
				b.fail(channel, err)
			}
		})
	}
	all.Wait()
	failed, other := byChannel(p.adapter.Flush(ctx))
	for _, channel := range channels {
		err := errors.Join(failed[channel], other)
		if b.failed[channel] == nil && err != nil {
			b.failed[channel] = err
		}
	}
}

// receiveFor hands over one pair for each message, as SDS does after each of its operations.
func (p *participant) receiveFor(ctx context.Context, channel string, messages []sds.Message) error {
	c, err := p.chat(ctx, channel)
	if err != nil {
		return err
	}
	for _, m := range messages {
		update := c.receive(m)
		if update == nil {
			continue
		}
		err := p.adapter.SaveChannelMeta(ctx, channel, &c.meta)
		if err == nil {
			err = p.adapter.UpdateHistory(ctx, channel, update)
		}
		if err != nil { // it may not have been accepted, but c has it
			p.forget(channel)
			return err
		}
	}
	return nil
}

// chat returns a channel. Its first use loads it, and so claims it.
func (p *participant) chat(ctx context.Context, channel string) (*chat, error) {
	p.mu.Lock()
	c := p.chats[channel]
	p.mu.Unlock()
	if c != nil {
		return c, nil
	}
	data, err := p.adapter.LoadChannel(ctx, channel)
	if err != nil {
		return nil, err
	}
	c = newChat(data)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.chats[channel] = c
	return c, nil
}

// forget has the channel's next use load it. The adapter calls it when the channel was lost.
func (p *participant) forget(channel string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.chats, channel)
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

func (p *participant) answer(e events.SQSEvent, b *batch) (events.SQSEventResponse, error) {
	var first error
	for _, channel := range slices.Sorted(maps.Keys(b.failed)) {
		err := b.failed[channel]
		p.log.Error("a channel's messages aren't known to be stored", "error", err.Error())
		if first == nil {
			first = err
		}
	}
	var response events.SQSEventResponse
	for _, r := range e.Records {
		if channel, ok := b.channel[r.MessageId]; !ok || b.failed[channel] != nil {
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: r.MessageId})
		}
	}
	if n := len(response.BatchItemFailures); n > 0 && n == len(e.Records) {
		if first == nil {
			first = errors.New("no record can be read")
		}
		return events.SQSEventResponse{}, fmt.Errorf("none of %d messages is known to be stored: %w", n, first)
	}
	return response, nil
}
