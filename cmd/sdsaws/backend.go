package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/internal/replay"
	"github.com/sdsaws/sdsaws/s3archive"
	"github.com/sdsaws/sdsaws/store"
)

const backendHelp = `Backends:
  embedded:DIR                                  an SQLite database in DIR; without DIR a temporary one
  aws:state=TABLE,hints=TABLE,bucket=BUCKET[,prefix=P]
                                                tables and bucket on AWS; region, endpoint and credentials
                                                are those of the standard AWS environment (AWS_REGION,
                                                AWS_ENDPOINT_URL, AWS_PROFILE, …)`

// backend is an opened backend and what was used of it.
type backend struct {
	replay.Backend
	usage  *tally
	region string // of AWS; else empty

	// forget removes the head that a drop leaves.
	forget func(ctx context.Context, key store.Key, id store.CommitID) error
	close  func() error
}

// awsNames is what an aws: backend names.
type awsNames struct{ state, hints, bucket, prefix string }

// parseAWS reads what follows "aws:".
func parseAWS(spec string) (awsNames, error) {
	var n awsNames
	fields := map[string]*string{"state": &n.state, "hints": &n.hints, "bucket": &n.bucket, "prefix": &n.prefix}
	for part := range strings.SplitSeq(spec, ",") {
		name, value, ok := strings.Cut(part, "=")
		field := fields[name]
		if !ok || value == "" || field == nil || *field != "" {
			return n, fmt.Errorf(`%w: --backend: %q is not state=TABLE, hints=TABLE, bucket=BUCKET or prefix=P, once each`,
				errUsage, part)
		}
		*field = value
	}
	if n.state == "" || n.hints == "" || n.bucket == "" {
		return n, fmt.Errorf("%w: --backend: aws: needs state=TABLE, hints=TABLE and bucket=BUCKET", errUsage)
	}
	return n, nil
}

// openBackend opens what --backend names.
func openBackend(ctx context.Context, spec string) (*backend, error) {
	kind, rest, ok := strings.Cut(spec, ":")
	switch {
	case !ok:
	case kind == "embedded":
		return openEmbedded(rest)
	case kind == "aws":
		names, err := parseAWS(rest)
		if err != nil {
			return nil, err
		}
		return openAWS(ctx, names)
	}
	return nil, fmt.Errorf("%w: --backend: %q is neither embedded:DIR nor aws:…", errUsage, spec)
}

// openEmbedded opens the store in dir, or in a temporary directory that goes with it.
func openEmbedded(dir string) (*backend, error) {
	remove := func() error { return nil }
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "sdsaws-"); err != nil {
			return nil, err
		}
		remove = func() error { return os.RemoveAll(dir) }
	}
	s, err := embedded.Open(dir, nil)
	if err != nil {
		_ = remove() // the other error says more
		return nil, err
	}
	return &backend{Backend: s, usage: newTally(), forget: s.Forget, close: func() error {
		if err := s.Close(); err != nil {
			return err
		}
		return remove()
	}}, nil
}

// onAWS is DynamoDB and S3 as one backend.
type onAWS struct {
	*dynamo.Log
	dynamoHints
	archive store.Archive
}

func (o onAWS) Archive() store.Archive { return o.archive }

type dynamoHints = store.Hints

func openAWS(ctx context.Context, names awsNames) (*backend, error) {
	cfg, err := loadAWS(ctx)
	if err != nil {
		return nil, err
	}
	client := dynamodb.NewFromConfig(cfg, sdsaws.RetryPolicy{}.DynamoDB)
	t := newTally()
	o := &dynamo.Options{OnUsage: t.add}
	log := dynamo.NewLog(client, names.state, o)
	return &backend{
		Backend: onAWS{log, dynamo.NewHints(client, names.hints, o),
			s3archive.New(newS3(cfg), names.bucket, &s3archive.Options{Prefix: names.prefix, OnUsage: t.addS3})},
		usage:  t,
		forget: log.Forget,
		region: cfg.Region,
		close:  func() error { return nil },
	}, nil
}

func loadAWS(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return cfg, fmt.Errorf("AWS environment: %w", err)
	}
	if cfg.Region == "" {
		return cfg, fmt.Errorf("%w: no AWS region: set AWS_REGION, or region in the AWS profile", errUsage)
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil { // they are kept
		return cfg, fmt.Errorf("no AWS credentials that can be used: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "+
			"AWS_SECRET_ACCESS_KEY, sign in (aws sso login), or run where a role is attached: %w", err)
	}
	return cfg, nil
}

// tally adds up what requests use.
type tally struct {
	mu       sync.Mutex
	requests map[string]int
	write    map[dynamo.Purpose]int
	read     int
}

func newTally() *tally {
	return &tally{requests: map[string]int{}, write: map[dynamo.Purpose]int{}}
}

func (t *tally) add(u dynamo.Usage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u.Requests > 0 {
		t.requests[u.Operation] += u.Requests
	}
	t.write[u.Purpose] += u.WriteUnits
	t.read += u.ReadUnits
}

func (t *tally) addS3(u s3archive.Usage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests[u.Operation]++
}

// into writes the sums into a result and starts over.
func (t *tally) into(r *replay.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.Requests = t.requests
	r.WriteUnits = replay.WriteUnits{
		Commits:   t.write[dynamo.Commits],
		Claims:    t.write[dynamo.Claims],
		Deletes:   t.write[dynamo.Deletes],
		Manifests: t.write[dynamo.Manifests],
		Hints:     t.write[dynamo.HintOps],
	}
	r.ReadUnits = t.read
	if len(t.requests) > 0 { // counted where they were sent
		r.S3Puts, r.S3Gets = t.requests["PutObject"], t.requests["GetObject"]
	}
	t.requests, t.write, t.read = map[string]int{}, map[dynamo.Purpose]int{}, 0
}
