package dynamo

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sdsaws/sdsaws/store"
)

func (e *estimate) Stage(ctx context.Context, key store.Key, prev store.CommitID, messages []store.Message) error {
	err := e.Backend.Stage(ctx, key, prev, messages)
	pk, _ := channelKey(key)
	var puts []types.TransactWriteItem
	for i := range messages {
		puts = append(puts, types.TransactWriteItem{Put: &types.Put{Item: stagedItem(pk, &messages[i], prev)}})
	}
	return errors.Join(err, e.checked(ctx, key, Commits, puts))
}

func stagedItem(pk string, m *store.Message, under store.CommitID) item {
	it := messageItem(pk, m)
	it[attrStaged] = binary(under[:])
	return it
}

// checked reports a transaction that also checks the head, at twice the units of a write
// of that.
func (e *estimate) checked(ctx context.Context, key store.Key, p Purpose, puts []types.TransactWriteItem) error {
	head, err := e.Backend.Head(ctx, key)
	if err != nil {
		return err
	}
	e.on(Usage{Operation: "TransactWriteItems", Purpose: p, Requests: 1,
		WriteUnits: transactionUnits(puts) + 2*writeUnits(headSize(key, head))})
	return nil
}

// sizes returns the sizes of the messages at offsets from from to to-1, by offset, and
// their sum.
func (e *estimate) sizes(ctx context.Context, key store.Key, from, to uint64) (each map[uint64]int, sum int, err error) {
	pk, _ := channelKey(key)
	each = map[uint64]int{}
	for from < to {
		page, next, err := e.Backend.Page(ctx, key, from, to)
		if err != nil {
			return nil, 0, err
		}
		for i := range page {
			n := size(messageItem(pk, &page[i]))
			each[page[i].Offset] = n
			sum += n
		}
		from = next
	}
	return each, sum, nil
}

// Unstage counts one DeleteItem for each message that is gone afterwards.
func (e *estimate) Unstage(ctx context.Context, key store.Key) error {
	head, err := e.Head(ctx, key)
	if err != nil {
		return err
	}
	next := uint64(0)
	if head != nil {
		next = head.Next
	}
	before, bytes, err := e.sizes(ctx, key, next, math.MaxUint64)
	if err != nil {
		return err
	}
	if err := e.Backend.Unstage(ctx, key); err != nil {
		return err
	}
	e.query(Deletes, bytes+len(before)*stagedMark)
	if len(before) == 0 {
		return nil
	}
	if _, err := e.Head(ctx, key); err != nil {
		return err
	}
	after, _, err := e.sizes(ctx, key, next, math.MaxUint64)
	if err != nil {
		return err
	}
	for offset, n := range before {
		if _, left := after[offset]; !left {
			e.on(Usage{Operation: "DeleteItem", Purpose: Deletes, Requests: 1, WriteUnits: writeUnits(n + stagedMark)})
		}
	}
	return nil
}

// stagedMark is how many bytes larger a message is while it is staged.
const stagedMark = len(attrStaged) + len(store.CommitID{})

func (e *estimate) Page(ctx context.Context, key store.Key, from, to uint64) ([]store.Message, uint64, error) {
	page, next, err := e.Backend.Page(ctx, key, from, to)
	if err == nil && from < to {
		pk, _ := channelKey(key)
		bytes := 0
		for i := range page {
			bytes += size(messageItem(pk, &page[i]))
		}
		e.query(Loads, bytes)
	}
	return page, next, err
}

// Find counts all that DynamoDB reads before it filters: the whole log.
func (e *estimate) Find(ctx context.Context, key store.Key, id string) (*store.Head, []store.Message, error) {
	head, found, err := e.Backend.Find(ctx, key, id)
	if err != nil {
		return nil, nil, err
	}
	_, bytes, err := e.sizes(ctx, key, 0, math.MaxUint64)
	if err != nil {
		return nil, nil, err
	}
	e.query(Loads, bytes+headSize(key, head))
	return head, found, nil
}

func (e *estimate) AddSegment(ctx context.Context, key store.Key, origin uint64, s store.Segment) error {
	err := e.Backend.AddSegment(ctx, key, origin, s)
	pk, _ := channelKey(key)
	return errors.Join(err, e.checked(ctx, key, Manifests,
		[]types.TransactWriteItem{{Put: &types.Put{Item: segmentItem(pk, &s)}}}))
}

func (e *estimate) ReplaceSegment(ctx context.Context, key store.Key, s store.Segment) error {
	pk, _ := channelKey(key)
	e.on(Usage{Operation: "PutItem", Purpose: Manifests, Requests: 1, WriteUnits: writeUnits(size(segmentItem(pk, &s)))})
	return e.Backend.ReplaceSegment(ctx, key, s)
}

func (e *estimate) Segments(ctx context.Context, key store.Key, from uint64, limit int) ([]store.Segment, error) {
	segments, err := e.Backend.Segments(ctx, key, from, limit)
	if err == nil && limit > 0 {
		e.query(Loads, segmentsSize(key, segments))
	}
	return segments, err
}

func segmentsSize(key store.Key, segments []store.Segment) (bytes int) {
	pk, _ := channelKey(key)
	for i := range segments {
		bytes += size(segmentItem(pk, &segments[i]))
	}
	return bytes
}

func (e *estimate) LastSegment(ctx context.Context, key store.Key, below uint64) (*store.Segment, error) {
	last, err := e.Backend.LastSegment(ctx, key, below)
	if err == nil && below > 0 {
		bytes := 0
		if last != nil {
			bytes = segmentsSize(key, []store.Segment{*last})
		}
		e.query(Loads, bytes)
	}
	return last, err
}

func (e *estimate) Delete(ctx context.Context, key store.Key, from, to uint64) error {
	sizes, _, err := e.sizes(ctx, key, from, to)
	if err != nil {
		return err
	}
	if from < to {
		e.deleted(slices.Collect(maps.Values(sizes)))
	}
	return e.Backend.Delete(ctx, key, from, to)
}

// deleted reports that items of these sizes are listed and deleted.
func (e *estimate) deleted(sizes []int) {
	bytes, units := 0, 0
	for _, n := range sizes {
		bytes += n
		units += writeUnits(n)
	}
	e.query(Deletes, bytes)
	if len(sizes) > 0 {
		e.on(Usage{Operation: "BatchWriteItem", Purpose: Deletes, Requests: batches(len(sizes), maxBatchWrite), WriteUnits: units})
	}
}

func (e *estimate) DeleteSegments(ctx context.Context, key store.Key, below uint64) error {
	all, err := e.Backend.Segments(ctx, key, 0, math.MaxInt32)
	if err != nil {
		return err
	}
	var sizes []int
	for _, s := range all {
		if s.From < below {
			sizes = append(sizes, segmentsSize(key, []store.Segment{s}))
		}
	}
	if below > 0 {
		e.deleted(sizes)
	}
	return e.Backend.DeleteSegments(ctx, key, below)
}
