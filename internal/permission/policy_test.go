package permission_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sdsaws/sdsaws/internal/permission"
)

var account = permission.Account{ID: "1", Region: "r"}

// TestAPolicyAllowsAsIAMDoes: conditions hold as IAM's documentation has them.
func TestAPolicyAllowsAsIAMDoes(t *testing.T) {
	get := func(keys ...string) permission.Access {
		return permission.Access{Action: "dynamodb:GetItem", Table: "t", LeadingKeys: keys}
	}
	list := func(prefix string) permission.Access {
		return permission.Access{Action: "s3:ListBucketVersions", Bucket: "b", Prefix: prefix}
	}
	const forAll = `"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["a/*"]}`
	const null = `"Null": {"dynamodb:LeadingKeys": ["false"]}`
	for _, c := range []struct {
		action, resource, conditions string
		access                       permission.Access
		want                         bool
	}{
		{"dynamodb:GetItem", "arn:aws:dynamodb:r:1:table/t", "", get("x"), true},
		{"dynamodb:PutItem", "arn:aws:dynamodb:r:1:table/t", "", get("x"), false},
		{"dynamodb:GetItem", "arn:aws:dynamodb:r:1:table/t2", "", get("x"), false},
		{"dynamodb:GetItem", "arn:aws:dynamodb:r:1:table/*", "", get("x"), true},
		{"dynamodb:GetItem", "arn:aws:dynamodb:r:1:table/t", forAll, get("a/x", "a/y"), true},
		{"dynamodb:GetItem", "arn:aws:dynamodb:r:1:table/t", forAll, get("a/x", "b/y"), false},
		{"dynamodb:GetItem", "arn:aws:dynamodb:r:1:table/t", forAll, get("ax/y"), false},
		{"dynamodb:GetItem", "arn:aws:dynamodb:r:1:table/t", forAll, get(), true}, // no key at all
		{"dynamodb:GetItem", "arn:aws:dynamodb:r:1:table/t", forAll + "," + null, get(), false},
		{"dynamodb:GetItem", "arn:aws:dynamodb:r:1:table/t", forAll + "," + null, get("a/x"), true},
		{"s3:ListBucketVersions", "arn:aws:s3:::b", `"StringLike": {"s3:prefix": ["p/*"]}`, list("p/x"), true},
		{"s3:ListBucketVersions", "arn:aws:s3:::b", `"StringLike": {"s3:prefix": ["p/*"]}`, list(""), false},
	} {
		text := `{"Statement": [{"Effect": "Allow", "Action": ["` + c.action + `"], "Resource": ["` + c.resource +
			`"], "Condition": {` + c.conditions + `}}]}`
		p, err := permission.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.Allows(account, c.access); got != c.want || err != nil {
			t.Errorf("%s allows %+v: %v, %v", text, c.access, got, err)
		}
	}
}

// TestWhatIsNotKnownIsAnError, and never a permission.
func TestWhatIsNotKnownIsAnError(t *testing.T) {
	if _, err := permission.Parse(`{"Statement": [{"Effect": "Deny"}]}`); err == nil {
		t.Error("a statement that denies was read")
	}
	p, err := permission.Parse(`{"Statement": [{"Effect": "Allow", "Action": ["dynamodb:Scan"],
		"Resource": ["*"], "Condition": {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8"]}}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := p.Allows(account, permission.Access{Action: "dynamodb:Scan", Table: "t"}); ok || err == nil {
		t.Error("an unknown condition was passed over")
	}
	if _, err := permission.Accesses(&s3.CopyObjectInput{}, nil); err == nil {
		t.Error("CopyObject needs nothing")
	}
}

// TestARequestNeedsTheActionsOfItsParts.
func TestARequestNeedsTheActionsOfItsParts(t *testing.T) {
	pk := func(v string) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: v}}
	}
	table := aws.String("t")
	for name, c := range map[string]struct {
		input any
		err   error
		want  []string
	}{
		"a transaction": {&dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Put: &types.Put{TableName: table, Item: pk("a")}},
			{ConditionCheck: &types.ConditionCheck{TableName: table, Key: pk("b")}},
			{Delete: &types.Delete{TableName: table, Key: pk("c")}},
			{Update: &types.Update{TableName: table, Key: pk("d")}},
		}}, nil, []string{"dynamodb:PutItem a", "dynamodb:ConditionCheckItem b", "dynamodb:DeleteItem c", "dynamodb:UpdateItem d"}},
		"a query": {&dynamodb.QueryInput{TableName: table, KeyConditionExpression: aws.String("pk = :p AND sk > :s"),
			ExpressionAttributeValues: map[string]types.AttributeValue{":p": pk("a")["pk"]}}, nil, []string{"dynamodb:Query a"}},
		"a missing object": {&s3.GetObjectInput{Bucket: table, Key: table}, &s3types.NoSuchKey{}, []string{"s3:GetObject ", "s3:ListBucket "}},
		"deletes": {&s3.DeleteObjectsInput{Bucket: table, Delete: &s3types.Delete{Objects: []s3types.ObjectIdentifier{
			{Key: table, VersionId: table}, {Key: table}}}}, nil, []string{"s3:DeleteObjectVersion ", "s3:DeleteObject "}},
	} {
		got, err := permission.Accesses(c.input, c.err)
		if err != nil || len(got) != len(c.want) {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		for i, a := range got {
			key := ""
			if len(a.LeadingKeys) > 0 {
				key = a.LeadingKeys[0]
			}
			if a.Action+" "+key != c.want[i] {
				t.Errorf("%s: %+v, want %s", name, a, c.want[i])
			}
		}
	}
}
