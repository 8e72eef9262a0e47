package terraform_test

import (
	"io/fs"
	"testing"
)

// trusts is a role that a service of AWS may take.
func trusts(name, service, condition string) string {
	return `{"name": "` + name + `", "assume_role_policy": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
		"Action": ["sts:AssumeRole"], "Principal": {"Service": ["` + service + `"]}` + condition + `}]}}`
}

// attached is a policy of a role, of which statements are given.
func attached(name, role, statements string) string {
	return `{"name": "` + name + `", "role": "<aws_iam_role.` + role + `.id>", "policy": {"Version": "2012-10-17", "Statement": [` + statements + `]}}`
}

const logs = `"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
	"Resource": ["arn:aws:cloudwatch:eu-central-1:123456789012:group/`

// replication is how each bucket replicates to the other, and by which rights.
var replication = map[string]string{
	"aws_iam_role.replication": "[" + trusts("sds-replication", "s3.amazonaws.com",
		`, "Condition": {"StringEquals": {"aws:SourceAccount": ["123456789012"]}}`) + "]",
	"aws_iam_role_policy.replication": "[" + attached("replication", "replication", `
		{"Sid": "Buckets", "Effect": "Allow", "Action": ["s3:GetReplicationConfiguration", "s3:ListBucket"],
			"Resource": ["arn:aws:s3:::sds", "arn:aws:s3:::sds-eu-west-1"]},
		{"Sid": "Objects", "Effect": "Allow", "Action": ["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl",
			"s3:GetObjectVersionTagging", "s3:ReplicateObject", "s3:ReplicateTags"],
			"Resource": ["arn:aws:s3:::sds/some/prefix/*", "arn:aws:s3:::sds-eu-west-1/some/prefix/*"]},
		{"Sid": "Keys", "Effect": "Allow", "Action": ["kms:Decrypt", "kms:Encrypt"],
			"Resource": ["`+key+`", "arn:aws:kms:eu-west-1:123456789012:key/1"],
			"Condition": {"StringLike": {"kms:ViaService": ["s3.*.amazonaws.com"]}}}`) + "]",
	"aws_s3_bucket_replication_configuration.archive": `{` +
		replicates(regions[0], regions[1], "1") + "," + replicates(regions[1], regions[0], "0") + "}",
}

func replicates(from, to [3]string, priority string) string {
	return `"` + from[0] + `": {"region": "` + from[0] + `", "bucket": "` + from[1] + `",
		"role": "arn:aws:iam:eu-central-1:123456789012:role/replication", "rule": [{"id": "to-` + to[0] + `", "priority": ` + priority + `,
		"status": "Enabled", "filter": [{"prefix": "some/prefix/"}], "delete_marker_replication": [{"status": "Disabled"}],
		"source_selection_criteria": [{"sse_kms_encrypted_objects": [{"status": "Enabled"}]}],
		"destination": [{"bucket": "arn:aws:s3:::` + to[1] + `", "metrics": [{"status": "Enabled"}],
			"encryption_configuration": [{"replica_kms_key_id": "` + to[2] + `"}]}]}]}`
}

// TestBucketsReplicateToEachOther with the rights for that, and no others.
func TestBucketsReplicateToEachOther(t *testing.T) {
	const file = "modules/sdsaws/replication.tf"
	check := func(t *testing.T, all fs.FS) []string {
		return differences(t, must(t, all, everythingAt()), replication)
	}
	finds(t, check, map[string]edit{
		"another service":    {file, `"s3.amazonaws.com"`, `"ec2.amazonaws.com"`},
		"another account":    {file, "values   = [local.account]", `values   = ["*"]`},
		"all of S3":          {file, `["s3:GetReplicationConfiguration", "s3:ListBucket"]`, `["s3:*"]`},
		"nothing replicates": {file, "      \"s3:ReplicateObject\",\n", ""},
		"a rule is off":      {file, "status   = \"Enabled\"\n\n      filter", "status   = \"Disabled\"\n\n      filter"},
		"to itself":          {file, "bucket = aws_s3_bucket.archive[rule.key].arn", "bucket = aws_s3_bucket.archive[each.key].arn"},
		"by another role":    {file, "policy = data.aws_iam_policy_document.replication.json", "policy = data.aws_iam_policy_document.operator.json"},
		"another's key":      {file, "[local.kms_key_arns[rule.key]]", "[local.kms_key_arns[each.key]]"},
		"no encrypted ones":  {file, "sse_kms_encrypted_objects {\n            status = \"Enabled\"", "sse_kms_encrypted_objects {\n            status = \"Disabled\""},
		"all of KMS":         {file, `["kms:Decrypt", "kms:Encrypt"]`, `["kms:*"]`},
	})
}

