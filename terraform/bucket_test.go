package terraform_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws/internal/record"
)

// regions are those that everythingAt has, with the bucket and the key of each.
var regions = [][3]string{
	{"eu-central-1", "sds", key},
	{"eu-west-1", "sds-eu-west-1", "arn:aws:kms:eu-west-1:123456789012:key/1"},
}

// inEach writes a resource with for_each over the regions: REGION, BUCKET and KEY in it are
// those of each, SEGMENTS is what names of segments begin with.
func inEach(rest string) string {
	var all []string
	for _, r := range regions {
		all = append(all, strings.NewReplacer("REGION", r[0], "BUCKET", r[1], "KEY", r[2], "SEGMENTS", prefix+string(record.Segments)+"/").
			Replace(`"REGION": {"region": "REGION", "bucket": "BUCKET"`+rest+`}`))
	}
	return "{" + strings.Join(all, ",") + "}"
}

// lifecycle is all that deletes objects or moves them, but for the last rule: no current object
// ever, others after 35 days.
const lifecycle = `, "rule": [
	{"id": "abort-uploads", "status": "Enabled", "filter": [{}], "abort_incomplete_multipart_upload": [{"days_after_initiation": 7}]},
	{"id": "expire-noncurrent", "status": "Enabled", "filter": [{}],
		"expiration": [{"expired_object_delete_marker": true}], "noncurrent_version_expiration": [{"noncurrent_days": 35}]}%s]`

// bucket is all that is set of the buckets, but for replication.
var bucket = map[string]string{
	"aws_s3_bucket.archive": inEach(""),
	"aws_s3_bucket_public_access_block.archive": inEach(`, "block_public_acls": true, "block_public_policy": true,
		"ignore_public_acls": true, "restrict_public_buckets": true`),
	"aws_s3_bucket_ownership_controls.archive": inEach(`, "rule": [{"object_ownership": "BucketOwnerEnforced"}]`),
	"aws_s3_bucket_versioning.archive":         inEach(`, "versioning_configuration": [{"status": "Enabled"}]`),
	"aws_s3_bucket_server_side_encryption_configuration.archive": inEach(`, "rule": [{"bucket_key_enabled": true,
		"apply_server_side_encryption_by_default": [{"sse_algorithm": "aws:kms", "kms_master_key_id": "KEY"}]}]`),
	"aws_s3_bucket_lifecycle_configuration.archive": inEach(fmt.Sprintf(lifecycle, `, {"id": "tier-segments", "status": "Enabled",
		"filter": [{"prefix": "SEGMENTS"}], "transition": [{"days": 90, "storage_class": "STANDARD_IA"}]}`)),
	"aws_s3_bucket_policy.archive": inEach(`, "policy": {"Version": "2012-10-17", "Statement": [
		{"Sid": "TLSOnly", "Effect": "Deny", "Principal": {"*": ["*"]}, "Action": ["s3:*"],
			"Resource": ["arn:aws:s3:::BUCKET", "arn:aws:s3:::BUCKET/*"], "Condition": {"Bool": {"aws:SecureTransport": ["false"]}}},
		{"Sid": "TLS12", "Effect": "Deny", "Principal": {"*": ["*"]}, "Action": ["s3:*"],
			"Resource": ["arn:aws:s3:::BUCKET", "arn:aws:s3:::BUCKET/*"], "Condition": {"NumericLessThan": {"s3:TlsVersion": ["1.2"]}}}]}`),
}

// bucketDiffers compares the buckets with all options, and what options change.
func bucketDiffers(t *testing.T, all fs.FS) []string {
	t.Helper()
	found := differences(t, must(t, all, everythingAt()), bucket)
	with := func(inputs values, address, want string) {
		inputs["bucket"] = text("sds")
		e := must(t, all, inputs)
		found = append(found, differences(t, e, map[string]string{
			address: `{"eu-central-1": {"region": "eu-central-1", "bucket": "sds"` + want + "}}"})...)
	}
	const rules = "aws_s3_bucket_lifecycle_configuration.archive"
	with(values{"tier_segments": null()}, rules, fmt.Sprintf(lifecycle, ""))
	with(values{"tier_segments": object(values{"days": number(40), "storage_class": text("GLACIER_IR")})}, rules,
		fmt.Sprintf(lifecycle, `, {"id": "tier-segments", "status": "Enabled", "filter": [{"prefix": "segments/"}],
			"transition": [{"days": 40, "storage_class": "GLACIER_IR"}]}`))
	with(values{"noncurrent_days": number(99), "abort_uploads_days": number(3), "tier_segments": null()}, rules,
		strings.NewReplacer("35", "99", "7}", "3}").Replace(fmt.Sprintf(lifecycle, "")))
	with(values{}, "aws_s3_bucket_server_side_encryption_configuration.archive",
		`, "rule": [{"bucket_key_enabled": true, "apply_server_side_encryption_by_default": [{"sse_algorithm": "AES256"}]}]`)
	return found
}

// TestBucketsKeepWhatIsStored: public access, versions, encryption, who may reach them, and all
// rules by which anything is deleted, in each region.
func TestBucketsKeepWhatIsStored(t *testing.T) {
	const file = "modules/sdsaws/bucket.tf"
	const noncurrent = "      noncurrent_days = var.noncurrent_days\n    }\n"
	const rule = "  rule {\n    id     = \"more\"\n    status = \"Enabled\"\n    filter {}\n"
	const aborts = "  rule {\n    id     = \"abort-uploads\""
	enabled := func(id string) string { return "id     = \"" + id + "\"\n    status = \"Enabled\"" }
	finds(t, bucketDiffers, map[string]edit{
		"a public bucket":        {file, "restrict_public_buckets = true", "restrict_public_buckets = false"},
		"no versions":            {file, "status = \"Enabled\"\n  }\n}", "status = \"Suspended\"\n  }\n}"},
		"ACLs":                   {file, "BucketOwnerEnforced", "ObjectWriter"},
		"TLS is not asked for":   {file, `values   = ["false"]`, `values   = ["true"]`},
		"an older TLS":           {file, `values   = ["1.2"]`, `values   = ["1.0"]`},
		"all is allowed to all":  {file, "sid       = \"TLS12\"\n    effect    = \"Deny\"", "sid       = \"TLS12\"\n    effect    = \"Allow\""},
		"never by the key":       {file, `? "aws:kms" : "AES256"`, `? "AES256" : "AES256"`},
		"versions go too soon":   {file, "noncurrent_days = var.noncurrent_days", "noncurrent_days = 34"},
		"versions never go":      {file, enabled("expire-noncurrent"), strings.Replace(enabled("expire-noncurrent"), "Enabled", "Disabled", 1)},
		"current objects go":     {file, "expired_object_delete_marker = true", "days = 3"},
		"current objects go too": {file, aborts, rule + "    expiration {\n      days = 3\n    }\n  }\n\n" + aborts},
		"versions go by another": {file, aborts, rule + "    noncurrent_version_expiration {\n      noncurrent_days = 1\n    }\n  }\n\n" + aborts},
		"versions go by number":  {file, noncurrent, strings.Replace(noncurrent, "    }", "      newer_noncurrent_versions = 1\n    }", 1)},
		"segments can't be read": {file, "storage_class = rule.value.storage_class", `storage_class = "DEEP_ARCHIVE"`},
		"segments lie elsewhere": {file, "${var.prefix}segments/", "${var.prefix}archive/"},
		"segments' days":         {file, "days          = rule.value.days", "days          = 90"},
	})
}
