package dynamo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sdsaws/sdsaws/store"
)

// Stage implements store.Log with a TransactWriteItems that also checks the head's
// commit id, so that a delayed one of a writer that was replaced fails.
func (l *Log) Stage(ctx context.Context, key store.Key, prev store.CommitID, messages []store.Message) error {
	if err := l.Limits(key).Check(store.Head{}, messages); err != nil {
		return fmt.Errorf("dynamo: stage: %w", err)
	}
	pk, _ := channelKey(key)
	actions := []types.TransactWriteItem{l.checkHead(pk, "c = :v", binary(prev[:]))}
	for i := range messages {
		it := messageItem(pk, &messages[i])
		it[attrStaged] = binary(prev[:])
		actions = append(actions, types.TransactWriteItem{Put: &types.Put{TableName: &l.table, Item: it}})
	}
	_, err := l.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: actions},
		l.meter.each("TransactWriteItems", Commits, l.meter.units(actions)))
	return failed("stage", err)
}

func (l *Log) checkHead(pk, condition string, v types.AttributeValue) types.TransactWriteItem {
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName:                           &l.table,
		Key:                                 item{attrPK: str(pk), attrSK: str(headKey)},
		ConditionExpression:                 &condition,
		ExpressionAttributeValues:           item{":v": v},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

// items yields the items of a channel with sort keys from low to high, strongly
// consistent.
func (l *Log) items(
	ctx context.Context, p Purpose, pk, low, high string, change func(*dynamodb.QueryInput),
) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		input := &dynamodb.QueryInput{
			TableName:                 &l.table,
			ConsistentRead:            aws.Bool(true),
			KeyConditionExpression:    aws.String("pk = :p AND sk BETWEEN :l AND :h"),
			ExpressionAttributeValues: item{":p": str(pk), ":l": str(low), ":h": str(high)},
		}
		if change != nil {
			change(input)
		}
		if input.FilterExpression != nil { // it costs what is read, not what comes back
			input.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
		}
		for {
			out, err := l.client.Query(ctx, input, l.meter.each("Query", p, 0))
			if err != nil {
				yield(nil, err)
				return
			}
			if c := out.ConsumedCapacity; c != nil {
				l.meter.readUnits("Query", p, int(math.Ceil(aws.ToFloat64(c.CapacityUnits))))
			} else {
				l.meter.read("Query", p, sizes(out.Items))
			}
			for _, it := range out.Items {
				if !yield(it, nil) {
					return
				}
			}
			if input.ExclusiveStartKey = out.LastEvaluatedKey; input.ExclusiveStartKey == nil {
				return
			}
		}
	}
}

// Unstage implements store.Log: it lists what is staged, then reads the head, and deletes
// by one conditional DeleteItem each. Since commit ids never come back, what was staged
// under one that has gone by stays out for good.
func (l *Log) Unstage(ctx context.Context, key store.Key) error {
	pk, _ := channelKey(key)
	first, err := l.Head(ctx, key)
	if err != nil {
		return err
	}
	if first == nil {
		first = &store.Head{}
	}
	var staged []item
	for it, err := range l.items(ctx, Deletes, pk, messageKey(first.Next), messageKey(math.MaxUint64),
		func(q *dynamodb.QueryInput) {
			q.FilterExpression = aws.String("attribute_exists(st)")
		}) {
		if err != nil {
			return fmt.Errorf("dynamo: list staged messages: %w", err)
		}
		staged = append(staged, it)
	}
	if len(staged) == 0 {
		return nil
	}
	head, err := l.Head(ctx, key)
	if err != nil {
		return err
	}
	if head == nil {
		head = &store.Head{}
	}
	for _, it := range staged {
		r := reader{item: it}
		offset, err := keyOffset(messagePrefix, r.str(attrSK))
		under := r.binary(attrStaged)
		if err = errors.Join(err, r.err); err != nil {
			return fmt.Errorf("dynamo: staged message: %w", err)
		}
		if offset < head.Next || string(under) == string(head.CommitID[:]) {
			continue
		}
		if err := l.deleteStaged(ctx, it); err != nil {
			return err
		}
	}
	return nil
}

// deleteStaged deletes a staged message unless something else was written in its place.
func (l *Log) deleteStaged(ctx context.Context, it item) error {
	_, err := l.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName:                 &l.table,
		Key:                       item{attrPK: it[attrPK], attrSK: it[attrSK]},
		ConditionExpression:       aws.String("st = :st"),
		ExpressionAttributeValues: item{":st": it[attrStaged]},
	}, l.meter.each("DeleteItem", Deletes, writeUnits(size(it))))
	if gone := (*types.ConditionalCheckFailedException)(nil); err != nil && !errors.As(err, &gone) {
		return fmt.Errorf("dynamo: delete staged message: %w", err)
	}
	return nil
}

