package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/dynamo"
)

// onAccount is what the doctor looks at on AWS.
type onAccount struct {
	*diagnosis
	cfg   aws.Config
	names awsNames
	db    *dynamodb.Client
	s3    *s3.Client
	timed bool // an answer was compared with the clock
}

// aws checks what is there on AWS. It reports whether a round trip makes sense.
func (r *diagnosis) aws(names awsNames, namespace string) bool {
	cfg, err := loadAWS(r.ctx)
	if err != nil {
		r.fail("credentials", err, "do as it says until aws sts get-caller-identity succeeds")
		return false
	}
	endpoint := "AWS's own"
	if e := aws.ToString(cfg.BaseEndpoint); e != "" {
		endpoint = e
	}
	r.ok("environment", "region %s, endpoint %s", cfg.Region, endpoint)
	a := &onAccount{r, cfg, names, dynamodb.NewFromConfig(cfg, sdsaws.RetryPolicy{}.DynamoDB), newS3(cfg), false}
	a.identity()
	state := a.table("state table", dynamo.StateTable(names.state))
	hints := a.table("hints table", dynamo.HintsTable(names.hints))
	if hints {
		a.ttl()
	}
	if !a.timed {
		a.skip("clock", "no answer that has a time")
	}
	bucket := a.bucket()
	if !state || !hints || !bucket {
		r.skip("permissions", "table or bucket can't be used")
		return false
	}
	a.permissions(namespace)
	return true
}

// identity asks who it is that asks.
func (a *onAccount) identity() {
	who, err := sts.NewFromConfig(a.cfg).GetCallerIdentity(a.ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		// It needs no permission, but an endpoint may not have it.
		a.warn("identity", err.Error(), "look at the credentials: aws sts get-caller-identity")
		return
	}
	a.ok("identity", "%s", aws.ToString(who.Arn))
	a.clock(who.ResultMetadata)
}

// clock compares the time of the first answer that has one with this machine's. AWS refuses requests whose time is five
// minutes off.
func (a *onAccount) clock(answer middleware.Metadata) {
	server, ok := awsmiddleware.GetServerTime(answer)
	here, ok2 := awsmiddleware.GetResponseAt(answer)
	if a.timed || !ok || !ok2 {
		return
	}
	a.timed = true
	skew := here.Sub(server).Round(time.Second) // answers have full seconds
	const do = "let NTP set this machine's clock; AWS refuses requests whose time is 5 minutes off"
	switch text := fmt.Sprintf("this machine's is %v ahead", skew); {
	case skew.Abs() <= 10*time.Second:
		a.ok("clock", "%v off", skew.Abs())
	case skew.Abs() < 4*time.Minute:
		a.warn("clock", text, do)
	default:
		a.fail("clock", errors.New(text), do)
	}
}

// denied reports whether an error says that something isn't allowed.
func denied(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden":
		return true
	}
	return false
}

// unseen is for a setting that couldn't be looked at.
func (a *onAccount) unseen(check, action string, err error) {
	if denied(err) {
		a.warn(check, "not allowed to look", "allow "+action+", or let somebody look who may")
		return
	}
	a.fail(check, err, "")
}

// table checks a table, and reports whether it can be used.
func (a *onAccount) table(check string, want *dynamodb.CreateTableInput) bool {
	out, err := a.db.DescribeTable(a.ctx, &dynamodb.DescribeTableInput{TableName: want.TableName})
	if missing := (*ddb.ResourceNotFoundException)(nil); errors.As(err, &missing) {
		a.fail(check, fmt.Errorf("there is no table %q", *want.TableName),
			"make it by infrastructure code, for development by sdsaws init; or look at region and endpoint")
		return false
	}
	if denied(err) {
		a.unseen(check, "dynamodb:DescribeTable", err)
		return true
	}
	if err != nil {
		a.fail(check, err, "")
		return false
	}
	if err := dynamo.SameTable(out.Table, want); err != nil {
		a.fail(check, err, "name the right table; keys can't be changed, an index can be added: terraform/modules/sdsaws has both tables")
		return false
	}
	a.clock(out.ResultMetadata)
	t := out.Table
	if parts, active := tableParts(t); active {
		a.ok(check, "%q has the right keys%s", *want.TableName, parts)
	} else {
		a.warn(check, fmt.Sprintf("%q is %s%s", *want.TableName, t.TableStatus, parts), "wait until all of it is ACTIVE")
	}
	if aws.ToBool(t.DeletionProtectionEnabled) {
		a.ok(check+": protection", "it can't be deleted by mistake")
	} else {
		a.warn(check+": protection", "deletion protection is off", "switch it on in production")
	}
	a.recovery(check+": recovery", *want.TableName)
	return true
}

// tableParts returns the indexes of a table, and whether it and they can be used.
func tableParts(t *ddb.TableDescription) (indexes string, active bool) {
	active = t.TableStatus == ddb.TableStatusActive
	for _, i := range t.GlobalSecondaryIndexes {
		indexes += fmt.Sprintf(", index %s %s", aws.ToString(i.IndexName), i.IndexStatus)
		active = active && i.IndexStatus == ddb.IndexStatusActive
	}
	return indexes, active
}

func (a *onAccount) recovery(check, table string) {
	out, err := a.db.DescribeContinuousBackups(a.ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &table})
	if err != nil {
		a.unseen(check, "dynamodb:DescribeContinuousBackups", err)
		return
	}
	d := out.ContinuousBackupsDescription
	if d == nil || d.PointInTimeRecoveryDescription == nil ||
		d.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus != ddb.PointInTimeRecoveryStatusEnabled {
		a.warn(check, "point-in-time recovery is off", "switch it on in production: it is what a damaged table is restored by")
		return
	}
	a.ok(check, "point-in-time recovery is on")
}

// ttl checks that hints expire.
func (a *onAccount) ttl() {
	const check = "hints table: TTL"
	out, err := a.db.DescribeTimeToLive(a.ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &a.names.hints})
	if err != nil {
		a.unseen(check, "dynamodb:DescribeTimeToLive", err)
		return
	}
	d := out.TimeToLiveDescription
	on := d != nil && (d.TimeToLiveStatus == ddb.TimeToLiveStatusEnabled || d.TimeToLiveStatus == ddb.TimeToLiveStatusEnabling)
	do := fmt.Sprintf("set the table's TTL attribute to %q", dynamo.HintsTTL)
	switch {
	case !on:
		a.warn(check, "it is off: hints that have expired are never removed", do)
	case aws.ToString(d.AttributeName) != dynamo.HintsTTL:
		a.fail(check, fmt.Errorf("it goes by attribute %q", aws.ToString(d.AttributeName)), do)
	default:
		a.ok(check, "expired hints are removed")
	}
}
