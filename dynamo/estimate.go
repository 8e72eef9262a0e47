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
// same calls would have sent to DynamoDB and what they would have used there, by the
// formulas that AWS documents. To know the sizes of what a call reads, checks or deletes
// it reads that from b itself. Channels isn't counted.
func Estimate(b Backend, on func(Usage)) Backend { return &estimate{b, on} }

type estimate struct {
	Backend
	on func(Usage)
}

func (e *estimate) Load(ctx context.Context, key store.Key, from uint64) (*store.Head, []store.Message, error) {
	head, messages, err := e.Backend.Load(ctx, key, from)
	if err == nil {
		pk, _ := channelKey(key)
		bytes := headSize(key, head)
		for i := range messages {
			bytes += size(messageItem(pk, &messages[i]))
		}
		e.query(Loads, bytes)
	}
	return head, messages, err
}

// query reports a Query, which goes on after each MB.
func (e *estimate) query(p Purpose, bytes int) {
	e.on(Usage{Operation: "Query", Purpose: p, Requests: 1 + bytes>>20, ReadUnits: readUnits(bytes)})
}

func headSize(key store.Key, head *store.Head) int {
	if head == nil {
		return 0
	}
	return size(headItem(key, head))
}

func (e *estimate) Head(ctx context.Context, key store.Key) (*store.Head, error) {
	head, err := e.Backend.Head(ctx, key)
	if err == nil {
		bytes := headSize(key, head)
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

func (e *estimate) Hints(ctx context.Context, namespace string, ids []string) ([]store.Hint, error) {
	hints, err := e.Backend.Hints(ctx, namespace, ids)
	if err == nil {
		units := 0
		for _, h := range hints {
			units += readUnits(size(hintItem(namespace, h, time.Time{})))
		}
		e.on(Usage{Operation: "BatchGetItem", Purpose: HintOps, Requests: batches(distinct(ids), maxBatchGet), ReadUnits: units})
	}
	return hints, err
}

func (e *estimate) DeleteHints(ctx context.Context, namespace string, ids []string) error {
	n := distinct(ids)
	e.on(Usage{Operation: "BatchWriteItem", Purpose: HintOps, Requests: batches(n, maxBatchWrite), WriteUnits: n})
	return e.Backend.DeleteHints(ctx, namespace, ids)
}

func distinct(ids []string) int {
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		seen[id] = true
	}
	return len(seen)
}

func batches(n, size int) int { return (n + size - 1) / size }
