package main

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-lambda-go/events"

	"github.com/sdsaws/sdsaws/sds"
)

// batch is the messages of an event.
type batch struct {
	all      []*delivery            // in the order of the event
	channels map[string][]*delivery // of all, those that can be read
}

// delivery is a record of the queue.
type delivery struct {
	record   *events.SQSMessage
	message  sds.Message
	err      error // why it isn't known to be stored; nil: it is
	rejected bool  // it never will be, and err says why
	moved    bool  // to the queue for such
}

// reject says that the message can never be stored, however often it is delivered.
func (d *delivery) reject(why error) { d.err, d.rejected = why, true }

// fail notes why messages aren't known to be stored, of those that have not failed yet.
func fail(deliveries []*delivery, err error) {
	for _, d := range deliveries {
		d.err = cmp.Or(d.err, err)
	}
}

// group is whose messages the queue delivers in their order: in a FIFO queue the group.
func (d *delivery) group() string {
	if group := d.record.Attributes["MessageGroupId"]; group != "" {
		return "group " + group
	}
	return "channel " + d.message.ChannelID
}

func read(e events.SQSEvent) *batch {
	b := &batch{channels: map[string][]*delivery{}}
	for i := range e.Records {
		d := &delivery{record: &e.Records[i]}
		b.all = append(b.all, d)
		encoded, err := base64.StdEncoding.DecodeString(d.record.Body)
		if err == nil {
			err = d.message.UnmarshalBinary(encoded)
		}
		if err == nil && d.message.ChannelID == "" {
			err = errors.New("the message names no channel")
		}
		if err != nil {
			d.reject(fmt.Errorf("record %d can't be read: %w", i, err))
			continue
		}
		b.channels[d.message.ChannelID] = append(b.channels[d.message.ChannelID], d)
	}
	return b
}

// waiting returns the messages of a channel that can be stored, none of which has failed yet.
func (b *batch) waiting(channel string) (deliveries []*delivery) {
	for _, d := range b.channels[channel] {
		if !d.rejected {
			d.err = nil
			deliveries = append(deliveries, d)
		}
	}
	return deliveries
}

// failedWith returns the channels that have failed so.
func (b *batch) failedWith(target error) (channels []string) {
	for channel, deliveries := range b.channels {
		for _, d := range deliveries {
			if errors.Is(d.err, target) {
				channels = append(channels, channel)
				break
			}
		}
	}
	return channels
}

// answer says what the queue is to deliver again: what has failed, and what is behind it in its
// group, or it would come out of its order. Nothing is behind what can never be stored.
func (p *participant) answer(b *batch) (events.SQSEventResponse, error) {
	var response events.SQSEventResponse
	var first error
	told, blocked := map[string]bool{}, map[string]bool{}
	for _, d := range b.all {
		if d.err != nil {
			if first == nil {
				first = d.err
			}
			if text := d.err.Error(); !d.rejected && !told[text] { // once a channel
				told[text] = true
				p.log.Error("a channel's messages aren't known to be stored", "error", text)
			}
		}
		if d.err != nil && !d.rejected {
			blocked[d.group()] = true
		}
		if d.rejected && !d.moved || !d.rejected && blocked[d.group()] {
			failure := events.SQSBatchItemFailure{ItemIdentifier: d.record.MessageId}
			response.BatchItemFailures = append(response.BatchItemFailures, failure)
		}
	}
	if n := len(response.BatchItemFailures); n > 0 && n == len(b.all) {
		return events.SQSEventResponse{}, fmt.Errorf("none of %d messages is known to be stored: %w", n, first)
	}
	return response, nil
}

// logRejected tells of a message that can never be stored. Its id in the queue is by AWS.
func (p *participant) logRejected(d *delivery) {
	p.log.Error("a message can never be stored", "record", strconv.Quote(d.record.MessageId),
		"moved", d.moved, "error", d.err.Error())
}