// rightsDiffer compares roles of functions, and what they may do.
func rightsDiffer(t *testing.T, all fs.FS) []string {
	t.Helper()
	e := of(t, all, sweeperModule, good[sweeperModule][0])
	found := differences(t, e, map[string]string{
		"aws_iam_role.sweeper":      trusts("sds-sweeper", "lambda.amazonaws.com", ""),
		"aws_iam_role_policy.logs":  attached("logs", "sweeper", `{"Sid": "Logs", `+logs+`sweeper:*"]}`),
		"aws_iam_role_policy.sweep": `{"name": "sweep", "role": "<aws_iam_role.sweeper.id>", "policy": {"Statement": []}}`,
		"aws_lambda_permission.schedule": `{"statement_id": "schedule", "action": "lambda:InvokeFunction", "function_name": "sds-sweeper",
			"principal": "events.amazonaws.com", "source_arn": "arn:aws:cloudwatch:eu-central-1:123456789012:rule/sweep"}`,
	})
	e = of(t, all, "examples/lambda", nil)
	found = append(found, differences(t, e, map[string]string{
		"aws_iam_role.participant": trusts("sds-participant", "lambda.amazonaws.com", ""),
		"aws_iam_role_policy.logs": attached("logs", "participant", `{`+logs+`participant:*"]}`),
		"aws_iam_role_policy.queue": attached("queue", "participant", `
			{"Effect": "Allow", "Action": ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
				"Resource": ["arn:aws:sqs:eu-central-1:123456789012:queue/messages"]},
			{"Effect": "Allow", "Action": ["sqs:SendMessage"], "Resource": ["arn:aws:sqs:eu-central-1:123456789012:queue/dead"]}`),
		"aws_iam_role_policy.participant": `{"name": "participant", "role": "<aws_iam_role.participant.id>", "policy": ` +
			str(e.Modules["sdsaws"].Outputs["participant_policies"], "participant") + `}`,
	})...)
	sweeper := e.Modules["sweeper"]
	return append(found, differences(t, sweeper, map[string]string{
		"aws_iam_role_policy.sweep": `{"name": "sweep", "role": "<aws_iam_role.sweeper.id>", "policy": ` +
			e.Modules["sdsaws"].Outputs["sweeper_policy"].AsString() + `}`,
	})...)
}

// TestFunctionsMayDoWhatTheyNeed and no more.
func TestFunctionsMayDoWhatTheyNeed(t *testing.T) {
	const role, example = "modules/sweeper/role.tf", "examples/lambda/main.tf"
	finds(t, rightsDiffer, map[string]edit{
		"another service":                {role, "lambda.amazonaws.com", "ec2.amazonaws.com"},
		"all of logs":                    {role, `["logs:CreateLogStream", "logs:PutLogEvents"]`, `["logs:*"]`},
		"the sweeper's is the logs'":     {role, "policy = var.policy", "policy = data.aws_iam_policy_document.logs.json"},
		"an operator sweeps":             {example, "module.sdsaws.sweeper_policy", "module.sdsaws.operator_policy"},
		"an operator participates":       {example, `module.sdsaws.participant_policies["participant"]`, "module.sdsaws.operator_policy"},
		"any service participates":       {example, "lambda.amazonaws.com", "ec2.amazonaws.com"},
		"messages are never done":        {example, `"sqs:DeleteMessage", `, ""},
		"any queue":                      {example, "resources = [aws_sqs_queue.messages.arn]", `resources = ["*"]`},
		"what is refused can't be moved": {example, "resources = [aws_sqs_queue.dead.arn]", "resources = [aws_sqs_queue.messages.arn]"},
		"anybody invokes the sweeper":    {"modules/sweeper/main.tf", `"events.amazonaws.com"`, `"*"`},
	})
}
