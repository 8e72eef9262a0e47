package integration_test

import (
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// TestTransactionIsAllOrNothing shows that this is a DynamoDB that the tests can rely on:
// a failed condition undoes the whole transaction, and says which item it was.
func TestTransactionIsAllOrNothing(t *testing.T) {
	ctx := t.Context()
	client := dynamodb.NewFromConfig(cfg)
	table := aws.String("smoke-" + strings.ToLower(rand.Text()))
	if _, err := client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName:   table,
		BillingMode: ddb.BillingModePayPerRequest,
		AttributeDefinitions: []ddb.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: ddb.ScalarAttributeTypeS},
		},
		KeySchema: []ddb.KeySchemaElement{
			{AttributeName: aws.String("pk"), KeyType: ddb.KeyTypeHash},
		},
	}); err != nil {
		t.Fatal(err)
	}
	put := func(key string) ddb.TransactWriteItem {
		return ddb.TransactWriteItem{Put: &ddb.Put{
			TableName:           table,
			Item:                map[string]ddb.AttributeValue{"pk": &ddb.AttributeValueMemberS{Value: key}},
			ConditionExpression: aws.String("attribute_not_exists(pk)"),
		}}
	}
	write := func(keys ...string) error {
		var items []ddb.TransactWriteItem
		for _, k := range keys {
			items = append(items, put(k))
		}
		_, err := client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
		return err
	}
	if err := write("a", "b"); err != nil {
		t.Fatal(err)
	}
	err := write("c", "b")
	var canceled *ddb.TransactionCanceledException
	if !errors.As(err, &canceled) {
		t.Fatalf("second put of b: %v, want a canceled transaction", err)
	}
	var reasons []string
	for _, r := range canceled.CancellationReasons {
		reasons = append(reasons, aws.ToString(r.Code))
	}
	if want := []string{"None", "ConditionalCheckFailed"}; !slices.Equal(reasons, want) {
		t.Errorf("reasons %q, want %q", reasons, want)
	}
	got, err := client.Scan(ctx, &dynamodb.ScanInput{TableName: table, ConsistentRead: aws.Bool(true)})
	if err != nil || got.Count != 2 {
		t.Errorf("%d items, %v; want a and b", got.Count, err)
	}
}

// TestPutIfAbsentKeepsTheFirstObject does the same for S3.
func TestPutIfAbsentKeepsTheFirstObject(t *testing.T) {
	ctx := t.Context()
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	bucket := aws.String("smoke-" + strings.ToLower(rand.Text()))
	if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	put := func(body string) error {
		_, err := client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: bucket, Key: aws.String("key"), Body: strings.NewReader(body),
			IfNoneMatch: aws.String("*"),
		})
		return err
	}
	if err := put("first"); err != nil {
		t.Fatal(err)
	}
	err := put("second")
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "PreconditionFailed" {
		t.Fatalf("second put: %v, want PreconditionFailed", err)
	}
	object, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("key")})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	if body, err := io.ReadAll(object.Body); err != nil || string(body) != "first" {
		t.Errorf("%q, %v; want the first object", body, err)
	}
}
