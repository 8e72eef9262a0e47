package terraform_test

import (
	"context"
	"errors"
	"slices"
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

// accesses is what an adapter of a namespace asks for.
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
		folder := prefix + record.Folder(kind, channel)
		all = append(all, permission.Access{Action: "s3:GetObjectVersion", Bucket: "sds", Key: folder + "x"},
			permission.Access{Action: "s3:ListBucketVersions", Bucket: "sds", Prefix: folder})
	}
	return all
}

// confined are the roles that are confined to a namespace.
var confined = []permission.Role{permission.Participant, permission.Reader}

// prefix is what names in the bucket begin with.
const prefix = "some/prefix/"

// TestParticipantsAndReadersAreConfinedToTheirNamespace: keys and names are as the code makes
// them; no namespace reaches another, whatever characters it has, and Scan and the index are
// denied.
func TestParticipantsAndReadersAreConfinedToTheirNamespace(t *testing.T) {
	var printable strings.Builder
	for c := ' '; c <= '~'; c++ {
		if c != '*' && c != '?' {
			printable.WriteRune(c)
		}
	}
	namespaces := []string{"alice", "alice2", "alice/x", "alice/", "alic", "a", "%", "alice%2F", "alice~", "ALICE", "${aws:username}",
		printable.String(), printable.String()[:50], strings.Repeat("n", 100)}
	asked := map[string][]permission.Access{}
	for _, n := range namespaces {
		asked[n] = accesses(t, n)
	}
	for _, mine := range namespaces {
		for _, below := range []bool{false, true} {
			written := policies(t, tree(t), prefix, mine, below)
			for _, role := range confined {
				p := parse(t, written[role])
				for other, all := range asked {
					reaches := other == mine || below && strings.HasPrefix(other, mine+"/")
					for _, a := range all {
						want := reaches && does(role, a.Action)
						if got, err := p.Allows(account, a); got != want || err != nil {
							t.Errorf("a %s of %q (below: %v) asks for %+v: %v, %v", role, mine, below, a, got, err)
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
						t.Errorf("a %s of %q asks for %+v: %v, %v", role, mine, a, got, err)
					}
				}
			}
		}
	}
}

func does(role permission.Role, action string) bool {
	return slices.ContainsFunc(permission.Roles[role], func(g permission.Grant) bool { return g.Action == action })
}

// TestAPolicyThatConfinesLessIsFound: the test above can fail.
func TestAPolicyThatConfinesLessIsFound(t *testing.T) {
	const policiesFile, namesFile = "modules/sdsaws/policies.tf", "modules/sdsaws/names.tf"
	state := permission.Access{Action: "dynamodb:Query", Table: "sds-state"}
	ofAlice2 := permission.Access{Action: "dynamodb:GetItem", Table: "sds-state", LeadingKeys: []string{"alice2/x"}}
	segment := permission.Access{Action: "s3:GetObjectVersion", Bucket: "sds", Key: prefix + "segments/namespace=616c69636532/x"}
	keysOf := func(role, values string) [2]string {
		return [2]string{`values   = local.leading_keys["` + role + ` ${each.key}"]`, "values   = " + values}
	}
	for name, c := range map[string]struct {
		role    permission.Role
		file    string
		edit    [2]string
		reaches permission.Access
	}{
		"without the slash": {permission.Participant, namesFile,
			[2]string{`["${local.escaped[name]}/*"]`, `["${local.escaped[name]}*"]`}, ofAlice2},
		"a reader without the slash": {permission.Reader, namesFile,
			[2]string{`["${local.escaped[name]}/*"]`, `["${local.escaped[name]}*"]`}, ofAlice2},
		"without Null": {permission.Participant, policiesFile,
			[2]string{`      values   = ["false"]`, `      values   = ["false", "true"]`}, state},
		"without the slash of folders": {permission.Participant, namesFile,
			[2]string{`["namespace=${local.in_hex[name]}/*"]`, `["namespace=${local.in_hex[name]}*"]`}, segment},
		"any key":             {permission.Participant, policiesFile, keysOf("participant", `["*"]`), ofAlice2},
		"any key of a reader": {permission.Reader, policiesFile, keysOf("reader", `["*"]`), ofAlice2},
		"one more condition of a reader": {permission.Reader, policiesFile, [2]string{
			keysOf("reader", "")[0] + "\n    }\n", keysOf("reader", "")[0] +
				"\n    }\n    condition {\n      test     = \"ForAllValues:StringLike\"\n" +
				"      variable = \"dynamodb:LeadingKeys\"\n      values   = [\"*\"]\n    }\n"}, ofAlice2},
		"any object of a reader": {permission.Reader, policiesFile,
			[2]string{`resources = local.objects_of["reader ${each.key}"]`, "resources = local.objects"}, segment},
	} {
		p := parse(t, policies(t, edited(t, c.file, c.edit[0], c.edit[1]), prefix, "alice", false)[c.role])
		if got, err := p.Allows(account, c.reaches); !got || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		p = parse(t, policies(t, tree(t), prefix, "alice", false)[c.role])
		if got, err := p.Allows(account, c.reaches); got || err != nil {
			t.Errorf("%s, as it is: %v, %v", name, got, err)
		}
	}
}
