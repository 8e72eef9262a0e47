package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/s3archive"
)

func initCommand() *cobra.Command {
	var spec string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "init --backend aws:state=TABLE,hints=TABLE,bucket=BUCKET",
		Short: "Create tables and bucket for development",
		Long: `Create the DynamoDB tables for state and hints and a versioned private bucket, at the
endpoint of the standard AWS environment. What exists is kept when it has the right keys,
and refused when it has others. For production use infrastructure as code: these tables
have no backups, no deletion protection and no alarms.

With --json it prints an object: tables and buckets, the names of those that were created.

Exit status: 0 when all is there; 1 when it isn't, or has other keys. What was created
stays; run it again.

` + storedHelp,
		Example: `  AWS_ENDPOINT_URL=http://127.0.0.1:4566 sdsaws init --backend aws:state=sds-state,hints=sds-hints,bucket=sds-archive`,
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rest, ok := strings.CutPrefix(spec, "aws:")
			if !ok {
				return fmt.Errorf("%w: --backend is needed, as aws:state=TABLE,hints=TABLE,bucket=BUCKET", errUsage)
			}
			names, err := parseAWS(rest)
			if err != nil {
				return err
			}
			return initialize(cmd, names, asJSON)
		},
	}
	addBackend(cmd, &spec, "", "what to create")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// made is what init has created.
type made struct {
	Tables  []string `json:"tables"`
	Buckets []string `json:"buckets"`
}

func initialize(cmd *cobra.Command, names awsNames, asJSON bool) error {
	m, err := create(cmd.Context(), names)
	if m != nil {
		err = errors.Join(m.show(cmd.OutOrStdout(), asJSON, err == nil), err)
	}
	return err
}

// create creates what isn't there, and returns what that was; nil: nothing could be.
func create(ctx context.Context, names awsNames) (*made, error) {
	cfg, err := loadAWS(ctx)
	if err != nil {
		return nil, err
	}
	m := &made{Tables: []string{}, Buckets: []string{}}
	created, err := dynamo.CreateTables(ctx,
		dynamodb.NewFromConfig(cfg, sdsaws.RetryPolicy{}.DynamoDB), names.state, names.hints)
	m.Tables = append(m.Tables, created...)
	if err != nil {
		return m, err
	}
	there, err := createBucket(ctx, newS3(cfg), names.bucket, cfg.Region)
	if there {
		m.Buckets = append(m.Buckets, names.bucket)
	}
	return m, err
}

func (m *made) show(w io.Writer, asJSON, whole bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(m)
	}
	for _, name := range m.Tables {
		fmt.Fprintf(w, "created table %s\n", name)
	}
	for _, name := range m.Buckets {
		fmt.Fprintf(w, "created bucket %s\n", name)
	}
	if whole && len(m.Tables)+len(m.Buckets) == 0 {
		fmt.Fprintln(w, "all is there")
	}
	return nil
}

func newS3(cfg aws.Config) *s3.Client {
	return s3.NewFromConfig(cfg, sdsaws.RetryPolicy{}.S3, s3archive.PathStyle)
}

func createBucket(ctx context.Context, client *s3.Client, name, region string) (bool, error) {
	input := &s3.CreateBucketInput{Bucket: &name}
	if region != "us-east-1" { // which must not be named
		input.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(region)}
	}
	_, err := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &name})
	if missing := (*types.NotFound)(nil); err == nil {
		return false, nil
	} else if !errors.As(err, &missing) {
		return false, fmt.Errorf("look for bucket %q: %w", name, err)
	}
	if _, err := client.CreateBucket(ctx, input); err != nil {
		return false, fmt.Errorf("create bucket %q: %w", name, err)
	}
	if _, err := client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket:                  &name,
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}); err != nil {
		return true, fmt.Errorf("version bucket %q: %w", name, err)
	}
	_, err = client.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
		Bucket: &name,
		PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
			BlockPublicAcls: aws.Bool(true), BlockPublicPolicy: aws.Bool(true),
			IgnorePublicAcls: aws.Bool(true), RestrictPublicBuckets: aws.Bool(true)},
	})
	if err != nil {
		return true, fmt.Errorf("close bucket %q to the public: %w", name, err)
	}
	return true, nil
}