// Page implements store.Log with one Query.
func (l *Log) Page(ctx context.Context, key store.Key, from, to uint64) ([]store.Message, uint64, error) {
	if from >= to {
		return nil, from, ctx.Err()
	}
	pk, _ := channelKey(key)
	out, err := l.client.Query(ctx, &dynamodb.QueryInput{
		TableName:              &l.table,
		ConsistentRead:         aws.Bool(true),
		KeyConditionExpression: aws.String("pk = :p AND sk BETWEEN :l AND :h"),
		ExpressionAttributeValues: item{
			":p": str(pk), ":l": str(messageKey(from)), ":h": str(messageKey(to - 1))},
	}, l.meter.each("Query", Loads, 0))
	if err != nil {
		return nil, 0, fmt.Errorf("dynamo: read messages: %w", err)
	}
	l.meter.read("Query", Loads, sizes(out.Items))
	page := make([]store.Message, len(out.Items))
	for i, it := range out.Items {
		if page[i], err = parseMessage(it); err != nil {
			return nil, 0, err
		}
	}
	if out.LastEvaluatedKey == nil || len(page) == 0 {
		return page, to, nil
	}
	return page, page[len(page)-1].Offset + 1, nil
}

// Find implements store.Log with one Query for each MB of the log: it reads all of it,
// and DynamoDB returns what has the id.
func (l *Log) Find(ctx context.Context, key store.Key, id string) (*store.Head, []store.Message, error) {
	pk, _ := channelKey(key)
	var head *store.Head
	var found []store.Message
	for it, err := range l.items(ctx, Loads, pk, messageKey(0), headKey, func(q *dynamodb.QueryInput) {
		q.FilterExpression = aws.String("i = :i OR attribute_exists(c)") // heads alone have c
		q.ExpressionAttributeValues[":i"] = binary([]byte(id))
	}) {
		if err != nil {
			return nil, nil, fmt.Errorf("dynamo: find message: %w", err)
		}
		if (&reader{item: it}).str(attrSK) == headKey {
			if head, err = parseHead(it); err != nil {
				return nil, nil, err
			}
			continue
		}
		m, err := parseMessage(it)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, m)
	}
	if head == nil {
		return nil, nil, nil
	}
	within := found[:0]
	for _, m := range found {
		if head.Origin <= m.Offset && m.Offset < head.Next {
			within = append(within, m)
		}
	}
	return head, within, nil
}

// AddSegment implements store.Log with a TransactWriteItems that also checks the head.
func (l *Log) AddSegment(ctx context.Context, key store.Key, origin uint64, s store.Segment) error {
	pk, _ := channelKey(key)
	actions := []types.TransactWriteItem{
		{Put: &types.Put{TableName: &l.table, Item: segmentItem(pk, &s),
			ConditionExpression: aws.String("attribute_not_exists(pk)")}},
		l.checkHead(pk, "o = :v", number(origin)),
	}
	_, err := l.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: actions},
		l.meter.each("TransactWriteItems", Manifests, l.meter.units(actions)))
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) && len(canceled.CancellationReasons) == len(actions) {
		const check = "ConditionalCheckFailed"
		if head := canceled.CancellationReasons[1]; aws.ToString(head.Code) == check {
			return conflict("add segment", head.Item)
		}
		if aws.ToString(canceled.CancellationReasons[0].Code) == check {
			return fmt.Errorf("dynamo: add segment: %w", store.ErrExists)
		}
	}
	if err != nil {
		return fmt.Errorf("dynamo: add segment: %w", err)
	}
	return nil
}

// ReplaceSegment implements store.Log with one conditional PutItem.
func (l *Log) ReplaceSegment(ctx context.Context, key store.Key, s store.Segment) error {
	pk, _ := channelKey(key)
	it := segmentItem(pk, &s)
	_, err := l.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:           &l.table,
		Item:                it,
		ConditionExpression: aws.String("attribute_exists(pk)"),
	}, l.meter.each("PutItem", Manifests, writeUnits(size(it))))
	if gone := (*types.ConditionalCheckFailedException)(nil); errors.As(err, &gone) {
		err = store.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("dynamo: replace segment: %w", err)
	}
	return nil
}

// Segments implements store.Log with one Query for each MB of manifests.
func (l *Log) Segments(ctx context.Context, key store.Key, from uint64, limit int) ([]store.Segment, error) {
	return l.segments(ctx, key, segmentKey(from), segmentKey(math.MaxUint64), limit, true)
}

