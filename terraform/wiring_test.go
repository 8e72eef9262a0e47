package terraform_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

// sweeperAt has a value of its own for each variable of modules/sweeper.
func sweeperAt() values {
	return values{
		"name": text("tidy"), "package": text("x.zip"), "policy": text(`{"Statement":[]}`), "architecture": text("x86_64"),
		"memory_mb": number(1024), "timeout_seconds": number(600), "schedule": text("rate(15 minutes)"),
		"reserved_concurrency": number(2), "state_table": text("the-state"), "hints_table": text("the-hints"),
		"bucket": text("the-bucket"), "prefix": text(prefix), "region": text("eu-central-1"),
		"namespaces":         list("alice", "a,b", `say "hi"`, "tenant/bob"),
		"log_retention_days": number(7), "log_kms_key_arn": text(key), "alarm_topic_arns": list("arn:aws:sns:eu-central-1:123456789012:x"),
		"alarm_thresholds":     object(values{"archive_lag_messages": number(2), "unswept_seconds": number(3), "failures": number(4)}),
		"alarm_period_seconds": number(7200), "tags": cty.MapVal(values{"a": text("b")}),
	}
}

const tags = `, "tags": {"a": "b"}}`

// sweeperFunction is all of a sweeper but its rights and alarms. SDSAWS_NAMESPACES is as
// cmd/sweeper reads it: with commas, and quoted where a name has one or a quote.
var sweeperFunction = map[string]string{
	"aws_lambda_function.sweeper": `{"function_name": "tidy", "filename": "x.zip", "architectures": ["x86_64"],
		"source_code_hash": "41aSFSCsQgyGMDoB/QXSsJWmTEbSp0+yJz6m0TpnlM0=",
		"description": "Archives what was evicted, goes on with what others have begun, removes what nothing refers to.",
		"role": "arn:aws:iam:eu-central-1:123456789012:role/sweeper", "runtime": "provided.al2023", "handler": "bootstrap",
		"memory_size": 1024, "timeout": 600, "reserved_concurrent_executions": 2,
		"logging_config": [{"log_format": "Text", "log_group": "/aws/lambda/tidy"}],
		"environment": [{"variables": {"SDSAWS_STATE_TABLE": "the-state", "SDSAWS_HINTS_TABLE": "the-hints",
			"SDSAWS_BUCKET": "the-bucket", "SDSAWS_PREFIX": "some/prefix/", "SDSAWS_REGION": "eu-central-1",
			"SDSAWS_NAMESPACES": "alice,\"a,b\",\"say \\\"hi\\\"\",tenant/bob"}}]` + tags,
	"aws_cloudwatch_log_group.sweeper": `{"name": "/aws/lambda/tidy", "retention_in_days": 7, "kms_key_id": "` + key + `"` + tags,
	"aws_cloudwatch_event_rule.sweep": `{"name": "tidy", "description": "Sweeps namespaces of sdsaws.",
		"schedule_expression": "rate(15 minutes)"` + tags,
	"aws_cloudwatch_event_target.sweep": `{"rule": "tidy", "arn": "arn:aws:lambda:eu-central-1:123456789012:function/sweeper"}`,
	"aws_lambda_function_event_invoke_config.sweeper": `{"function_name": "tidy", "maximum_retry_attempts": 0,
		"maximum_event_age_in_seconds": 3600}`,
}

// TestASweeperRunsAsItIsToldTo: the function, its variables, its schedule and its log.
func TestASweeperRunsAsItIsToldTo(t *testing.T) {
	check := func(t *testing.T, all fs.FS) []string {
		return differences(t, of(t, all, sweeperModule, sweeperAt()), sweeperFunction)
	}
	const file = "modules/sweeper/main.tf"
	finds(t, check, map[string]edit{
		"another table":       {file, "SDSAWS_STATE_TABLE = var.state_table", "SDSAWS_STATE_TABLE = var.hints_table"},
		"another bucket":      {file, "SDSAWS_BUCKET      = var.bucket", "SDSAWS_BUCKET = var.prefix"},
		"no region":           {file, "SDSAWS_REGION      = var.region", `SDSAWS_REGION = ""`},
		"semicolons":          {file, `join(",", [`, `join(";", [`},
		"no quotes":           {file, `can(regex("[\",]", n)) ? jsonencode(n) : n`, "n"},
		"another handler":     {file, `"bootstrap"`, `"main"`},
		"another runtime":     {file, `"provided.al2023"`, `"go1.x"`},
		"too little time":     {file, "var.timeout_seconds", "3"},
		"JSON around metrics": {file, `log_format = "Text"`, `log_format = "JSON"`},
		"as many as there is": {file, "  reserved_concurrent_executions = var.reserved_concurrency\n", ""},
		"another schedule":    {file, "schedule_expression = var.schedule", `schedule_expression = "rate(30 days)"`},
		"another target":      {file, "arn  = aws_lambda_function.sweeper.arn", "arn  = aws_iam_role.sweeper.arn"},
		"retries":             {file, "maximum_retry_attempts       = 0", "maximum_retry_attempts = 2"},
		"a log for ever":      {file, "var.log_retention_days", "0"},
	})
}

