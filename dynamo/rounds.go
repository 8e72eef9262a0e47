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

// Rounds keeps the rounds of all namespaces in the state table, in a partition of their own. So
// a sweeper that ends goes on in the next process.
type Rounds struct {
	client LogClient
	table  string
	meter  meter
}

// NewRounds returns the Rounds of a state table. It makes no request.
func NewRounds(client LogClient, table string, o *Options) *Rounds {
	return &Rounds{client: client, table: table, meter: newMeter(table, o)}
}

const (
	// RoundsKey is the partition of the rounds. No channel's key meets it, since an escaped namespace
	// holds no ':'.
	RoundsKey = ":rounds"

	roundPrefix = "r#" // and the escaped namespace
	attrAfter   = "a"
	attrBegan   = "g"
	attrSince   = "f"
	attrTurn    = "u"
)

// Load returns the rounds that are stored, strongly consistent, by namespace.
func (r *Rounds) Load(ctx context.Context) (map[string]Round, error) {
	all := map[string]Round{}
	input := &dynamodb.QueryInput{
		TableName:                 &r.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("pk = :p"),
		ExpressionAttributeValues: item{":p": str(RoundsKey)},
	}
	for {
		out, err := r.client.Query(ctx, input, r.meter.each("Query", Sweeps, 0))
		if err != nil {
			return nil, fmt.Errorf("dynamo: read rounds: %w", err)
		}
		r.meter.read("Query", Sweeps, sizes(out.Items))
		for _, it := range out.Items {
			round, err := parseRound(it)
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
		Item:                                roundItem(&round),
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
	if there, err := parseRound(refused.Item); err == nil && there.version == round.version {
		return round, nil
	}
	return Round{}, fmt.Errorf("dynamo: save round: %w", store.ErrConflict)
}

func roundItem(r *Round) item {
	return item{
		attrPK: str(RoundsKey), attrSK: str(roundPrefix + escape(r.Namespace)),
		attrCommit: binary(r.version[:]), attrAfter: str(r.After),
		attrBegan: number(r.Began.UnixMilli()), attrSince: number(r.Since.UnixMilli()), attrTurn: number(r.Turn.UnixMilli()),
	}
}

func parseRound(it item) (Round, error) {
	in := reader{item: it}
	name, ok := strings.CutPrefix(in.str(attrSK), roundPrefix)
	if !ok {
		in.fail(attrSK)
	}
	namespace, err := unescape(name)
	if err != nil {
		in.fail(attrSK)
	}
	r := Round{Namespace: namespace, After: in.str(attrAfter), Began: in.time(attrBegan),
		Since: in.time(attrSince), Turn: in.time(attrTurn)}
	if n := copy(r.version[:], in.binary(attrCommit)); n != len(r.version) {
		in.fail(attrCommit)
	}
	if in.err != nil {
		return Round{}, fmt.Errorf("round: %w", in.err)
	}
	return r, nil
}

func (r *reader) time(name string) time.Time { return time.UnixMilli(r.int(name)) }
