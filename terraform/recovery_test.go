package terraform_test

import (
	"io/fs"
	"testing"
)

// tables are all that is set of the tables.
const (
	tablesHave = `"billing_mode": "PAY_PER_REQUEST", "deletion_protection_enabled": true, "stream_enabled": true,
		"stream_view_type": "NEW_AND_OLD_IMAGES", "point_in_time_recovery": [{"enabled": true, "recovery_period_in_days": 35}],
		"server_side_encryption": [{"enabled": true, "kms_key_arn": "` + key + `"}],
		"replica": [{"region_name": "eu-west-1", "consistency_mode": "EVENTUAL", "kms_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/1",
			"point_in_time_recovery": true, "deletion_protection_enabled": true, "propagate_tags": true}]`
	stateHas = `"name": "sds-state", "hash_key": "pk", "range_key": "sk",
		"attribute": [{"name": "pk", "type": "S"}, {"name": "sk", "type": "S"}, {"name": "ns", "type": "S"}],
		"global_secondary_index": [{"name": "channels", "hash_key": "ns", "range_key": "pk", "projection_type": "KEYS_ONLY"}]`
	hintsHave = `"name": "sds-hints", "hash_key": "pk", "attribute": [{"name": "pk", "type": "S"}],
		"ttl": [{"attribute_name": "x", "enabled": true}]`
)

func tablesLack(t *testing.T, all fs.FS) []string {
	t.Helper()
	state, hints := "aws_dynamodb_table.state", "aws_dynamodb_table.hints"
	found := differences(t, must(t, all, everythingAt()), map[string]string{
		state: "{" + stateHas + "," + tablesHave + "}", hints: "{" + hintsHave + "," + tablesHave + "}"})
	const alone = `"billing_mode": "PAY_PER_REQUEST", "deletion_protection_enabled": false, "stream_enabled": false,
		"point_in_time_recovery": [{"enabled": true, "recovery_period_in_days": 7}]`
	e := must(t, all, values{"deletion_protection": no, "recovery_days": number(7)})
	return append(found, differences(t, e, map[string]string{
		state: "{" + stateHas + "," + alone + "}", hints: "{" + hintsHave + "," + alone + "}"})...)
}

// TestTablesKeepWhatIsStored: recovery, protection and encryption, of replicas too.
func TestTablesKeepWhatIsStored(t *testing.T) {
	const file = "modules/sdsaws/tables.tf"
	finds(t, tablesLack, map[string]edit{
		"no recovery":            {file, "enabled                 = true", "enabled = false"},
		"recovery of a day":      {file, "recovery_period_in_days = var.recovery_days", "recovery_period_in_days = 1"},
		"no deletion protection": {file, "deletion_protection_enabled = var.deletion_protection\n  stream", "deletion_protection_enabled = false\n  stream"},
		"no stream":              {file, "stream_enabled              = length(var.replicas) > 0", "stream_enabled = false"},
		"no replica":             {file, "for_each = var.replicas", "for_each = {}"},
		"another key":            {file, "kms_key_arn = server_side_encryption.value", "kms_key_arn = null"},
		"a replica's protection": {file, "point_in_time_recovery      = true\n      deletion_protection_enabled = var.deletion_protection", "point_in_time_recovery = true"},
		"strong consistency":     {file, `"EVENTUAL"`, `"STRONG"`},
	})
}
