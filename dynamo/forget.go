package dynamo

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sdsaws/sdsaws/store"
)

// Forget removes the head of a channel whose commit id is id, the last thing that a drop leaves of
// it. It is for channels whose id never comes back, with nobody at work on them: a request that is delayed, and
// builds on no head, would find none.
func (l *Log) Forget(ctx context.Context, key store.Key, id store.CommitID) error {
	const operation = "DeleteItem"
	pk, _ := channelKey(key)
	_, err := l.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName:                           &l.table,
		Key:                                 item{attrPK: str(pk), attrSK: str(headKey)},
		ConditionExpression:                 aws.String("c = :c"),
		ExpressionAttributeValues:           item{":c": binary(id[:])},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}, l.meter.each(operation, Deletes, 1))
	var refused *types.ConditionalCheckFailedException
	if errors.As(err, &refused) {
		return conflict("forget", refused.Item)
	}
	if err != nil {
		return fmt.Errorf("dynamo: forget: %w", err)
	}
	return nil
}
