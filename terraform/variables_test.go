package terraform_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/sdsaws/sdsaws/internal/hclcheck"
)

// bad has values that each module refuses, by variable: one for each validation at least.
var bad = map[string]map[string][]cty.Value{
	sdsawsModule: {
		"name":                   {text("Sds"), text("sds-"), text("s"), text(strings.Repeat("s", 31))},
		"bucket":                 {text("Bucket"), text("bucket."), text(strings.Repeat("b", 48))},
		"prefix":                 {text("no-slash"), text("/"), text("a//"), text("a*/")},
		"kms_key_arn":            {text(strings.Replace(key, "central", "west", 1)), text("alias/x"), text("arn:aws:kms:eu-central-1:123456789012:alias/x")},
		"recovery_days":          {number(0), number(36), cty.NumberFloatVal(1.5)},
		"noncurrent_days":        {number(34), number(0), cty.NumberFloatVal(35.5)},
		"abort_uploads_days":     {number(0), cty.NumberFloatVal(1.5)},
		"sweepers":               {list("arn:aws:lambda:x")},
		"tier_segments":          {tier(-5, "GLACIER_IR"), tier(90.5, "STANDARD_IA"), object(values{"days": number(90), "storage_class": text("DEEP_ARCHIVE")}), object(values{"days": number(29), "storage_class": text("STANDARD_IA")})},
		"replicas":               {object(values{"eu-west-1": object(values{"kms_key_arn": text(key)})}), object(values{"eu-central-1": object(values{})}), object(values{"Frankfurt": object(values{})}), object(values{"eu-west-1": object(values{"kms_key_arn": text(key)})})},
		"participants":           {tenants(""), tenants("*"), tenants("a?"), tenants("ä"), tenants(strings.Repeat("a", 101))},
		"readers":                {tenants("tenant*")},
		"alarm_topic_arns":       {list("topic")},
		"alarm_thresholds":       {object(values{"throttles": number(0)})},
		"participant_log_groups": {list("arn:aws:logs:x")},
	},
	sweeperModule: {
		"name":                 {text("a b"), text(strings.Repeat("s", 55))},
		"package":              {text("bootstrap")},
		"architecture":         {text("arm")},
		"memory_mb":            {number(128), number(20000), cty.NumberFloatVal(512.5)},
		"timeout_seconds":      {number(30), number(901), cty.NumberFloatVal(60.5)},
		"reserved_concurrency": {number(0), number(-2), cty.NumberFloatVal(1.5)},
		"schedule":             {text("hourly"), text("rate(0 hours)"), text("rate(1 hours)"), text("rate(5 hour)"), text("cron(x)"), text("cron(0 3 * * ?)")},
		"policy":               {text("arn:aws:iam::x"), text("{}")},
		"state_table":          {text("arn:aws:dynamodb:x:y:table/z")},
		"hints_table":          {text("")},
		"bucket":               {text("arn:aws:s3:::x")},
		"prefix":               {text("no slash"), text("no-slash"), text("a//")},
		"region":               {text("Frankfurt*"), text("eu-centrall-1"), text("eu-west-1")},
		"namespaces":           {list(""), list("*"), list(strings.Repeat("n", 2999)), list(strings.Repeat("\"", 1500)), list(strings.Repeat("ä", 1500))},
		"log_retention_days":   {number(31)},
		"log_kms_key_arn":      {text("alias/x"), text(strings.Replace(key, "central", "west", 1))},
		"alarm_topic_arns":     {list("topic")},
		"alarm_thresholds":     {object(values{"failures": number(-1)})},
		"alarm_period_seconds": {number(61), number(172800)},
	},
	"examples/single-region": {"region": {text("Frankfurt")}, "alarm_email": {text("ops")}},
	"examples/multi-region":  {"region": {text("Frankfurt")}, "replica_region": {text("Ireland"), text("eu-central-1")}},
	"examples/lambda": {"region": {text("Frankfurt")}, "namespace": {text(""), text("a,b")},
		"participant_package": {text("bootstrap")}, "sweeper_package": {text("bootstrap")}},
}

// free are variables of which no value is wrong, or whose wrong values a module refuses that
// gets them.
var free = map[string][]string{
	sdsawsModule:             {"deletion_protection", "athena", "tags"},
	sweeperModule:            {"tags"},
	"examples/single-region": {"participants"},
	"examples/multi-region":  {"tenant"},
}

func tier(days float64, class string) cty.Value {
	return object(values{"days": cty.NumberFloatVal(days), "storage_class": text(class)})
}

func tenants(namespace string) cty.Value {
	return object(values{"x": object(values{"namespace": text(namespace)})})
}

// TestVariablesAreDescribedAndRefuseWhatIsWrong: each variable and output has a description,
// each variable a type, and where a value can be wrong, that is said before anything is made.
func TestVariablesAreDescribedAndRefuseWhatIsWrong(t *testing.T) {
	all := tree(t)
	described, refused := 0, 0
	for _, dir := range dirs(t, all) {
		m, err := hclcheck.Load(all, dir)
		if err != nil {
			t.Fatal(err)
		}
		for name, o := range m.Outputs {
			described++
			if o.Description == "" {
				t.Errorf("%s: output %q isn't described", dir, name)
			}
		}
		for name, v := range m.Variables {
			described++
			if v.Description == "" || v.Type == cty.NilType {
				t.Errorf("%s: variable %q has no description or no type", dir, name)
			}
			wrong := bad[dir][name]
			if isFree(dir, name) == (len(v.Validations) > 0) || len(wrong) < len(v.Validations) {
				t.Errorf("%s: variable %q has %d validations and %d values that it refuses", dir, name, len(v.Validations), len(wrong))
			}
			for _, value := range wrong {
				inputs := values{}
				for k, v := range good[dir][0] {
					inputs[k] = v
				}
				inputs[name] = value
				var invalid *hclcheck.InvalidError
				if _, err := evaluate(t, all, dir, inputs); !errors.As(err, &invalid) || invalid.Variable != name {
					t.Errorf("%s: %s = %#v: %v", dir, name, value, err)
				}
				refused++
			}
		}
	}
	t.Logf("terraform-test: %d variables and outputs are described; %d wrong values are refused", described, refused)
}

func isFree(dir, name string) bool {
	for _, f := range free[dir] {
		if f == name {
			return true
		}
	}
	return false
}
