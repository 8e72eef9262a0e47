package dynamo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// ChannelsIndex is the sparse index over heads that lists the channels of a namespace:
// partition key "ns", sort key "pk", keys only.
const ChannelsIndex = "channels"

// HintsTTL is the attribute of hints by which DynamoDB removes those that have expired.
const HintsTTL = attrExpires

// ErrOtherTable says that a table of that name exists with other keys.
var ErrOtherTable = errors.New("table exists with other keys")

// TablesClient is what CreateTables calls; *dynamodb.Client has it.
type TablesClient interface {
	dynamodb.DescribeTableAPIClient
	CreateTable(context.Context, *dynamodb.CreateTableInput, ...func(*dynamodb.Options)) (
		*dynamodb.CreateTableOutput, error)
	DescribeTimeToLive(context.Context, *dynamodb.DescribeTimeToLiveInput, ...func(*dynamodb.Options)) (
		*dynamodb.DescribeTimeToLiveOutput, error)
	UpdateTimeToLive(context.Context, *dynamodb.UpdateTimeToLiveInput, ...func(*dynamodb.Options)) (
		*dynamodb.UpdateTimeToLiveOutput, error)
}

// CreateTables creates the tables for state and hints, on demand, and waits for them. It
// is for development: production tables want backups, protection and alarms. A table
// that exists is left as it is when its keys and index are right; else the error is
// ErrOtherTable. It reports which of the two it created.
func CreateTables(ctx context.Context, client TablesClient, state, hints string) (created []string, err error) {
	wanted := []*dynamodb.CreateTableInput{StateTable(state), HintsTable(hints)}
	// Both are looked at before either is made.
	var missing []*dynamodb.CreateTableInput
	for _, want := range wanted {
		there, err := check(ctx, client, want)
		if err != nil {
			return nil, err
		}
		if !there {
			missing = append(missing, want)
		}
	}
	for _, want := range missing {
		if _, err := client.CreateTable(ctx, want); err != nil {
			return created, fmt.Errorf("dynamo: create table %q: %w", *want.TableName, err)
		}
		waiter := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
			o.MinDelay = 500 * time.Millisecond
		})
		err := waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: want.TableName}, 2*time.Minute)
		if err != nil {
			return created, fmt.Errorf("dynamo: wait for table %q: %w", *want.TableName, err)
		}
		created = append(created, *want.TableName)
	}
	return created, expire(ctx, client, hints)
}

// StateTable returns what makes a state table: its keys and its index.
func StateTable(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:            &name,
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: attributes(attrPK, attrSK, attrNamespace),
		KeySchema:            keys(attrPK, attrSK),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName:  aws.String(ChannelsIndex),
			KeySchema:  keys(attrNamespace, attrPK),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}},
	}
}

// HintsTable returns what makes a hints table; HintsTTL is set once it is there.
func HintsTable(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:            &name,
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: attributes(attrPK),
		KeySchema:            keys(attrPK),
	}
}

func attributes(names ...string) (all []types.AttributeDefinition) {
	for _, name := range names {
		all = append(all, types.AttributeDefinition{
			AttributeName: aws.String(name), AttributeType: types.ScalarAttributeTypeS})
	}
	return all
}

func keys(names ...string) (all []types.KeySchemaElement) {
	for i, name := range names {
		kind := types.KeyTypeHash
		if i > 0 {
			kind = types.KeyTypeRange
		}
		all = append(all, types.KeySchemaElement{AttributeName: aws.String(name), KeyType: kind})
	}
	return all
}

// check reports whether the table is there, and an error when it is another one.
func check(ctx context.Context, client TablesClient, want *dynamodb.CreateTableInput) (bool, error) {
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: want.TableName})
	if missing := (*types.ResourceNotFoundException)(nil); errors.As(err, &missing) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("dynamo: look for table %q: %w", *want.TableName, err)
	}
	return true, SameTable(out.Table, want)
}

// SameTable returns an ErrOtherTable unless a table has the keys and the index that it should have.
func SameTable(table *types.TableDescription, want *dynamodb.CreateTableInput) error {
	other := func(what string) error {
		return fmt.Errorf("dynamo: %w: %q has %s: delete it or choose another name",
			ErrOtherTable, *want.TableName, what)
	}
	if !sameKeys(table.KeySchema, want.KeySchema) {
		return other("another key schema")
	}
	for _, d := range want.AttributeDefinitions {
		if !slices.ContainsFunc(table.AttributeDefinitions, func(o types.AttributeDefinition) bool {
			return *o.AttributeName == *d.AttributeName && o.AttributeType == d.AttributeType
		}) {
			return other(fmt.Sprintf("no string attribute %q", *d.AttributeName))
		}
	}
	for _, index := range want.GlobalSecondaryIndexes {
		if !slices.ContainsFunc(table.GlobalSecondaryIndexes, func(o types.GlobalSecondaryIndexDescription) bool {
			return *o.IndexName == *index.IndexName && sameKeys(o.KeySchema, index.KeySchema)
		}) {
			return other(fmt.Sprintf("no index %q as it should be", *index.IndexName))
		}
	}
	return nil
}

func sameKeys(a, b []types.KeySchemaElement) bool {
	return slices.EqualFunc(a, b, func(x, y types.KeySchemaElement) bool {
		return *x.AttributeName == *y.AttributeName && x.KeyType == y.KeyType
	})
}

// expire lets DynamoDB remove hints that have expired.
func expire(ctx context.Context, client TablesClient, hints string) error {
	now, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &hints})
	if err != nil {
		return fmt.Errorf("dynamo: look at TTL of %q: %w", hints, err)
	}
	if d := now.TimeToLiveDescription; d != nil &&
		(d.TimeToLiveStatus == types.TimeToLiveStatusEnabled || d.TimeToLiveStatus == types.TimeToLiveStatusEnabling) {
		if aws.ToString(d.AttributeName) == HintsTTL {
			return nil
		}
		return fmt.Errorf("dynamo: %w: %q expires items by another attribute", ErrOtherTable, hints)
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: &hints,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String(HintsTTL), Enabled: aws.Bool(true)},
	})
	if err != nil {
		return fmt.Errorf("dynamo: set TTL of %q: %w", hints, err)
	}
	return nil
}
