package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sdsaws/sdsaws/store"
)

// Round is how far sweepers have come with the channels of a namespace, which they take one
// after the other, and then again from the first.
type Round struct {
	Namespace string
	After     string    // the Place of the last channel that was taken; "": none was
	Began     time.Time // when the first was taken

	// Since is when the last round began that has ended: each channel that was there then was
	// taken since. Before the first has ended it is when that began.
	Since time.Time

	Turn time.Time // when it was saved last, in any round

	version store.CommitID // of what is stored; zero: nothing is
}

// Rounds keeps the rounds of a region's sweepers, of all namespaces, in the state table, in a
// partition of their own. So a sweeper that ends goes on in the next process.
type Rounds struct {
	client LogClient
	table  string
	prefix string // of the sort keys of a region
	meter  meter
}

// NewRounds returns the Rounds of a state table and the region in which the sweepers run. Those of
// another region, where the table has a replica, have rounds of their own: each passes by the
// channels that are the other's. It makes no request.
func NewRounds(client LogClient, table, region string, o *Options) *Rounds {
	return &Rounds{client: client, table: table, prefix: roundPrefix + escape(region) + "#", meter: newMeter(table, o)}
}

const (
	// RoundsKey is the partition of the rounds. No channel's key meets it, since an escaped namespace
	// holds no ':'.
	RoundsKey = ":rounds"

	roundPrefix = "r#" // and the region, a '#' and the namespace, both escaped
	attrAfter   = "a"
	attrBegan   = "g"
	attrSince   = "f"
	attrTurn    = "u"
)

// Load returns the region's rounds, strongly consistent, by namespace.
func (r *Rounds) Load(ctx context.Context) (map[string]Round, error) {
	all := map[string]Round{}
	input := &dynamodb.QueryInput{
		TableName:                 &r.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("pk = :p AND begins_with(sk, :r)"),
		ExpressionAttributeValues: item{":p": str(RoundsKey), ":r": str(r.prefix)},
	}
	for {
		out, err := r.client.Query(ctx, input, r.meter.each("Query", Sweeps, 0))
		if err != nil {
			return nil, fmt.Errorf("dynamo: read rounds: %w", err)
		}
		r.meter.read("Query", Sweeps, sizes(out.Items))
		for _, it := range out.Items {
			round, err := r.parse(it)
			if err != nil {
				return nil, err
			}
			all[round.Namespace] = round
		}
		if input.ExclusiveStartKey = out.LastEvaluatedKey; input.ExclusiveStartKey == nil {
			return all, nil
		}
	}
}

// Save stores a round, which is the zero Round but for its namespace or one that Load or Save has
// returned, with changes. When another sweeper has saved it since, nothing is written and the
// error is store.ErrConflict.
func (r *Rounds) Save(ctx context.Context, round Round) (Round, error) {
	prev := round.version
	_, _ = rand.Read(round.version[:]) // never fails
	put := &dynamodb.PutItemInput{
		TableName:                           &r.table,
		Item:                                r.item(&round),
		ConditionExpression:                 aws.String("attribute_not_exists(pk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if prev != (store.CommitID{}) {
		put.ConditionExpression = aws.String("c = :c")
		put.ExpressionAttributeValues = item{":c": binary(prev[:])}
	}
	_, err := r.client.PutItem(ctx, put, r.meter.each("PutItem", Sweeps, writeUnits(size(put.Item))))
	var refused *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		return round, nil
	case !errors.As(err, &refused):
		return Round{}, fmt.Errorf("dynamo: save round: %w", err)
	}
	// Perhaps by an attempt of this call whose reply was lost.
	if there, err := r.parse(refused.Item); err == nil && there.version == round.version {
		return round, nil
	}
	return Round{}, fmt.Errorf("dynamo: save round: %w", store.ErrConflict)
}

// Remove removes a round that Load or Save has returned. When another sweeper has saved it since,
// nothing is removed and the error is store.ErrConflict.
func (r *Rounds) Remove(ctx context.Context, round Round) error {
	_, err := r.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName:                 &r.table,
		Key:                       r.key(&round),
		ConditionExpression:       aws.String("attribute_not_exists(pk) OR c = :c"),
		ExpressionAttributeValues: item{":c": binary(round.version[:])},
	}, r.meter.each("DeleteItem", Sweeps, writeUnits(size(r.item(&round)))))
	var refused *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return fmt.Errorf("dynamo: remove round: %w", store.ErrConflict)
	default:
		return fmt.Errorf("dynamo: remove round: %w", err)
	}
}

func (r *Rounds) key(round *Round) item {
	return item{attrPK: str(RoundsKey), attrSK: str(r.prefix + escape(round.Namespace))}
}

func (r *Rounds) item(round *Round) item {
	it := r.key(round)
	it[attrCommit], it[attrAfter] = binary(round.version[:]), str(round.After)
	it[attrBegan], it[attrSince] = number(round.Began.UnixMilli()), number(round.Since.UnixMilli())
	it[attrTurn] = number(round.Turn.UnixMilli())
	return it
}

func (r *Rounds) parse(it item) (Round, error) {
	in := reader{item: it}
	name, ok := strings.CutPrefix(in.str(attrSK), r.prefix)
	if !ok {
		in.fail(attrSK)
	}
	namespace, err := unescape(name)
	if err != nil {
		in.fail(attrSK)
	}
	round := Round{Namespace: namespace, After: in.str(attrAfter), Began: in.time(attrBegan),
		Since: in.time(attrSince), Turn: in.time(attrTurn)}
	if n := copy(round.version[:], in.binary(attrCommit)); n != len(round.version) {
		in.fail(attrCommit)
	}
	if in.err != nil {
		return Round{}, fmt.Errorf("round: %w", in.err)
	}
	return round, nil
}

func (r *reader) time(name string) time.Time { return time.UnixMilli(r.int(name)) }
