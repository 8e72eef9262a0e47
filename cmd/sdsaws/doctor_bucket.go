package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// bucket checks the bucket, and reports whether it can be used.
func (a *onAccount) bucket() bool {
	name := &a.names.bucket
	_, err := a.s3.HeadBucket(a.ctx, &s3.HeadBucketInput{Bucket: name})
	missing := (*types.NotFound)(nil)
	switch {
	case errors.As(err, &missing):
		a.fail("bucket", fmt.Errorf("there is no bucket %q", *name),
			"make it by infrastructure code, for development by sdsaws init; or look at region and endpoint")
		return false
	case denied(err):
		a.unseen("bucket", "s3:ListBucket, without which S3 says \"denied\" of an object that isn't there", err)
	case err != nil:
		a.fail("bucket", err, "")
		return false
	default:
		a.ok("bucket", "%q is there", *name)
	}
	a.versions(name)
	a.publicAccess(name)
	a.encryption(name)
	a.lifecycle(name)
	return true
}

func (a *onAccount) versions(bucket *string) {
	const check = "bucket: versions"
	out, err := a.s3.GetBucketVersioning(a.ctx, &s3.GetBucketVersioningInput{Bucket: bucket})
	switch {
	case err != nil:
		a.unseen(check, "s3:GetBucketVersioning", err)
	case out.Status != types.BucketVersioningStatusEnabled:
		a.warn(check, "they are off: what is overwritten or deleted can't be restored", "switch versioning on")
	default:
		a.ok(check, "they are kept")
	}
}

// isCode reports whether S3 says with an error that something isn't set.
func isCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

func (a *onAccount) publicAccess(bucket *string) {
	const check, do = "bucket: public access", "block all public access to the bucket"
	out, err := a.s3.GetPublicAccessBlock(a.ctx, &s3.GetPublicAccessBlockInput{Bucket: bucket})
	switch {
	case isCode(err, "NoSuchPublicAccessBlockConfiguration"):
		a.fail(check, errors.New("it isn't blocked"), do)
		return
	case err != nil:
		a.unseen(check, "s3:GetBucketPublicAccessBlock", err)
		return
	}
	c := out.PublicAccessBlockConfiguration
	var open []string
	for name, on := range map[string]*bool{"BlockPublicAcls": c.BlockPublicAcls, "BlockPublicPolicy": c.BlockPublicPolicy,
		"IgnorePublicAcls": c.IgnorePublicAcls, "RestrictPublicBuckets": c.RestrictPublicBuckets} {
		if !aws.ToBool(on) {
			open = append(open, name)
		}
	}
	if len(open) > 0 {
		a.fail(check, fmt.Errorf("not all of it is blocked: %s is off", strings.Join(open, ", ")), do)
		return
	}
	a.ok(check, "it is blocked")
}

func (a *onAccount) encryption(bucket *string) {
	const check = "bucket: encryption"
	out, err := a.s3.GetBucketEncryption(a.ctx, &s3.GetBucketEncryptionInput{Bucket: bucket})
	switch {
	case isCode(err, "ServerSideEncryptionConfigurationNotFoundError"):
		a.warn(check, "no default is set", "set SSE-S3 or a KMS key")
		return
	case err != nil:
		a.unseen(check, "s3:GetEncryptionConfiguration", err)
		return
	}
	how := "by default"
	if c := out.ServerSideEncryptionConfiguration; c != nil && len(c.Rules) > 0 && c.Rules[0].ApplyServerSideEncryptionByDefault != nil {
		how = string(c.Rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm)
	}
	a.ok(check, "%s", how)
}

// lifecycle looks for rules. Live objects must not expire: segments and values are needed until
// they are deleted.
func (a *onAccount) lifecycle(bucket *string) {
	const check = "bucket: lifecycle"
	out, err := a.s3.GetBucketLifecycleConfiguration(a.ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: bucket})
	switch {
	case isCode(err, "NoSuchLifecycleConfiguration"):
		a.warn(check, "there is none: what others overwrite or delete is kept for ever",
			"let noncurrent versions expire, after the days that tables can be recovered to")
		return
	case err != nil:
		a.unseen(check, "s3:GetLifecycleConfiguration", err)
		return
	}
	noncurrent := false
	for _, rule := range out.Rules {
		if rule.Status != types.ExpirationStatusEnabled {
			continue
		}
		if e := rule.Expiration; e != nil && (aws.ToInt32(e.Days) > 0 || e.Date != nil) {
			a.warn(check, fmt.Sprintf("rule %q lets objects expire, whose manifests stay", aws.ToString(rule.ID)),
				"make sure that it spares segments/ and values/: what is gone there is lost history, or a broken channel")
			return
		}
		noncurrent = noncurrent || rule.NoncurrentVersionExpiration != nil
	}
	if !noncurrent {
		a.warn(check, "noncurrent versions never expire", "let them, after the days that tables can be recovered to")
		return
	}
	a.ok(check, "noncurrent versions expire, objects don't")
}
