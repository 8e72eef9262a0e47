package dynamo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// batchClient is what batches call.
type batchClient interface {
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (
		*dynamodb.BatchGetItemOutput, error)
	BatchWriteItem(context.Context, *dynamodb.BatchWriteItemInput, ...func(*dynamodb.Options)) (
		*dynamodb.BatchWriteItemOutput, error)
}

// batch reads and writes many items of a table. A batch that DynamoDB does only a
// part of is no error to the SDK, so the rest is sent again here: that loop is for
// partial answers alone, all other retries are the client's.
type batch struct {
	client batchClient
	table  string
	meter  meter
}

// maxStalls is how often in a row an answer may have done nothing at all. With the waits
// of stall that is more than 10 s of throttling.
const maxStalls = 8

var errUnprocessed = errors.New("throttled: a part was still not processed after the last try")

// stall waits before the rest of a batch is sent again: 50 ms at first, doubled
// each time up to 5 s, the half of it at random.
func stall(ctx context.Context, n int) error {
	d := min(50*time.Millisecond<<min(n, 7), 5*time.Second)
	t := time.NewTimer(d/2 + mathrand.N(d/2)) //nolint:gosec // jitter
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return errors.Join(errUnprocessed, ctx.Err())
	}
}

// get reads the items with the keys, all of which differ, strongly consistent; those
// that are not there are left out.
func (b batch) get(ctx context.Context, keys []item, p Purpose) ([]item, error) {
	const operation = "BatchGetItem"
	var found []item
	for stalls := 0; len(keys) > 0; {
		n := min(len(keys), maxBatchGet)
		out, err := b.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{
				b.table: {Keys: keys[:n], ConsistentRead: aws.Bool(true)}},
		}, b.meter.each(operation, p, 0))
		if err != nil {
			return nil, err
		}
		got := out.Responses[b.table]
		for _, it := range got {
			b.meter.read(operation, p, size(it)) // each item is rounded up by itself
		}
		found = append(found, got...)
		rest := out.UnprocessedKeys[b.table].Keys
		keys = append(rest, keys[n:]...)
		if stalls, err = retryRest(ctx, stalls, n, len(rest)); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// retryRest waits when a part of n was left undone, and returns how often in a row
// nothing was done.
func retryRest(ctx context.Context, stalls, n, rest int) (int, error) {
	switch {
	case rest == 0:
		return 0, nil
	case rest < n:
		return 0, stall(ctx, 0)
	case stalls == maxStalls:
		return stalls, errUnprocessed
	}
	return stalls + 1, stall(ctx, stalls)
}

// write is one request of a batch and what it costs.
type write struct {
	request types.WriteRequest
	units   int
}

// write sends writes to items that all differ.
func (b batch) write(ctx context.Context, writes []write, p Purpose) error {
	const operation = "BatchWriteItem"
	for stalls := 0; len(writes) > 0; {
		n, bytes := 0, 0
		var requests []types.WriteRequest
		units := 0
		for n < min(len(writes), maxBatchWrite) {
			w := writes[n]
			if w.request.PutRequest != nil {
				bytes += size(w.request.PutRequest.Item)
			}
			if n > 0 && bytes > maxBatchBytes {
				break
			}
			requests = append(requests, w.request)
			units += w.units
			n++
		}
		out, err := b.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
			RequestItems: map[string][]types.WriteRequest{b.table: requests},
		}, b.meter.each(operation, p, units))
		if err != nil {
			return err
		}
		rest := out.UnprocessedItems[b.table]
		again := make([]write, len(rest), len(rest)+len(writes)-n)
		for i, r := range rest {
			again[i] = write{request: r, units: unitsOf(r, writes[:n])}
		}
		writes = append(again, writes[n:]...)
		if stalls, err = retryRest(ctx, stalls, n, len(rest)); err != nil {
			return fmt.Errorf("%d of the writes: %w", len(writes), err)
		}
	}
	return nil
}

// maxBatchBytes keeps a batch below the 16 MB that one may have.
const maxBatchBytes = 15 << 20

// unitsOf finds what a request that came back costs.
func unitsOf(r types.WriteRequest, sent []write) int {
	if r.PutRequest != nil {
		return writeUnits(size(r.PutRequest.Item))
	}
	units := 1
	for _, w := range sent {
		units = max(units, w.units)
	}
	return units
}

func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