// participantFunction is all of examples/lambda but rights: what the queue delivers is answered
// for message by message, waits long enough, and goes to the dead-letter queue in the end.
var participantFunction = map[string]string{
	"aws_lambda_function.participant": `{"function_name": "sds-participant", "filename": "../../../dist/participant.zip",
		"source_code_hash": "/W8s4FOVOM11PTrQ+c/4ysmjCbYUF5ZhY3WdVwX7EVQ=", "architectures": ["arm64"],
		"description": "A participant of SDS that keeps its channels by sdsaws.",
		"role": "arn:aws:iam:eu-central-1:123456789012:role/participant", "runtime": "provided.al2023", "handler": "bootstrap",
		"memory_size": 512, "timeout": 30, "reserved_concurrent_executions": 2,
		"logging_config": [{"log_format": "Text", "log_group": "/aws/lambda/sds-participant"}],
		"environment": [{"variables": {"SDSAWS_STATE_TABLE": "sds-state", "SDSAWS_HINTS_TABLE": "sds-hints",
			"SDSAWS_BUCKET": "sds-123456789012-eu-central-1", "SDSAWS_PREFIX": "", "SDSAWS_REGION": "", "SDSAWS_NAMESPACE": "tenant/bob",
			"SDSAWS_REJECTED_QUEUE_URL": "<aws_sqs_queue.dead.url>"}}]}`,
	"aws_cloudwatch_log_group.participant": `{"name": "/aws/lambda/sds-participant", "retention_in_days": 30}`,
	"aws_lambda_event_source_mapping.messages": `{"event_source_arn": "arn:aws:sqs:eu-central-1:123456789012:queue/messages",
		"function_name": "arn:aws:lambda:eu-central-1:123456789012:function/participant", "batch_size": 10,
		"function_response_types": ["ReportBatchItemFailures"], "scaling_config": [{"maximum_concurrency": 2}]}`,
	"aws_sqs_queue.messages": `{"name": "sds-messages.fifo", "fifo_queue": true, "content_based_deduplication": true,
		"deduplication_scope": "messageGroup", "fifo_throughput_limit": "perMessageGroupId", "sqs_managed_sse_enabled": true,
		"visibility_timeout_seconds": 180, "message_retention_seconds": 345600,
		"redrive_policy": {"deadLetterTargetArn": "arn:aws:sqs:eu-central-1:123456789012:queue/dead", "maxReceiveCount": 10}}`,
	"aws_sqs_queue.dead": `{"name": "sds-messages-dead.fifo", "fifo_queue": true, "content_based_deduplication": true,
		"sqs_managed_sse_enabled": true, "message_retention_seconds": 1209600}`,
}

// exampleDiffers compares the example, and what its sweeper and its outputs are given.
func exampleDiffers(t *testing.T, all fs.FS) []string {
	t.Helper()
	e := of(t, all, "examples/lambda", values{"namespace": text("tenant/bob")})
	found := differences(t, e, participantFunction)
	sweeper := whole(t, e.Modules["sweeper"], "aws_lambda_function.sweeper").(map[string]any)
	found = append(found, differs(t, sweeper["environment"], `[{"variables": {"SDSAWS_STATE_TABLE": "sds-state",
		"SDSAWS_HINTS_TABLE": "sds-hints", "SDSAWS_BUCKET": "sds-123456789012-eu-central-1", "SDSAWS_PREFIX": "", "SDSAWS_REGION": "",
		"SDSAWS_NAMESPACES": ""}}]`), differs(t, outputs(e.Outputs), `{"participant_function": "sds-participant",
		"queue_url": "<aws_sqs_queue.messages.url>", "sweeper_function": "sds-sweeper"}`))
	return nonempty(found)
}

