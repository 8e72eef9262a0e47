package main

import (
	"context"
	"errors"
	"fmt"
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
	cmd := &cobra.Command{
		Use:   "init --backend aws:state=TABLE,hints=TABLE,bucket=BUCKET",
		Short: "Create tables and bucket for development",
		Long: `Create the DynamoDB tables for state and hints and a versioned private bucket, at the
endpoint of the standard AWS environment. What exists is kept when it has the right keys,
and refused when it has others. For production use infrastructure as code: these tables
have no backups, no deletion protection and no alarms.`,
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
			return initialize(cmd, names)
		},
	}
	cmd.Flags().StringVar(&spec, "backend", "", "what to create")
	return cmd
}

func initialize(cmd *cobra.Command, names awsNames) error {
	ctx := cmd.Context()
	cfg, err := loadAWS(ctx)
	if err != nil {
		return err
	}
	created, err := dynamo.CreateTables(ctx,
		dynamodb.NewFromConfig(cfg, sdsaws.RetryPolicy{}.DynamoDB), names.state, names.hints)
	for _, name := range created {
		fmt.Fprintf(cmd.OutOrStdout(), "created table %s\n", name)
	}
	if err != nil {
		return err
	}
	made, err := createBucket(ctx, newS3(cfg), names.bucket, cfg.Region)
	if err != nil {
		return err
	}
	if made {
		fmt.Fprintf(cmd.OutOrStdout(), "created bucket %s\n", names.bucket)
	} else if len(created) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "all is there")
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
