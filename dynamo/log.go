// Package dynamo keeps the logs and retrieval hints of package store in DynamoDB.
//
// The state table has a string partition key "pk" and a string sort key "sk": one item
// for the head of a channel and one for each message. The hints table has "pk" alone.
// [CreateTables] makes both for development.
package dynamo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sdsaws/sdsaws/store"
)

// LogClient is what a Log calls; *dynamodb.Client has it.
type LogClient interface {
	batchClient
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (
		*dynamodb.TransactWriteItemsOutput, error)
}

// Log is a store.Log in a DynamoDB table. How long it goes on trying is up to the
// client's retryer; see the retry policy of package sdsaws.
type Log struct {
	client LogClient
	table  string
	meter  meter
}

var _ store.Log = (*Log)(nil)

// NewLog returns a Log in a table that exists. It makes no request.
func NewLog(client LogClient, table string, o *Options) *Log {
	return &Log{client: client, table: table, meter: newMeter(table, o)}
}

// Limits are those of an item (400 KB), a transaction (100 actions, 4 MB), less the rest
// of the items; the head of a channel whose id is too long for a key holds that id too.
func (l *Log) Limits(key store.Key) store.Limits {
	pk, hashed := channelKey(key)
	head := emptyHead + len(pk) + len(escape(key.Namespace))
	if hashed {
		head += len(attrName) + len(key.Channel)
	}
	message := emptyMessage + len(pk)
	return store.Limits{
		Messages:     maxActions - 1,
		HeadBytes:    maxItem - head,
		MessageBytes: maxItem - message,
		CommitBytes:  maxTransaction - head - (maxActions-1)*message,
	}
}

// What an item takes at most beside its names and what Limits are about.
var (
	emptyHead = size(headItem(store.Key{}, &store.Head{Epoch: math.MaxUint64, Origin: math.MaxUint64,
		Start: math.MaxUint64, Next: math.MaxUint64})) - len("/") + writerAndRegion
	emptyMessage = size(messageItem("", &store.Message{Offset: math.MaxUint64, Lamport: math.MaxInt64})) + stagedMark
)

const writerAndRegion = 256

// Load implements store.Log with one Query for each MB.
func (l *Log) Load(ctx context.Context, key store.Key, from uint64) (*store.Head, []store.Message, error) {
	pk, _ := channelKey(key)
	var head *store.Head
	var messages []store.Message
	for low, high := messageKey(from), headKey; ; {
		out, err := l.query(ctx, pk, low, high)
		if err != nil {
			return nil, nil, err
		}
		items := out.Items
		if head == nil {
			if len(items) == 0 || (&reader{item: items[0]}).str(attrSK) != headKey {
				return nil, nil, nil
			}
			if head, err = parseHead(items[0]); err != nil {
				return nil, nil, err
			}
			items = items[1:]
			from = max(from, head.Start)
		}
		last := head.Next
		for _, it := range items {
			m, err := parseMessage(it)
			if err != nil {
				return nil, nil, err
			}
			last = m.Offset
			if from <= m.Offset && m.Offset < head.Next {
				messages = append(messages, m)
			}
		}
		// The next page starts a new range rather than where DynamoDB says: its lower end is
		// known by now, and nothing below it needs to be read.
		if out.LastEvaluatedKey == nil || last <= from || last == 0 {
			slices.SortFunc(messages, func(a, b store.Message) int { return cmp.Compare(a.Offset, b.Offset) })
			return head, messages, nil
		}
		low, high = messageKey(from), messageKey(last-1)
	}
}

func (l *Log) query(ctx context.Context, pk, low, high string) (*dynamodb.QueryOutput, error) {
	const operation = "Query"
	out, err := l.client.Query(ctx, &dynamodb.QueryInput{
		TableName:              &l.table,
		ConsistentRead:         aws.Bool(true),
		ScanIndexForward:       aws.Bool(false),
		KeyConditionExpression: aws.String("pk = :p AND sk BETWEEN :l AND :h"),
		ExpressionAttributeValues: item{
			":p": str(pk), ":l": str(low), ":h": str(high)},
	}, l.meter.each(operation, Loads, 0))
	if err != nil {
		return nil, fmt.Errorf("dynamo: load: %w", err)
	}
	l.meter.read(operation, Loads, sizes(out.Items))
	return out, nil
}

