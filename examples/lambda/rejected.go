package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// rejectedQueue takes what can never be stored. Without it the queue delivers that again until it
// gives it up, and keeps the messages of its group waiting as long.
type rejectedQueue struct {
	client sender
	url    string
}

// sender sends a message; *sqs.Client has it.
type sender interface {
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// openRejected returns the queue of that URL; of none, nil. It makes no request.
func openRejected(ctx context.Context, url string) (*rejectedQueue, error) {
	if url == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("lambda: AWS environment: %w", err)
	}
	return &rejectedQueue{sqs.NewFromConfig(cfg), url}, nil
}

// send sends a record as it came. One that is sent again within five minutes is there once, when
// the queue is FIFO.
func (q *rejectedQueue) send(ctx context.Context, d *delivery) error {
	in := &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: &d.record.Body}
	if strings.HasSuffix(q.url, ".fifo") {
		group := cmp.Or(d.record.Attributes["MessageGroupId"], d.record.MessageId)
		in.MessageGroupId, in.MessageDeduplicationId = &group, &d.record.MessageId
	}
	if _, err := q.client.SendMessage(ctx, in); err != nil {
		return fmt.Errorf("it can't be moved to the queue of SDSAWS_REJECTED_QUEUE_URL: %w", err)
	}
	return nil
}

// moveRejected moves what can never be stored out of the way. What can't be moved stays failed.
func (p *participant) moveRejected(ctx context.Context, b *batch) {
	for _, d := range b.all {
		if !d.rejected {
			continue
		}
		if p.rejected != nil {
			if err := p.rejected.send(ctx, d); err != nil {
				d.err = errors.Join(d.err, err)
			} else {
				d.moved = true
			}
		}
		p.logRejected(d)
	}
}
