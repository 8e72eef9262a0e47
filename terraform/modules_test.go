// Package terraform_test holds the modules against the code and against the AWS provider's
// schema, without Terraform, a provider or a network. Each check is shown to fail when one
// side alone changes.
package terraform_test

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/sdsaws/sdsaws/internal/hclcheck"
)

const (
	sdsawsModule  = "modules/sdsaws"
	sweeperModule = "modules/sweeper"
)

// tree is all .tf files as they are.
func tree(t *testing.T) fstest.MapFS {
	t.Helper()
	all := fstest.MapFS{}
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".tf" {
			return err
		}
		source, err := os.ReadFile(name)
		all[name] = &fstest.MapFile{Data: source}
		return err
	})
	if err != nil || len(all) < 20 {
		t.Fatalf("%d files, %v", len(all), err)
	}
	return all
}

// edited is the tree with a text replaced in one file, where it is once or more.
func edited(t *testing.T, file, before, after string) fstest.MapFS {
	t.Helper()
	all := tree(t)
	source := string(all[file].Data)
	if !strings.Contains(source, before) {
		t.Fatalf("%s has no %q", file, before)
	}
	all[file] = &fstest.MapFile{Data: []byte(strings.Replace(source, before, after, 1))}
	return all
}

func dirs(t *testing.T, all fstest.MapFS) []string {
	t.Helper()
	var found []string
	for name := range all {
		found = append(found, path.Dir(name))
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func schema(t *testing.T) *hclcheck.Schema {
	t.Helper()
	s, err := hclcheck.AWS()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func evaluate(t *testing.T, all fs.FS, dir string, inputs values) (*hclcheck.Evaluated, error) {
	t.Helper()
	m, err := hclcheck.Load(all, dir)
	if err != nil {
		return nil, err
	}
	return m.Evaluate(schema(t), inputs)
}

// of evaluates a module.
func of(t *testing.T, all fs.FS, dir string, inputs values) *hclcheck.Evaluated {
	t.Helper()
	e, err := evaluate(t, all, dir, inputs)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// must evaluates modules/sdsaws.
func must(t *testing.T, all fs.FS, inputs values) *hclcheck.Evaluated {
	t.Helper()
	return of(t, all, sdsawsModule, inputs)
}

type values map[string]cty.Value

var text, number, no = cty.StringVal, cty.NumberIntVal, cty.False

func null() cty.Value { return cty.NullVal(cty.DynamicPseudoType) }

func list(all ...string) cty.Value {
	var v []cty.Value
	for _, s := range all {
		v = append(v, text(s))
	}
	if len(v) == 0 {
		return cty.ListValEmpty(cty.String)
	}
	return cty.ListVal(v)
}

func object(attrs values) cty.Value { return cty.ObjectVal(attrs) }

const key = "arn:aws:kms:eu-central-1:123456789012:key/1"

// good has what each module is given, at least once and in each way that changes what it
// makes.
var good = map[string][]values{
	sdsawsModule: {
		{},
		{"bucket": text("some-bucket"), "prefix": text("some/prefix/"), "tier_segments": cty.NullVal(cty.DynamicPseudoType), "athena": cty.False},
		everything(),
	},
	sweeperModule: {
		{"package": text("x.zip"), "policy": text(`{"Statement":[]}`), "state_table": text("sds-state"),
			"hints_table": text("sds-hints"), "bucket": text("sds"), "namespaces": list("alice", "bob")},
	},
	"examples/single-region": {{}, {"alarm_email": text("ops@example.org")}},
	"examples/multi-region":  {{}},
	"examples/lambda":        {{}},
}

// everything uses each option of modules/sdsaws.
func everything() values {
	participants := object(values{"alice": object(values{"namespace": text("alice")}),
		"tenant": object(values{"namespace": text("a b/c"), "below": cty.True})})
	return values{"kms_key_arn": text(key), "participants": participants, "readers": participants,
		"replicas":         object(values{"eu-west-1": object(values{"kms_key_arn": text(strings.Replace(key, "central", "west", 1))})}),
		"alarm_topic_arns": list("arn:aws:sns:eu-central-1:123456789012:x"), "participant_log_groups": list("/aws/lambda/x")}
}

// TestModulesFitTheProvider: every argument of every resource is one that the AWS provider
// has, of its type; what it requires is there; what is referred to is there.
func TestModulesFitTheProvider(t *testing.T) {
	all := tree(t)
	resources, arguments := 0, 0
	for _, dir := range dirs(t, all) {
		if len(good[dir]) == 0 {
			t.Errorf("%s: no values to evaluate it with", dir)
		}
		for _, inputs := range good[dir] {
			if _, err := evaluate(t, all, dir, inputs); err != nil {
				t.Errorf("%s with %v: %v", dir, inputs, err)
			}
		}
		m, err := hclcheck.Load(all, dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range m.Resources {
			resources++
			arguments += hclcheck.Arguments(r)
		}
	}
	used, err := hclcheck.Types(all)
	if err != nil {
		t.Fatal(err)
	}
	if known := slices.Sorted(maps.Keys(schema(t).Types)); !slices.Equal(known, used) {
		t.Errorf("schema.json has %q, the modules use %q: go generate ./internal/hclcheck", known, used)
	}
	t.Logf("terraform-test: %d resources with %d arguments fit provider %s", resources, arguments, schema(t).Provider)
}

func TestWhatDoesNotFitTheProviderIsFound(t *testing.T) {
	for name, c := range map[string]struct{ file, before, after, want string }{
		"an argument that isn't there": {"modules/sdsaws/tables.tf", "billing_mode ", "billing_model", "billing_model"},
		"a block that isn't there":     {"modules/sdsaws/tables.tf", "  ttl {", "  ttls {", "ttls"},
		"a required argument missing":  {"modules/sdsaws/glue.tf", "  database_name = aws_glue_catalog_database.archive[0].name\n", "", "database_name"},
		"a required block missing": {"modules/sdsaws/bucket.tf", "  versioning_configuration {\n    status = \"Enabled\"\n  }\n", "",
			"versioning_configuration"},
		"another type":               {"modules/sdsaws/bucket.tf", "block_public_acls       = true", "block_public_acls = []", "bool required"},
		"a resource that isn't":      {"modules/sdsaws/tables.tf", `"aws_dynamodb_table" "hints"`, `"aws_dynamodb_tables" "hints"`, "aws_dynamodb_tables"},
		"a variable that isn't":      {"modules/sdsaws/tables.tf", "var.recovery_days", "var.recovery", `no variable "recovery"`},
		"a local that isn't":         {"modules/sdsaws/glue.tf", "for_each = local.columns", "for_each = local.column", "local.column"},
		"an attribute that isn't":    {"modules/sdsaws/policies.tf", "aws_dynamodb_table.state.arn", "aws_dynamodb_table.state.arm", "arm"},
		"a dependency that isn't":    {"modules/sdsaws/bucket.tf", "depends_on = [aws_s3_bucket_versioning.archive]", "depends_on = [aws_s3_bucket.other]", "other"},
		"an output that isn't":       {"examples/lambda/main.tf", "module.sdsaws.sweeper_policy", "module.sdsaws.sweepers_policy", "sweepers_policy"},
		"a module's unknown input":   {"examples/lambda/main.tf", "  hints_table = ", "  hint_table = ", `"hint_table"`},
		"a module's input of a type": {"examples/lambda/main.tf", "  prefix      = module.sdsaws.prefix", "  namespaces = {}", "namespaces"},
		"what depends on itself":     {"modules/sdsaws/main.tf", `"${var.name}-${local.account}`, `"${local.bucket}-${local.account}`, "itself"},
	} {
		t.Run(name, func(t *testing.T) {
			var found error
			all := edited(t, c.file, c.before, c.after)
			for _, dir := range dirs(t, all) {
				for _, inputs := range good[dir] {
					if _, err := evaluate(t, all, dir, inputs); err != nil {
						found = err
					}
				}
			}
			if found == nil || !strings.Contains(found.Error(), c.want) {
				t.Errorf("found: %v, want something about %s", found, c.want)
			}
		})
	}
}

// TestFormat: files are as terraform fmt writes them.
func TestFormat(t *testing.T) {
	all := tree(t)
	for name, f := range all {
		if formatted := hclwrite.Format(f.Data); string(formatted) != string(f.Data) {
			t.Errorf("%s isn't formatted: terraform fmt -recursive terraform", name)
		}
	}
	t.Logf("terraform-test: %d files are formatted", len(all))
}