// Head implements store.Log with one GetItem.
func (l *Log) Head(ctx context.Context, key store.Key) (*store.Head, error) {
	const operation = "GetItem"
	pk, _ := channelKey(key)
	out, err := l.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      &l.table,
		ConsistentRead: aws.Bool(true),
		Key:            item{attrPK: str(pk), attrSK: str(headKey)},
	}, l.meter.each(operation, Loads, 0))
	if err != nil {
		return nil, fmt.Errorf("dynamo: read head: %w", err)
	}
	l.meter.read(operation, Loads, size(out.Item))
	if out.Item == nil {
		return nil, nil
	}
	return parseHead(out.Item)
}

// Messages implements store.Log with a BatchGetItem for each 100 messages.
func (l *Log) Messages(ctx context.Context, key store.Key, offsets []uint64) ([]store.Message, error) {
	pk, _ := channelKey(key)
	wanted := slices.Compact(slices.Sorted(slices.Values(offsets)))
	keys := make([]item, len(wanted))
	for i, o := range wanted {
		keys[i] = item{attrPK: str(pk), attrSK: str(messageKey(o))}
	}
	items, err := batch{l.client, l.table, l.meter}.get(ctx, keys, Loads)
	if err != nil {
		return nil, fmt.Errorf("dynamo: read messages: %w", err)
	}
	messages := make([]store.Message, len(items))
	for i, it := range items {
		if messages[i], err = parseMessage(it); err != nil {
			return nil, err
		}
	}
	return messages, nil
}

// Commit implements store.Log: a conditional PutItem, or with messages a
// TransactWriteItems whose ClientRequestToken is the commit id, so that DynamoDB applies
// a commit that is sent again once.
func (l *Log) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	if err := l.Limits(key).Check(head, messages); err != nil {
		return fmt.Errorf("dynamo: commit: %w", err)
	}
	put := &types.Put{
		TableName:                           &l.table,
		Item:                                headItem(key, &head),
		ConditionExpression:                 aws.String("attribute_not_exists(pk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if prev != (store.CommitID{}) {
		put.ConditionExpression = aws.String("c = :c")
		put.ExpressionAttributeValues = item{":c": binary(prev[:])}
	}
	if len(messages) == 0 {
		return l.putHead(ctx, put)
	}
	return l.transact(ctx, key, put, head.CommitID, messages)
}

func (l *Log) putHead(ctx context.Context, put *types.Put) error {
	_, err := l.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                           put.TableName,
		Item:                                put.Item,
		ConditionExpression:                 put.ConditionExpression,
		ExpressionAttributeValues:           put.ExpressionAttributeValues,
		ReturnValuesOnConditionCheckFailure: put.ReturnValuesOnConditionCheckFailure,
	}, l.meter.each("PutItem", Commits, writeUnits(size(put.Item))))
	return failed("commit", err)
}

func (l *Log) transact(
	ctx context.Context, key store.Key, put *types.Put, id store.CommitID, messages []store.Message,
) error {
	pk, _ := channelKey(key)
	actions := append(make([]types.TransactWriteItem, 0, 1+len(messages)), types.TransactWriteItem{Put: put})
	for i := range messages {
		actions = append(actions, types.TransactWriteItem{
			Put: &types.Put{TableName: &l.table, Item: messageItem(pk, &messages[i])}})
	}
	send := func(token string) error {
		_, err := l.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
			ClientRequestToken: &token,
			TransactItems:      actions,
		}, l.meter.each("TransactWriteItems", Commits, l.meter.units(actions)))
		return failed("commit", err)
	}
	err := send(id.String())
	if err == nil {
		return nil
	}
	// A commit that is sent again in a call of its own need not have the same bytes, since
	// the SDK writes attributes in random order. Where DynamoDB takes that for another
	// request it only says that the token was used: the condition decides.
	if mismatch := (*types.IdempotentParameterMismatchException)(nil); errors.As(err, &mismatch) {
		err = send(newToken())
	}
	return err
}

