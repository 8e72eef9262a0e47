package permission

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// Access is what IAM decides about for a request: a request can need several.
type Access struct {
	Action       string
	Table, Index string   // of DynamoDB
	LeadingKeys  []string // partition keys; none for a Scan
	Bucket, Key  string   // of S3; no key where the bucket itself is meant
	Prefix       string   // of a list
}

// Accesses returns what a request of the SDK needs, which was answered with err.
//
// Transactions need the actions of their parts:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html.
// Actions of S3's operations:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html; all
// of both services:
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html and
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html.
func Accesses(input any, err error) ([]Access, error) {
	switch in := input.(type) {
	case *dynamodb.GetItemInput:
		return table("GetItem", in.TableName, in.Key), nil
	case *dynamodb.PutItemInput:
		return table("PutItem", in.TableName, in.Item), nil
	case *dynamodb.UpdateItemInput:
		return table("UpdateItem", in.TableName, in.Key), nil
	case *dynamodb.DeleteItemInput:
		return table("DeleteItem", in.TableName, in.Key), nil
	case *dynamodb.ScanInput:
		return []Access{{Action: "dynamodb:Scan", Table: *in.TableName, Index: aws.ToString(in.IndexName)}}, nil
	case *dynamodb.QueryInput:
		return query(in)
	case *dynamodb.BatchGetItemInput:
		var all []Access
		for name, keys := range in.RequestItems {
			all = append(all, table("BatchGetItem", &name, keys.Keys...)...)
		}
		return all, nil
	case *dynamodb.BatchWriteItemInput:
		var all []Access
		for name, writes := range in.RequestItems {
			var keys []item
			for _, w := range writes {
				if w.PutRequest != nil {
					keys = append(keys, w.PutRequest.Item)
				} else {
					keys = append(keys, w.DeleteRequest.Key)
				}
			}
			all = append(all, table("BatchWriteItem", &name, keys...)...)
		}
		return all, nil
	case *dynamodb.TransactWriteItemsInput:
		return transaction(in)
	}
	return objects(input, err)
}

func objects(input any, err error) ([]Access, error) {
	switch in := input.(type) {
	case *s3.PutObjectInput:
		return []Access{{Action: "s3:PutObject", Bucket: *in.Bucket, Key: *in.Key}}, nil
	case *s3.HeadObjectInput:
		return get(in.Bucket, in.Key, in.VersionId, err), nil
	case *s3.GetObjectInput:
		return get(in.Bucket, in.Key, in.VersionId, err), nil
	case *s3.ListObjectVersionsInput:
		return []Access{{Action: "s3:ListBucketVersions", Bucket: *in.Bucket, Prefix: aws.ToString(in.Prefix)}}, nil
	case *s3.DeleteObjectsInput:
		var all []Access
		for _, o := range in.Delete.Objects {
			action := "s3:DeleteObject"
			if o.VersionId != nil {
				action = "s3:DeleteObjectVersion"
			}
			all = append(all, Access{Action: action, Bucket: *in.Bucket, Key: *o.Key})
		}
		return all, nil
	}
	return nil, fmt.Errorf("permission: which action a %T needs isn't known here", input)
}

// get is also how s3:ListBucket shows: who has it is told that there is no such object,
// others that they may not read it.
func get(bucket, key, version *string, err error) []Access {
	a := Access{Action: "s3:GetObject", Bucket: *bucket, Key: *key}
	if version != nil {
		a.Action = "s3:GetObjectVersion"
	}
	all := []Access{a}
	var api smithy.APIError
	if errors.As(err, &api) && slices.Contains([]string{"NoSuchKey", "NoSuchVersion", "NotFound"}, api.ErrorCode()) {
		all = append(all, Access{Action: "s3:ListBucket", Bucket: *bucket})
	}
	return all
}

type item = map[string]types.AttributeValue

func table(operation string, name *string, keys ...item) []Access {
	a := Access{Action: "dynamodb:" + operation, Table: *name}
	for _, k := range keys {
		if pk, ok := k["pk"].(*types.AttributeValueMemberS); ok {
			a.LeadingKeys = append(a.LeadingKeys, pk.Value)
		}
	}
	return []Access{a}
}

var leading = regexp.MustCompile(`^\w+ = (:\w+)`)

func query(in *dynamodb.QueryInput) ([]Access, error) {
	m := leading.FindStringSubmatch(aws.ToString(in.KeyConditionExpression))
	if m == nil {
		return nil, fmt.Errorf("permission: a Query by %q", aws.ToString(in.KeyConditionExpression))
	}
	a := Access{Action: "dynamodb:Query", Table: *in.TableName, Index: aws.ToString(in.IndexName)}
	if v, ok := in.ExpressionAttributeValues[m[1]].(*types.AttributeValueMemberS); ok {
		a.LeadingKeys = []string{v.Value}
	}
	return []Access{a}, nil
}

func transaction(in *dynamodb.TransactWriteItemsInput) ([]Access, error) {
	var all []Access
	for _, t := range in.TransactItems {
		switch {
		case t.Put != nil:
			all = append(all, table("PutItem", t.Put.TableName, t.Put.Item)...)
		case t.Update != nil:
			all = append(all, table("UpdateItem", t.Update.TableName, t.Update.Key)...)
		case t.Delete != nil:
			all = append(all, table("DeleteItem", t.Delete.TableName, t.Delete.Key)...)
		case t.ConditionCheck != nil:
			all = append(all, table("ConditionCheckItem", t.ConditionCheck.TableName, t.ConditionCheck.Key)...)
		default:
			return nil, errors.New("permission: an empty part of a transaction")
		}
	}
	return all, nil
}
