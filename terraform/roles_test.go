package terraform_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws/internal/permission"
)

// everythingAt uses each option of modules/sdsaws, names for the bucket too.
func everythingAt() values {
	v := everything()
	v["bucket"], v["prefix"] = text("sds"), text(prefix)
	return v
}

// bounds are the patterns of keys and folders that confine who has a namespace.
type bounds struct{ keys, folders []string }

var (
	ofAlice  = &bounds{[]string{"alice/*"}, []string{"namespace=616c696365/*"}}
	ofTenant = &bounds{[]string{"a%20b%2Fc/*", "a%20b%2Fc%2F*"},
		[]string{"namespace=6120622f63/*", "namespace=6120622f632f*"}} // "a b/c" and below
)

// statementsOf returns a role's policy in both regions, with a KMS key in each: the actions of
// permission.Roles, on what they are for, and nothing else.
func statementsOf(t *testing.T, role permission.Role, in *bounds) (all []string) {
	t.Helper()
	var tables, buckets, objects, prefixes, kms []string
	for _, region := range []string{"eu-central-1", "eu-west-1"} {
		tables = append(tables, "arn:aws:dynamodb:"+region+":123456789012:table/")
		kms = append(kms, "arn:aws:kms:"+region+":123456789012:key/1")
	}
	folders := []string{"*"}
	if in != nil {
		folders = in.folders
	}
	for _, f := range folders {
		prefixes = append(prefixes, prefix+"segments/"+f, prefix+"values/"+f)
	}
	for _, bucket := range []string{"sds", "sds-eu-west-1"} {
		buckets = append(buckets, "arn:aws:s3:::"+bucket)
		for _, p := range prefixes {
			objects = append(objects, "arn:aws:s3:::"+bucket+"/"+p)
		}
	}
	resources := map[permission.On][]string{permission.Bucket: buckets, permission.Objects: objects}
	for on, name := range map[permission.On]string{
		permission.State: "sds-state", permission.Index: "sds-state/index/channels", permission.Hints: "sds-hints",
	} {
		for _, table := range tables {
			resources[on] = append(resources[on], table+name)
		}
	}
	conditions := map[permission.On]any{}
	if in != nil {
		conditions[permission.State] = map[string]any{"Null": map[string]any{"dynamodb:LeadingKeys": "false"},
			"ForAllValues:StringLike": map[string]any{"dynamodb:LeadingKeys": in.keys}}
		conditions[permission.Hints] = conditions[permission.State]
		conditions[permission.Bucket] = map[string]any{"StringLike": map[string]any{"s3:prefix": prefixes}}
	}
	var written []any
	for on, arns := range resources {
		var actions []string
		for _, g := range permission.Roles[role] {
			if g.On == on {
				actions = append(actions, g.Action)
			}
		}
		if s := map[string]any{"Effect": "Allow", "Action": actions, "Resource": arns}; actions != nil {
			if conditions[on] != nil {
				s["Condition"] = conditions[on]
			}
			written = append(written, s)
		}
	}
	actions := []string{"kms:Decrypt", "kms:GenerateDataKey"}
	if role == permission.Reader {
		actions = actions[:1]
	}
	written = append(written, map[string]any{"Effect": "Allow", "Action": actions, "Resource": kms, "Condition": map[string]any{
		"StringLike": map[string]any{"kms:ViaService": []string{"dynamodb.*.amazonaws.com", "s3.*.amazonaws.com"}}}})
	return sorted(statements(t, inJSON(t, map[string]any{"Statement": written})))
}

func sorted(all []string) []string {
	slices.Sort(all)
	return all
}

// rolesDiffer compares the policy that each output has as a whole.
func rolesDiffer(t *testing.T, all fs.FS) (found []string) {
	t.Helper()
	e := must(t, all, everythingAt())
	compare := func(role permission.Role, in *bounds, policy string) {
		got, want := sorted(statements(t, policy)), statementsOf(t, role, in)
		if !slices.Equal(got, want) {
			found = append(found, fmt.Sprintf("the policy of a %s is\n%s\nwant\n%s", role,
				strings.Join(got, "\n"), strings.Join(want, "\n")))
		}
	}
	for name, in := range map[string]*bounds{"alice": ofAlice, "tenant": ofTenant} {
		compare(permission.Participant, in, str(e.Outputs["participant_policies"], name))
		compare(permission.Reader, in, str(e.Outputs["reader_policies"], name))
	}
	compare(permission.Sweeper, nil, e.Outputs["sweeper_policy"].AsString())
	compare(permission.Operator, nil, e.Outputs["operator_policy"].AsString())
	return found
}

// TestPoliciesAreTheirRolesAndNoMore: with a prefix, replicas and KMS keys.
func TestPoliciesAreTheirRolesAndNoMore(t *testing.T) {
	const file = "modules/sdsaws/policies.tf"
	keysOf := func(role string) string { return `values   = local.leading_keys["` + role + ` ${each.key}"]` }
	finds(t, rolesDiffer, map[string]edit{
		"any key of a reader":     {file, keysOf("reader"), `values   = ["*"]`},
		"any object of a reader":  {file, `local.objects_of["reader ${each.key}"]`, "local.objects"},
		"objects without prefix":  {file, `"${f[0]}/${var.prefix}${f[1]}/*"`, `"${f[0]}/${f[1]}/*"`},
		"folders without prefix":  {file, `"${f[0]}/${var.prefix}${f[1][0]}/${f[1][1]}"`, `"${f[0]}/${f[1][0]}/${f[1][1]}"`},
		"lists without prefix":    {file, `"${var.prefix}${f[0]}/${f[1]}"`, `"${f[0]}/${f[1]}"`},
		"keys by any service":     {file, `["dynamodb.*.amazonaws.com", "s3.*.amazonaws.com"]`, `["*"]`},
		"all of KMS":              {file, `["kms:Decrypt", "kms:GenerateDataKey"]`, `["kms:*"]`},
		"any key of KMS":          {file, "resources = values(local.kms_key_arns)", `resources = ["*"]`},
		"one region alone":        {file, "for r in local.regions : replace(aws_dynamodb_table.state.arn", "for r in [local.home] : replace(aws_dynamodb_table.state.arn"},
		"another role's":          {"modules/sdsaws/outputs.tf", "data.aws_iam_policy_document.sweeper.json", "data.aws_iam_policy_document.operator.json"},
		"readers as participants": {"modules/sdsaws/outputs.tf", "p in data.aws_iam_policy_document.reader", "p in data.aws_iam_policy_document.participant"},
		"a denial":                {file, `sid = "State"`, "sid = \"State\"\n    effect = \"Deny\""},
	})
}
