package dynamo

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sdsaws/sdsaws/store"
)

// Backend is a store.Log and a store.Hints in one.
type Backend interface {
	store.Log
	store.Hints
}

// Estimate returns a backend that does what b does, and tells on which requests the
// same calls would have sent to DynamoDB and what they would have used there.
func Estimate(b Backend, on func(Usage)) Backend { return &estimate{b, on} }

type estimate struct {
	Backend
	on func(Usage)
}

func (e *estimate) Load(ctx context.Context, key store.Key, from uint64) (*store.Head, []store.Message, error) {
	head, messages, err := e.Backend.Load(ctx, key, from)
	if err == nil {
		bytes := 0
		if head != nil {
			bytes = size(headItem(key, head))
		}
		pk, _ := channelKey(key)
		for i := range messages {
			bytes += size(messageItem(pk, &messages[i]))
		}
		e.on(Usage{Operation: "Query", Purpose: Loads, Requests: 1 + bytes>>20, ReadUnits: readUnits(bytes)})
	}
	return head, messages, err
}

func (e *estimate) Head(ctx context.Context, key store.Key) (*store.Head, error) {
	head, err := e.Backend.Head(ctx, key)
	if err == nil {
		bytes := 0
		if head != nil {
			bytes = size(headItem(key, head))
		}
		e.on(Usage{Operation: "GetItem", Purpose: Loads, Requests: 1, ReadUnits: readUnits(bytes)})
	}
	return head, err
}

func (e *estimate) Messages(ctx context.Context, key store.Key, offsets []uint64) ([]store.Message, error) {
	messages, err := e.Backend.Messages(ctx, key, offsets)
	if err == nil {
		pk, _ := channelKey(key)
		units := 0
		for i := range messages {
			units += readUnits(size(messageItem(pk, &messages[i])))
		}
		e.on(Usage{Operation: "BatchGetItem", Purpose: Loads, Requests: batches(len(offsets), maxBatchGet), ReadUnits: units})
	}
	return messages, err
}

func (e *estimate) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	err := e.Backend.Commit(ctx, key, prev, head, messages)
	u := Usage{Operation: "PutItem", Purpose: Commits, Requests: 1, WriteUnits: writeUnits(size(headItem(key, &head)))}
	if len(messages) > 0 {
		pk, _ := channelKey(key)
		actions := []types.TransactWriteItem{{Put: &types.Put{Item: headItem(key, &head)}}}
		for i := range messages {
			actions = append(actions, types.TransactWriteItem{Put: &types.Put{Item: messageItem(pk, &messages[i])}})
		}
		u.Operation, u.WriteUnits = "TransactWriteItems", transactionUnits(actions)
	}
	e.on(u)
	return err
}

func (e *estimate) Claim(ctx context.Context, key store.Key, prev store.CommitID, c store.Claim) error {
	err := e.Backend.Claim(ctx, key, prev, c)
	if head, failed := e.Backend.Head(ctx, key); failed != nil {
		return errors.Join(err, failed)
	} else if head != nil {
		e.on(Usage{Operation: "UpdateItem", Purpose: Claims, Requests: 1, WriteUnits: writeUnits(size(headItem(key, head)))})
	}
	return err
}

func (e *estimate) SetHints(ctx context.Context, namespace string, hints []store.Hint, ttl time.Duration) error {
	units := 0
	for _, h := range hints {
		units += writeUnits(size(hintItem(namespace, h, time.Time{})))
	}
	e.on(Usage{Operation: "BatchWriteItem", Purpose: HintOps, Requests: batches(len(hints), maxBatchWrite), WriteUnits: units})
	return e.Backend.SetHints(ctx, namespace, hints, ttl)
}

func batches(n, size int) int { return (n + size - 1) / size }
