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

// Listed is a channel of a namespace.
type Listed struct {
	Channel string
	Place   string // of the channel among those of its namespace: ChannelsAfter goes on from it
}

// ChannelsAfter yields the channels of a namespace as Channels does, in an order that stays, from
// behind a place on; "" is before the first. With an ErrMalformed comes the place of what has
// no name.
func (l *Log) ChannelsAfter(ctx context.Context, namespace, place string) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		prefix := escape(namespace) + "/"
		input := &dynamodb.QueryInput{
			TableName:                 &l.table,
			IndexName:                 aws.String(ChannelsIndex),
			KeyConditionExpression:    aws.String("ns = :n"),
			ExpressionAttributeValues: item{":n": str(escape(namespace))},
		}
		if place != "" {
			input.KeyConditionExpression = aws.String("ns = :n AND pk > :p")
			input.ExpressionAttributeValues[":p"] = str(prefix + place)
		}
		for {
			out, err := l.client.Query(ctx, input, l.meter.each("Query", Loads, 0))
			if err != nil {
				yield(Listed{}, fmt.Errorf("dynamo: list channels: %w", err))
				return
			}
			for _, it := range out.Items {
				r := reader{item: it}
				place := strings.TrimPrefix(r.str(attrPK), prefix)
				name, err := l.channelName(ctx, place, it)
				err = cmp.Or(r.err, err)
				if !yield(Listed{name, place}, err) || err != nil && !errors.Is(err, store.ErrMalformed) {
					return
				}
			}
			if input.ExclusiveStartKey = out.LastEvaluatedKey; input.ExclusiveStartKey == nil {
				return
			}
		}
	}
}

// Namespaces yields the namespaces that have channels, in no particular order; new ones may be
// missing for a while. It reads the whole index of channels, some 150 bytes for each, 1 MB a
// request, and so needs dynamodb:Scan of the index, which no condition on keys confines. What is no
// namespace it yields as an ErrMalformed, and goes on; after another error it ends.
func (l *Log) Namespaces(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		input := &dynamodb.ScanInput{
			TableName:              &l.table,
			IndexName:              aws.String(ChannelsIndex),
			ProjectionExpression:   aws.String(attrNamespace),
			ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
		}
		seen := map[string]bool{}
		for {
			out, err := l.client.Scan(ctx, input, l.meter.each("Scan", Sweeps, 0))
			if err != nil {
				yield("", fmt.Errorf("dynamo: list namespaces: %w", err))
				return
			}
			if c := out.ConsumedCapacity; c != nil {
				l.meter.readUnits("Scan", Sweeps, int(math.Ceil(aws.ToFloat64(c.CapacityUnits))))
			}
			for _, it := range out.Items {
				r := reader{item: it}
				escaped := r.str(attrNamespace)
				if seen[escaped] {
					continue
				}
				seen[escaped] = true
				name, err := namespaceName(escaped)
				if !yield(name, cmp.Or(r.err, err)) {
					return
				}
			}
			if input.ExclusiveStartKey = out.LastEvaluatedKey; input.ExclusiveStartKey == nil {
				return
			}
		}
	}
}

func namespaceName(escaped string) (string, error) {
	name, err := unescape(escaped)
	if err == nil && (escape(name) != escaped || store.CheckNamespace(name) != nil) {
		err = fmt.Errorf("%w: %q is no namespace", store.ErrMalformed, escaped)
	}
	return name, err
}
