package terraform_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/sdsaws/sdsaws/internal/record"
)

// unprotected says what buckets and tables lack, in all regions, of what docs/security.md
// tells to set.
func unprotected(t *testing.T, all fs.FS) string {
	t.Helper()
	e := must(t, all, everything())
	for region := range e.Resources["aws_s3_bucket.archive"].AsValueMap() {
		of := func(kind string) cty.Value { return e.Resources[kind+".archive"].GetAttr(region) }
		public := of("aws_s3_bucket_public_access_block")
		for _, name := range []string{"block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"} {
			if v := public.GetAttr(name); v.IsNull() || v.False() {
				return name
			}
		}
		if v := str(blocks(of("aws_s3_bucket_versioning"), "versioning_configuration")[0], "status"); v != "Enabled" {
			return "versions"
		}
		if v := str(blocks(of("aws_s3_bucket_ownership_controls"), "rule")[0], "object_ownership"); v != "BucketOwnerEnforced" {
			return "ownership"
		}
		kept, aborts, tiers := false, false, false
		for _, rule := range blocks(of("aws_s3_bucket_lifecycle_configuration"), "rule") {
			for _, n := range blocks(rule, "noncurrent_version_expiration") {
				days, _ := n.GetAttr("noncurrent_days").AsBigFloat().Int64()
				kept = days >= 35
			}
			aborts = aborts || len(blocks(rule, "abort_incomplete_multipart_upload")) == 1
			tiers = tiers || len(blocks(rule, "transition")) == 1 && str(blocks(rule, "filter")[0], "prefix") == string(record.Segments)+"/"
		}
		if !kept || !aborts || !tiers {
			return fmt.Sprintf("lifecycle: kept %v, aborts %v, tiers segments %v", kept, aborts, tiers)
		}
		policy := str(of("aws_s3_bucket_policy"), "policy")
		const tls = `{"Sid":"TLSOnly","Effect":"Deny","Action":["s3:*"],"Resource":["arn:aws:s3:::%s","arn:aws:s3:::%[1]s/*"],` +
			`"Principal":{"*":["*"]},"Condition":{"Bool":{"aws:SecureTransport":["false"]}}}`
		if !strings.Contains(policy, fmt.Sprintf(tls, str(of("aws_s3_bucket"), "bucket"))) {
			return "TLS: " + policy
		}
	}
	for _, name := range []string{"aws_dynamodb_table.state", "aws_dynamodb_table.hints"} {
		table := e.Resources[name]
		if str(table, "billing_mode") != "PAY_PER_REQUEST" || table.GetAttr("deletion_protection_enabled").False() ||
			blocks(table, "point_in_time_recovery")[0].GetAttr("enabled").False() {
			return name
		}
		if str(blocks(table, "server_side_encryption")[0], "kms_key_arn") != key {
			return name + "'s key"
		}
		for _, r := range blocks(table, "replica") {
			if r.GetAttr("point_in_time_recovery").False() || r.GetAttr("deletion_protection_enabled").False() ||
				str(r, "consistency_mode") != "EVENTUAL" {
				return name + "'s replica"
			}
		}
	}
	return ""
}

// TestWhatIsStoredIsProtected: in each region.
func TestWhatIsStoredIsProtected(t *testing.T) {
	if lacks := unprotected(t, tree(t)); lacks != "" {
		t.Errorf("it lacks %s", lacks)
	}
	for name, c := range map[string][3]string{
		"a public bucket":        {"modules/sdsaws/bucket.tf", "restrict_public_buckets = true", "restrict_public_buckets = false"},
		"no versions":            {"modules/sdsaws/bucket.tf", "status = \"Enabled\"\n  }\n}", "status = \"Suspended\"\n  }\n}"},
		"TLS is not asked for":   {"modules/sdsaws/bucket.tf", `values   = ["false"]`, `values   = ["true"]`},
		"versions go too soon":   {"modules/sdsaws/bucket.tf", "noncurrent_days = var.noncurrent_days", "noncurrent_days = 34"},
		"no recovery":            {"modules/sdsaws/tables.tf", "enabled                 = true", "enabled = false"},
		"no deletion protection": {"modules/sdsaws/tables.tf", "deletion_protection_enabled = var.deletion_protection\n  stream", "deletion_protection_enabled = false\n  stream"},
		"segments lie elsewhere": {"modules/sdsaws/bucket.tf", "${var.prefix}segments/", "${var.prefix}archive/"},
	} {
		if unprotected(t, edited(t, c[0], c[1], c[2])) == "" {
			t.Errorf("%s isn't found", name)
		}
	}
}
