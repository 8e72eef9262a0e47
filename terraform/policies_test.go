package terraform_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/sdsaws/sdsaws/internal/hclcheck"
	"github.com/sdsaws/sdsaws/internal/permission"
)

var (
	account = permission.Account{ID: hclcheck.Account, Region: hclcheck.Region}
	names   = permission.Names{State: "sds-state", Hints: "sds-hints", Bucket: "sds"}
)

// policies returns the policy of each role, of confined ones that for a namespace.
func policies(t *testing.T, all fs.FS, prefix, namespace string, below bool) map[permission.Role]string {
	t.Helper()
	who := object(values{"x": object(values{"namespace": text(namespace), "below": cty.BoolVal(below)})})
	e := must(t, all, values{"bucket": text("sds"), "prefix": text(prefix), "participants": who, "readers": who})
	return map[permission.Role]string{
		permission.Participant: e.Outputs["participant_policies"].GetAttr("x").AsString(),
		permission.Reader:      e.Outputs["reader_policies"].GetAttr("x").AsString(),
		permission.Sweeper:     e.Outputs["sweeper_policy"].AsString(),
		permission.Operator:    e.Outputs["operator_policy"].AsString(),
	}
}

func parse(t *testing.T, policy string) *permission.Policy {
	t.Helper()
	p, err := permission.Parse(policy)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// policiesDiffer says what policies grant that roles don't need, or the other way round.
func policiesDiffer(t *testing.T, policies map[permission.Role]string, roles map[permission.Role][]permission.Grant) (differences []string) {
	t.Helper()
	for role, policy := range policies {
		granted, err := parse(t, policy).Grants(account, names)
		if err != nil {
			return []string{err.Error()}
		}
		differences = append(differences, grantsDiffer(string(role), granted, roles[role])...)
	}
	return differences
}

func grantsDiffer(role string, granted, needed []permission.Grant) (differences []string) {
	for _, g := range granted {
		if !slices.Contains(needed, g) {
			differences = append(differences, fmt.Sprintf("a %s doesn't need %s on %s", role, g.Action, g.On))
		}
	}
	for _, g := range needed {
		if !slices.Contains(granted, g) {
			differences = append(differences, fmt.Sprintf("a %s lacks %s on %s", role, g.Action, g.On))
		}
	}
	return differences
}

// TestPoliciesGrantWhatRolesNeed and no more. TestEachRoleNeedsItsPolicy, in integration,
// holds permission.Roles against the requests that are made.
func TestPoliciesGrantWhatRolesNeed(t *testing.T) {
	got := policies(t, tree(t), "", "alice", true)
	for _, d := range policiesDiffer(t, got, permission.Roles) {
		t.Error(d)
	}
	actions := 0
	for role, p := range got {
		actions += len(permission.Roles[role])
		if len(p) > 6144 { // of a managed policy; roles' own may have more
			t.Errorf("the policy of a %s has %d characters", role, len(p))
		}
	}
	t.Logf("terraform-test: %d policies with %d actions are what the code needs", len(got), actions)
}

func TestAPermissionThatDiffersIsFound(t *testing.T) {
	const file = "modules/sdsaws/policies.tf"
	for name, c := range map[string]struct{ before, after, want string }{
		"one missing":       {`      "dynamodb:UpdateItem",` + "\n", "", "a participant lacks dynamodb:UpdateItem on state table"},
		"one too many":      {`actions   = ["s3:GetObjectVersion"]`, `actions   = ["s3:GetObjectVersion", "s3:PutObject"]`, "a reader doesn't need s3:PutObject on objects"},
		"a wildcard":        {`"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query"`, `"dynamodb:*"`, "a reader doesn't need dynamodb:* on state table"},
		"another resource":  {"resources = local.index_arns", "resources = local.state_arns", "a sweeper lacks dynamodb:Query on index"},
		"all of the bucket": {`resources = local.objects_of["participant ${each.key}"]`, `resources = ["*"]`, "* is none of"},
	} {
		t.Run("in Terraform, "+name, func(t *testing.T) {
			found := policiesDiffer(t, policies(t, edited(t, file, c.before, c.after), "", "alice", false), permission.Roles)
			if !strings.Contains(strings.Join(found, "\n"), c.want) {
				t.Errorf("found %q, want %s", found, c.want)
			}
		})
	}
	got := policies(t, tree(t), "", "alice", false)
	for role, grants := range permission.Roles {
		for i, g := range grants {
			less := map[permission.Role][]permission.Grant{}
			for r, all := range permission.Roles {
				less[r] = all
			}
			less[role] = slices.Delete(slices.Clone(grants), i, i+1)
			if found := policiesDiffer(t, got, less); len(found) != 1 {
				t.Errorf("the code no longer needs %s for a %s: found %q", g.Action, role, found)
			}
			less[role] = append(slices.Clone(grants), permission.Grant{Action: g.Action + "s", On: g.On})
			if found := policiesDiffer(t, got, less); len(found) != 1 {
				t.Errorf("the code needs %ss for a %s: found %q", g.Action, role, found)
			}
		}
	}
}

// documented reads the table of docs/security.md.
func documented(t *testing.T) map[permission.Role][]permission.Grant {
	t.Helper()
	b, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(b), "| | participant | sweeper | reader | operator |")
	if !ok {
		t.Fatal("no table of permissions in docs/security.md")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	columns := []permission.Role{permission.Participant, permission.Sweeper, permission.Reader, permission.Operator}
	all := map[permission.Role][]permission.Grant{}
	var on permission.On
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 7 {
			continue
		}
		if what := strings.TrimSpace(cells[1]); strings.HasPrefix(what, "**") {
			on = permission.On(strings.Trim(what, "*"))
			continue
		}
		for _, action := range strings.Split(cells[1], ",") {
			action = strings.Trim(action, " `-")
			for i, role := range columns {
				if action != "" && strings.TrimSpace(cells[2+i]) != "" {
					all[role] = append(all[role], permission.Grant{Action: action, On: on})
				}
			}
		}
	}
	return all
}

// TestTheDocumentedPermissionsAreThoseOfTheCode compares docs/security.md.
func TestTheDocumentedPermissionsAreThoseOfTheCode(t *testing.T) {
	docs := documented(t)
	for role, needed := range permission.Roles {
		for _, d := range grantsDiffer(string(role), docs[role], needed) {
			t.Errorf("docs/security.md: %s", d)
		}
	}
}

// TestTheDocumentedPolicyIsTheModules: the one of docs/security.md for alice.
func TestTheDocumentedPolicyIsTheModules(t *testing.T) {
	b, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, sample, _ := strings.Cut(string(b), "```json\n")
	sample, _, ok := strings.Cut(sample, "```")
	if !ok {
		t.Fatal("no policy in docs/security.md")
	}
	sample = strings.NewReplacer("REGION", account.Region, "ACCOUNT", account.ID, "sds-archive", names.Bucket).Replace(sample)
	want := statements(t, sample)
	got := statements(t, policies(t, tree(t), "", "alice", false)[permission.Participant])
	if !slices.Equal(got, want) {
		t.Errorf("the module's:\n%s\ndocs/security.md:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// statements returns a policy's statements in a form that can be compared: all strings are
// sorted lists, nothing has a name.
func statements(t *testing.T, policy string) (all []string) {
	t.Helper()
	var p struct{ Statement []map[string]any }
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Statement {
		delete(s, "Sid")
		b, err := json.Marshal(listed(s))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return all
}

func listed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			v[k] = listed(inner)
		}
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, s := range v {
			all = append(all, s.(string))
		}
		slices.Sort(all)
		return all
	}
	return v
}