// LastSegment implements store.Log with one Query.
func (l *Log) LastSegment(ctx context.Context, key store.Key, below uint64) (*store.Segment, error) {
	if below == 0 {
		return nil, ctx.Err()
	}
	all, err := l.segments(ctx, key, segmentKey(0), segmentKey(below-1), 1, false)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

func (l *Log) segments(
	ctx context.Context, key store.Key, low, high string, limit int, forward bool,
) ([]store.Segment, error) {
	pk, _ := channelKey(key)
	var all []store.Segment
	if limit <= 0 {
		return nil, ctx.Err()
	}
	for it, err := range l.items(ctx, Loads, pk, low, high, func(q *dynamodb.QueryInput) {
		q.ScanIndexForward = &forward
		q.Limit = aws.Int32(int32(min(limit, 1000))) //nolint:gosec // bounded
	}) {
		if err != nil {
			return nil, fmt.Errorf("dynamo: read segments: %w", err)
		}
		s, err := parseSegment(it)
		if err != nil {
			return nil, err
		}
		if all = append(all, s); len(all) == limit {
			break
		}
	}
	return all, nil
}

// DeleteSegments implements store.Log as Delete does.
func (l *Log) DeleteSegments(ctx context.Context, key store.Key, below uint64) error {
	if below == 0 {
		return ctx.Err()
	}
	pk, _ := channelKey(key)
	var writes []write
	for it, err := range l.items(ctx, Deletes, pk, segmentKey(0), segmentKey(below-1), nil) {
		if err != nil {
			return fmt.Errorf("dynamo: list segments to delete: %w", err)
		}
		writes = append(writes, write{units: writeUnits(size(it)), request: types.WriteRequest{
			DeleteRequest: &types.DeleteRequest{Key: item{attrPK: it[attrPK], attrSK: it[attrSK]}}}})
	}
	if err := (batch{l.client, l.table, l.meter}).write(ctx, writes, Deletes); err != nil {
		return fmt.Errorf("dynamo: delete segments: %w", err)
	}
	return nil
}

// Channels implements store.Log with a Query of the index for each MB, and a GetItem for
// each channel whose name is too long for a key. The index is eventually consistent.
func (l *Log) Channels(ctx context.Context, namespace string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for listed, err := range l.ChannelsAfter(ctx, namespace, "") {
			if !yield(listed.Channel, err) {
				return
			}
		}
	}
}

// Stored implements store.Log with a Scan of the whole table, 1 MB a request: that costs
// half a read unit for each 4 KB of all that it holds, twice that since it is
// strongly consistent, and needs dynamodb:Scan, which no condition on keys confines.
func (l *Log) Stored(ctx context.Context, namespace string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		prefix := escape(namespace) + "/"
		input := &dynamodb.ScanInput{
			TableName:                 &l.table,
			ConsistentRead:            aws.Bool(true),
			FilterExpression:          aws.String("begins_with(pk, :p)"),
			ProjectionExpression:      aws.String(attrPK),
			ExpressionAttributeValues: item{":p": str(prefix)},
			ReturnConsumedCapacity:    types.ReturnConsumedCapacityTotal,
		}
		last := "" // the items of a partition come one after the other
		for {
			out, err := l.client.Scan(ctx, input, l.meter.each("Scan", Loads, 0))
			if err != nil {
				yield("", fmt.Errorf("dynamo: scan for channels: %w", err))
				return
			}
			if c := out.ConsumedCapacity; c != nil {
				l.meter.readUnits("Scan", Loads, int(math.Ceil(aws.ToFloat64(c.CapacityUnits))))
			}
			for _, it := range out.Items {
				r := reader{item: it}
				pk := r.str(attrPK)
				if pk == last && r.err == nil {
					continue
				}
				last = pk
				name, err := l.channelName(ctx, strings.TrimPrefix(pk, prefix), it)
				err = cmp.Or(r.err, err)
				if !yield(name, err) || err != nil && !errors.Is(err, store.ErrMalformed) {
					return
				}
			}
			if input.ExclusiveStartKey = out.LastEvaluatedKey; input.ExclusiveStartKey == nil {
				return
			}
		}
	}
}

// channelName returns the id of the channel that a key stands for, escaped without its
// namespace. The error is ErrMalformed when it stands for none, or that isn't known.
func (l *Log) channelName(ctx context.Context, escaped string, key item) (name string, err error) {
	defer func() {
		if errors.Is(err, store.ErrMalformed) {
			err = fmt.Errorf("channel of the key that ends in %q: %w", escaped, err)
		}
	}()
	if !strings.HasPrefix(escaped, hashedName) {
		if name, err = unescape(escaped); err == nil && escape(name) != escaped {
			err = fmt.Errorf("%w: escaped key", store.ErrMalformed)
		}
		return name, err
	}
	out, err := l.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:            &l.table,
		ConsistentRead:       aws.Bool(true),
		Key:                  item{attrPK: key[attrPK], attrSK: str(headKey)},
		ProjectionExpression: aws.String(attrName),
	}, l.meter.each("GetItem", Loads, 0))
	if err != nil {
		return "", fmt.Errorf("dynamo: name of a channel: %w", err)
	}
	r := reader{item: out.Item}
	name = string(r.binary(attrName))
	if r.err == nil && hash(name) != escaped {
		r.fail(attrName)
	}
	return name, r.err
}
