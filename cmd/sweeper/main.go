// Command sweeper is a Lambda that sweeps the channels of many namespaces: it archives what was
// evicted, goes on with what others have begun, and removes what nothing refers to. A schedule
// invokes it; docs/lambda.md says how it takes turns, what it reports, and what it needs.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/s3archive"
)

func main() {
	s, err := newSweeper(context.Background(), os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err) // Lambda reports that the process has ended
		os.Exit(1)
	}
	lambda.Start(s.handle)
}

// newSweeper reads the environment. It makes no request.
func newSweeper(ctx context.Context, getenv func(string) string) (*sweeper, error) {
	e, err := readEnvironment(getenv)
	if err != nil {
		return nil, fmt.Errorf("sweeper: %w", err)
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("sweeper: AWS environment: %w", err)
	}
	client := dynamodb.NewFromConfig(cfg, sdsaws.RetryPolicy{}.DynamoDB)
	objects := s3.NewFromConfig(cfg, sdsaws.RetryPolicy{}.S3, s3archive.PathStyle)
	log := dynamo.NewLog(client, e.state, nil)
	backend := sdsaws.Backend{
		Log:     log,
		Hints:   dynamo.NewHints(client, e.hints, nil),
		Archive: s3archive.New(objects, e.bucket, &s3archive.Options{Prefix: e.prefix}),
	}
	return &sweeper{
		namespaces: e.namespaces,
		listing:    log,
		rounds:     dynamo.NewRounds(client, e.state, e.here, nil),
		open: func(namespace string) (channelSweeper, error) {
			return sdsaws.New(backend, &sdsaws.Options{Namespace: namespace, Region: e.region, Writer: "sweeper"})
		},
		function: e.function,
		workers:  e.workers,
		log:      slog.New(slog.NewJSONHandler(os.Stderr, nil)),
		metrics:  os.Stdout,
		now:      time.Now,
	}, nil
}
