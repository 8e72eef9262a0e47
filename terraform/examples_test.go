package terraform_test

import (
	"io/fs"
	"testing"
)

// examplesDiffer compares the examples that make policies, topics and keys.
func examplesDiffer(t *testing.T, all fs.FS) []string {
	t.Helper()
	single := of(t, all, "examples/single-region", values{"alarm_email": text("ops@example.org")})
	policy := func(name string) string {
		return `{"name": "sds-participant-` + name + `", "policy": ` + str(single.Modules["sdsaws"].Outputs["participant_policies"], name) + `}`
	}
	found := differences(t, single, map[string]string{
		"aws_sns_topic.alarms": `[{"name": "sds-alarms"}]`,
		"aws_sns_topic_subscription.alarms": `[{"topic_arn": "arn:aws:sns:eu-central-1:123456789012:topic/alarms", "protocol": "email",
			"endpoint": "ops@example.org"}]`,
		"aws_iam_policy.participant": `{"alice": ` + policy("alice") + `, "bob": ` + policy("bob") + `}`,
	})
	multi := of(t, all, "examples/multi-region", nil)
	const key = `"description": "Tables and bucket of sdsaws.", "enable_key_rotation": true, "deletion_window_in_days": 30}`
	found = append(found, differences(t, multi, map[string]string{
		"aws_kms_key.sdsaws": `{"eu-central-1": {"region": "eu-central-1", ` + key + `, "eu-west-1": {"region": "eu-west-1", ` + key + `}`,
		"aws_iam_policy.participants": `{"name": "sds-participants", "policy": ` +
			str(multi.Modules["sdsaws"].Outputs["participant_policies"], "tenant") + `}`,
	})...)
	return nonempty(append(found,
		differs(t, plain(single.Modules["sdsaws"].Resources["aws_cloudwatch_metric_alarm.conflicts"].GetAttr("alarm_actions")),
			`["arn:aws:sns:eu-central-1:123456789012:topic/alarms"]`),
		differs(t, outputs(single.Outputs)["resources"],
			`{"State": "sds-state", "Hints": "sds-hints", "Bucket": "sds-123456789012-eu-central-1"}`),
		differs(t, outputs(multi.Outputs)["resources"], `{
			"eu-central-1": {"State": "sds-state", "Hints": "sds-hints", "Bucket": "sds-123456789012-eu-central-1"},
			"eu-west-1": {"State": "sds-state", "Hints": "sds-hints", "Bucket": "sds-123456789012-eu-central-1-eu-west-1"}}`)))
}

// TestExamplesMakeWhatTheySay: alarms by mail, a policy for each participant, a key in each
// region.
func TestExamplesMakeWhatTheySay(t *testing.T) {
	const single, multi = "examples/single-region/main.tf", "examples/multi-region/main.tf"
	finds(t, examplesDiffer, map[string]edit{
		"nobody is told":    {single, "alarm_topic_arns = aws_sns_topic.alarms[*].arn", "alarm_topic_arns = []"},
		"another's policy":  {single, "policy = each.value", "policy = module.sdsaws.operator_policy"},
		"not by mail":       {single, `protocol  = "email"`, `protocol = "https"`},
		"an operator's":     {multi, `module.sdsaws.participant_policies["tenant"]`, "module.sdsaws.operator_policy"},
		"keys go in a week": {multi, "deletion_window_in_days = 30", "deletion_window_in_days = 7"},
		"keys never change": {multi, "enable_key_rotation     = true", "enable_key_rotation = false"},
		"swapped names":     {"examples/multi-region/outputs.tf", "State  = module.sdsaws.state_table", "State = module.sdsaws.hints_table"},
	})
}
