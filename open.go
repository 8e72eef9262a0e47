package sdsaws

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/s3archive"
	"github.com/sdsaws/sdsaws/sds"
)

// Resources names where an adapter keeps things on AWS.
type Resources struct {
	State  string // the DynamoDB table of heads, messages and manifests
	Hints  string // the DynamoDB table of retrieval hints
	Bucket string // the S3 bucket of evicted history and large values
	Prefix string // what all names in the bucket begin with
}

// Open returns an adapter on AWS as the standard AWS environment has it: region,
// credentials and endpoint from variables, shared files or the machine's role. The
// clients retry as [RetryPolicy] says. It makes no request. The error is
// sds.ErrInvalidArgument when a resource has no name or the environment no region.
func Open(ctx context.Context, r Resources, o *Options) (*Adapter, error) {
	for _, f := range []struct{ name, value string }{
		{"State", r.State}, {"Hints", r.Hints}, {"Bucket", r.Bucket},
	} {
		if f.value == "" {
			return nil, fmt.Errorf("sdsaws: open: %w: Resources.%s is empty", sds.ErrInvalidArgument, f.name)
		}
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("sdsaws: open: %w", err)
	}
	if cfg.Region == "" {
		return nil, fmt.Errorf("sdsaws: open: %w: no AWS region: set AWS_REGION, or region in the AWS profile",
			sds.ErrInvalidArgument)
	}
	var retries RetryPolicy
	var usage *dynamo.Options
	if o != nil && o.Telemetry != nil {
		retries.OnRetry, usage = o.Telemetry.OnRetry, &dynamo.Options{OnUsage: o.Telemetry.OnUsage}
	}
	client := dynamodb.NewFromConfig(cfg, retries.DynamoDB)
	objects := s3.NewFromConfig(cfg, retries.S3, s3archive.PathStyle)
	return New(Backend{
		Log:     dynamo.NewLog(client, r.State, usage),
		Hints:   dynamo.NewHints(client, r.Hints, usage),
		Archive: s3archive.New(objects, r.Bucket, &s3archive.Options{Prefix: r.Prefix}),
	}, o)
}
