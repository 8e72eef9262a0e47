package terraform_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/internal/permission"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/store"
)

// keys takes the partition keys of requests, as package dynamo makes them.
type keys struct {
	dynamo.LogClient
	dynamo.HintsClient
	made string
}

var errTaken = errors.New("taken")

func (k *keys) GetItem(_ context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	k.made = in.Key["pk"].(*types.AttributeValueMemberS).Value
	return nil, errTaken
}

func (k *keys) BatchGetItem(_ context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (
	*dynamodb.BatchGetItemOutput, error,
) {
	for _, table := range in.RequestItems {
		k.made = table.Keys[0]["pk"].(*types.AttributeValueMemberS).Value
	}
	return nil, errTaken
}

// BatchWriteItem isn't called.
func (k *keys) BatchWriteItem(context.Context, *dynamodb.BatchWriteItemInput, ...func(*dynamodb.Options)) (
	*dynamodb.BatchWriteItemOutput, error,
) {
	return nil, errTaken
}

// accesses is what a participant of a namespace asks for.
func accesses(t *testing.T, namespace string) []permission.Access {
	t.Helper()
	k := &keys{}
	channel := store.Key{Namespace: namespace, Channel: "/group/1/chat"}
	if _, err := dynamo.NewLog(k, "sds-state", nil).Head(t.Context(), channel); !errors.Is(err, errTaken) {
		t.Fatal(err)
	}
	all := []permission.Access{{Action: "dynamodb:GetItem", Table: "sds-state", LeadingKeys: []string{k.made}}}
	if _, err := dynamo.NewHints(k, "sds-hints", nil).Hints(t.Context(), namespace, []string{"id"}); !errors.Is(err, errTaken) {
		t.Fatal(err)
	}
	all = append(all, permission.Access{Action: "dynamodb:BatchGetItem", Table: "sds-hints", LeadingKeys: []string{k.made}})
	for _, kind := range []record.Kind{record.Segments, record.Values} {
		folder := record.Folder(kind, channel)
		all = append(all, permission.Access{Action: "s3:GetObjectVersion", Bucket: "sds", Key: folder + "x"},
			permission.Access{Action: "s3:ListBucketVersions", Bucket: "sds", Prefix: folder})
	}
	return all
}

// TestAParticipantIsConfinedToItsNamespace: keys and names are as the code makes them; no
// namespace reaches another, whatever characters it has, and Scan and the index are denied.
func TestAParticipantIsConfinedToItsNamespace(t *testing.T) {
	var printable strings.Builder
	for c := ' '; c <= '~'; c++ {
		if c != '*' && c != '?' {
			printable.WriteRune(c)
		}
	}
	namespaces := []string{"alice", "alice2", "alice/x", "alice/", "alic", "a", "%", "alice%2F", "alice~", "ALICE", "${aws:username}",
		printable.String(), printable.String()[:50], strings.Repeat("n", 100)}
	for _, mine := range namespaces {
		for _, below := range []bool{false, true} {
			p := parse(t, policies(t, tree(t), mine, below)[permission.Participant])
			for _, other := range namespaces {
				want := other == mine || below && strings.HasPrefix(other, mine+"/")
				for _, a := range accesses(t, other) {
					if got, err := p.Allows(account, a); got != want || err != nil {
						t.Errorf("a participant of %q (below: %v) asks for %+v: %v, %v", mine, below, a, got, err)
					}
				}
			}
			for _, a := range []permission.Access{
				{Action: "dynamodb:Scan", Table: "sds-state"},
				{Action: "dynamodb:Query", Table: "sds-state"},
				{Action: "dynamodb:Query", Table: "sds-state", Index: "channels", LeadingKeys: []string{mine}},
				{Action: "s3:ListBucketVersions", Bucket: "sds"},
				{Action: "s3:ListBucket", Bucket: "sds"},
			} {
				if got, err := p.Allows(account, a); got || err != nil {
					t.Errorf("a participant of %q asks for %+v: %v, %v", mine, a, got, err)
				}
			}
		}
	}
}

// TestAPolicyThatConfinesLessIsFound: the test above can fail.
func TestAPolicyThatConfinesLessIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		file, before, after string
		reaches             permission.Access
	}{
		"without the slash": {"modules/sdsaws/names.tf", `["${local.escaped[name]}/*"]`, `["${local.escaped[name]}*"]`,
			permission.Access{Action: "dynamodb:GetItem", Table: "sds-state", LeadingKeys: []string{"alice2/x"}}},
		"without Null": {"modules/sdsaws/policies.tf", `      values   = ["false"]`, `      values   = ["false", "true"]`,
			permission.Access{Action: "dynamodb:Query", Table: "sds-state"}},
		"without the slash of folders": {"modules/sdsaws/names.tf", `["namespace=${local.in_hex[name]}/*"]`, `["namespace=${local.in_hex[name]}*"]`,
			permission.Access{Action: "s3:GetObjectVersion", Bucket: "sds", Key: "segments/namespace=616c69636532/x"}},
	} {
		p := parse(t, policies(t, edited(t, c.file, c.before, c.after), "alice", false)[permission.Participant])
		if got, err := p.Allows(account, c.reaches); !got || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		p = parse(t, policies(t, tree(t), "alice", false)[permission.Participant])
		if got, err := p.Allows(account, c.reaches); got || err != nil {
			t.Errorf("%s, as it is: %v, %v", name, got, err)
		}
	}
}