// Claim implements store.Log with one conditional UpdateItem.
func (l *Log) Claim(ctx context.Context, key store.Key, prev store.CommitID, c store.Claim) error {
	const operation = "UpdateItem"
	pk, _ := channelKey(key)
	out, err := l.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:           &l.table,
		Key:                 item{attrPK: str(pk), attrSK: str(headKey)},
		UpdateExpression:    aws.String("SET c = :c, w = :w, r = :r, e = e + :one"),
		ConditionExpression: aws.String("c = :prev"),
		ExpressionAttributeValues: item{
			":c": binary(c.CommitID[:]), ":w": str(c.Writer), ":r": str(c.Region),
			":one": number(uint64(1)), ":prev": binary(prev[:]),
		},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		ReturnConsumedCapacity:              types.ReturnConsumedCapacityTotal,
	}, l.meter.each(operation, Claims, 0))
	var refused *types.ConditionalCheckFailedException
	switch {
	case err == nil && out.ConsumedCapacity != nil:
		l.meter.wrote(operation, Claims, int(aws.ToFloat64(out.ConsumedCapacity.CapacityUnits)))
	case errors.As(err, &refused):
		l.meter.wrote(operation, Claims, writeUnits(size(refused.Item)))
	}
	return failed("claim", err)
}

// Delete implements store.Log: it lists the keys and deletes them 25 at a time.
func (l *Log) Delete(ctx context.Context, key store.Key, from, to uint64) error {
	pk, _ := channelKey(key)
	for from < to {
		out, err := l.client.Query(ctx, &dynamodb.QueryInput{
			TableName:              &l.table,
			ConsistentRead:         aws.Bool(true),
			KeyConditionExpression: aws.String("pk = :p AND sk BETWEEN :l AND :h"),
			ExpressionAttributeValues: item{
				":p": str(pk), ":l": str(messageKey(from)), ":h": str(messageKey(to - 1))},
		}, l.meter.each("Query", Deletes, 0))
		if err != nil {
			return fmt.Errorf("dynamo: list messages to delete: %w", err)
		}
		bytes := 0
		requests := make([]write, len(out.Items))
		for i, it := range out.Items {
			bytes += size(it)
			requests[i] = write{units: writeUnits(size(it)), request: types.WriteRequest{DeleteRequest: &types.DeleteRequest{
				Key: item{attrPK: it[attrPK], attrSK: it[attrSK]}}}}
		}
		l.meter.read("Query", Deletes, bytes)
		if err := (batch{l.client, l.table, l.meter}).write(ctx, requests, Deletes); err != nil {
			return fmt.Errorf("dynamo: delete messages: %w", err)
		}
		if out.LastEvaluatedKey == nil {
			return nil
		}
		last, err := keyOffset(messagePrefix, (&reader{item: out.LastEvaluatedKey}).str(attrSK))
		if err != nil {
			return err
		}
		from = last + 1
	}
	return nil
}

// Size returns how many bytes are stored of a channel, as DynamoDB counts them.
func (l *Log) Size(ctx context.Context, key store.Key) (int64, error) {
	pk, _ := channelKey(key)
	var total int64
	pages := dynamodb.NewQueryPaginator(l.client, &dynamodb.QueryInput{
		TableName:                 &l.table,
		KeyConditionExpression:    aws.String("pk = :p"),
		ExpressionAttributeValues: item{":p": str(pk)},
	})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx, meter{table: l.table}.each("Query", Loads, 0)) // not counted
		if err != nil {
			return 0, fmt.Errorf("dynamo: size: %w", err)
		}
		for _, it := range out.Items {
			total += int64(size(it))
		}
	}
	return total, nil
}

// failed turns the error of a conditional write into one of package store. A failed
// condition gives the head that is there; everything else may or may not have happened.
func failed(what string, err error) error {
	if err == nil {
		return nil
	}
	var single *types.ConditionalCheckFailedException
	var several *types.TransactionCanceledException
	switch {
	case errors.As(err, &single):
		return conflict(what, single.Item)
	case errors.As(err, &several):
		for _, reason := range several.CancellationReasons {
			if aws.ToString(reason.Code) == "ConditionalCheckFailed" {
				return conflict(what, reason.Item)
			}
		}
	}
	return fmt.Errorf("dynamo: %s: %w", what, err)
}

func conflict(what string, it item) error {
	e := &store.ConflictError{}
	if len(it) > 0 {
		var err error
		if e.Current, err = parseHead(it); err != nil {
			return fmt.Errorf("dynamo: %s: %w", what, err)
		}
	}
	return fmt.Errorf("dynamo: %s: %w", what, e)
}