func outputs(all values) map[string]any {
	plainly := map[string]any{}
	for name, v := range all {
		plainly[name] = plain(v)
	}
	return plainly
}

func nonempty(all []string) (some []string) {
	for _, s := range all {
		if s != "" {
			some = append(some, s)
		}
	}
	return some
}

// TestTheExampleLosesNoMessage: a participant's function, its variables and queues.
func TestTheExampleLosesNoMessage(t *testing.T) {
	const file = "examples/lambda/main.tf"
	finds(t, exampleDiffers, map[string]edit{
		"another table":          {file, "SDSAWS_STATE_TABLE        = module.sdsaws.state_table", "SDSAWS_STATE_TABLE = module.sdsaws.hints_table"},
		"another queue":          {file, "aws_sqs_queue.dead.url", "aws_sqs_queue.messages.url"},
		"all or nothing":         {file, "  function_response_types = [\"ReportBatchItemFailures\"]\n", ""},
		"delivered while worked": {file, "visibility_timeout_seconds  = 180", "visibility_timeout_seconds = 20"},
		"another's queue":        {file, "event_source_arn        = aws_sqs_queue.messages.arn", "event_source_arn = aws_sqs_queue.dead.arn"},
		"no dead-letter queue":   {file, "deadLetterTargetArn = aws_sqs_queue.dead.arn", "deadLetterTargetArn = aws_sqs_queue.dead.url"},
		"given up at once":       {file, "maxReceiveCount     = 10", "maxReceiveCount = 1"},
		"as many as there is":    {file, "  reserved_concurrent_executions = 2\n", ""},
		"the sweeper's table":    {file, "  hints_table = module.sdsaws.hints_table", "  hints_table = module.sdsaws.state_table"},
		"a module's output":      {"modules/sdsaws/outputs.tf", "value       = aws_dynamodb_table.state.name", "value = aws_dynamodb_table.hints.name"},
	})
}

// TestOutputsSayWhatWasMade: with and without replicas.
func TestOutputsSayWhatWasMade(t *testing.T) {
	check := func(t *testing.T, all fs.FS) []string {
		without := func(e values) values {
			for name := range e {
				if strings.Contains(name, "polic") { // see roles_test.go
					delete(e, name)
				}
			}
			return e
		}
		return nonempty([]string{
			differs(t, outputs(without(must(t, all, everythingAt()).Outputs)), `{"state_table": "sds-state", "hints_table": "sds-hints",
				"bucket": "sds", "buckets": {"eu-central-1": "sds", "eu-west-1": "sds-eu-west-1"}, "prefix": "some/prefix/",
				"region": "eu-central-1", "athena_database": "sds"}`),
			differs(t, outputs(without(must(t, all, values{"name": text("my-sds"), "athena": no}).Outputs)), `{"state_table": "my-sds-state",
				"hints_table": "my-sds-hints", "bucket": "my-sds-123456789012-eu-central-1", "prefix": "", "region": "",
				"buckets": {"eu-central-1": "my-sds-123456789012-eu-central-1"}, "athena_database": null}`),
			differs(t, outputs(of(t, all, sweeperModule, sweeperAt()).Outputs), `{"function_name": "tidy", "role_name": "tidy",
				"function_arn": "arn:aws:lambda:eu-central-1:123456789012:function/sweeper", "log_group": "/aws/lambda/tidy"}`),
		})
	}
	const file = "modules/sdsaws/outputs.tf"
	finds(t, check, map[string]edit{
		"swapped":             {file, "value       = aws_dynamodb_table.hints.name", "value = aws_dynamodb_table.state.name"},
		"never a region":      {file, `local.home : ""`, `"" : ""`},
		"always a region":     {file, `local.home : ""`, "local.home : local.home"},
		"a prefix elsewhere":  {file, "value       = var.prefix", `value = ""`},
		"a log group's group": {"modules/sweeper/outputs.tf", "aws_cloudwatch_log_group.sweeper.name", "aws_iam_role.sweeper.name"},
	})
}
