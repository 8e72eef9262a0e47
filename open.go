package sdsaws

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sdsaws/sdsaws/dynamo"
)

// Tables names where an adapter keeps things on AWS.
type Tables struct {
	State string // the DynamoDB table of heads and messages
	Hints string // the DynamoDB table of retrieval hints
}

// Open returns an adapter on AWS as the standard AWS environment has it: region,
// credentials and endpoint from variables, shared files or the machine's role. The
// clients retry as [RetryPolicy] says. It makes no request to the tables.
func Open(ctx context.Context, t Tables, o *Options) (*Adapter, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("sdsaws: open: %w", err)
	}
	client := dynamodb.NewFromConfig(cfg, RetryPolicy{}.DynamoDB)
	return New(dynamo.NewLog(client, t.State, nil), dynamo.NewHints(client, t.Hints, nil), o)
}
