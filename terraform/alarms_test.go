package terraform_test

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/sdsaws/sdsaws/internal/hclcheck"
)

// metric is a metric with its dimensions and a statistic.
func metric(namespace, name string, dimensions map[string]string, statistic string) string {
	s := namespace + " " + name
	for _, d := range slices.Sorted(maps.Keys(dimensions)) {
		s += " " + d + "=" + dimensions[d]
	}
	return s + ", " + statistic
}

func dimensions(v cty.Value) map[string]string {
	all := map[string]string{}
	if d := v.GetAttr("dimensions"); !d.IsNull() {
		for name, value := range d.AsValueMap() {
			all[name] = value.AsString()
		}
	}
	return all
}

// alarm is what one looks at: the metrics, when it is in alarm, and what a missing metric means.
func alarm(v cty.Value) (metrics []string, line string) {
	number := func(v cty.Value) string { return v.AsBigFloat().Text('f', -1) }
	what, period := "", v.GetAttr("period")
	for _, q := range blocks(v, "metric_query") {
		if expression := str(q, "expression"); expression != "" {
			what += expression
		}
		for _, m := range blocks(q, "metric") {
			metrics = append(metrics, metric(str(m, "namespace"), str(m, "metric_name"), dimensions(m), str(m, "stat")))
			what += "; " + str(q, "id") + " is " + metrics[len(metrics)-1]
			period = m.GetAttr("period")
		}
	}
	if name := str(v, "metric_name"); name != "" {
		metrics = append(metrics, metric(str(v, "namespace"), name, dimensions(v), str(v, "statistic")))
		what += metrics[0]
	}
	told := "told"
	for _, actions := range []string{"alarm_actions", "ok_actions"} {
		if got, _ := plain(v.GetAttr(actions)).([]any); len(got) != 1 || got[0] != topic {
			told = "not told"
		}
	}
	if on := v.GetAttr("actions_enabled"); !on.IsNull() && on.False() {
		told = "not told"
	}
	return metrics, fmt.Sprintf("%s | %s | %s x %s s, %s %s | %s | %s", str(v, "alarm_name"), what, number(v.GetAttr("evaluation_periods")),
		number(period), str(v, "comparison_operator"), number(v.GetAttr("threshold")), str(v, "treat_missing_data"), told)
}

const topic = "arn:aws:sns:eu-central-1:123456789012:x"

// alarms returns a line for each alarm of a module, and the metrics that they look at.
func alarms(e *hclcheck.Evaluated) (lines, metrics []string) {
	for address, v := range e.Resources {
		if !strings.HasPrefix(address, "aws_cloudwatch_metric_alarm.") {
			continue
		}
		all := []cty.Value{v}
		if v.Type().IsTupleType() || !v.Type().HasAttribute("alarm_name") {
			all = nil
			for it := v.ElementIterator(); it.Next(); {
				_, one := it.Element()
				all = append(all, one)
			}
		}
		for _, one := range all {
			m, line := alarm(one)
			lines, metrics = append(lines, line), append(metrics, m...)
		}
	}
	slices.Sort(lines)
	return lines, metrics
}

// What alarms there are. Thresholds are given, each another one.
const wantAlarms = `
sds-fenced-writers | sdsaws FencedWriters, Sum | 1 x 300 s, GreaterThanOrEqualToThreshold 4 | notBreaching | told
sds-hints-behind-in-eu-west-1 | AWS/DynamoDB ReplicationLatency ReceivingRegion=eu-west-1 TableName=sds-hints, Average | 3 x 300 s, GreaterThanOrEqualToThreshold 5 | notBreaching | told
sds-hints-throttles | FILL(reads, 0) + FILL(writes, 0); reads is AWS/DynamoDB ReadThrottleEvents TableName=sds-hints, Sum; writes is AWS/DynamoDB WriteThrottleEvents TableName=sds-hints, Sum | 1 x 300 s, GreaterThanOrEqualToThreshold 2 | notBreaching | told
sds-state-behind-in-eu-west-1 | AWS/DynamoDB ReplicationLatency ReceivingRegion=eu-west-1 TableName=sds-state, Average | 3 x 300 s, GreaterThanOrEqualToThreshold 5 | notBreaching | told
sds-state-conflicts | AWS/DynamoDB TransactionConflict TableName=sds-state, Sum | 1 x 300 s, GreaterThanOrEqualToThreshold 3 | notBreaching | told
sds-state-throttles | FILL(reads, 0) + FILL(writes, 0); reads is AWS/DynamoDB ReadThrottleEvents TableName=sds-state, Sum; writes is AWS/DynamoDB WriteThrottleEvents TableName=sds-state, Sum | 1 x 300 s, GreaterThanOrEqualToThreshold 2 | notBreaching | told
tidy-archive-lag | sdsaws ArchiveLagMessages Function=tidy Service=sweeper, Maximum | 1 x 7200 s, GreaterThanOrEqualToThreshold 2 | notBreaching | told
tidy-errors | AWS/Lambda Errors FunctionName=tidy, Sum | 1 x 7200 s, GreaterThanOrEqualToThreshold 4 | notBreaching | told
tidy-failures | sdsaws SweepFailures Function=tidy Service=sweeper, Sum | 1 x 7200 s, GreaterThanOrEqualToThreshold 4 | notBreaching | told
tidy-unswept-age | sdsaws UnsweptAgeSeconds Function=tidy Service=sweeper, Maximum | 1 x 7200 s, GreaterThanOrEqualToThreshold 3 | breaching | told
`

// wantShown is the dashboard: what has an alarm, by the same statistic, and some more.
const wantShown = `
AWS/DynamoDB ConditionalCheckFailedRequests TableName=sds-state, Sum
AWS/DynamoDB ConsumedReadCapacityUnits TableName=sds-hints, Sum
AWS/DynamoDB ConsumedReadCapacityUnits TableName=sds-state, Sum
AWS/DynamoDB ConsumedWriteCapacityUnits TableName=sds-hints, Sum
AWS/DynamoDB ConsumedWriteCapacityUnits TableName=sds-state, Sum
AWS/DynamoDB ReadThrottleEvents TableName=sds-hints, Sum
AWS/DynamoDB ReadThrottleEvents TableName=sds-state, Sum
AWS/DynamoDB ReplicationLatency ReceivingRegion=eu-west-1 TableName=sds-hints, Average
AWS/DynamoDB ReplicationLatency ReceivingRegion=eu-west-1 TableName=sds-state, Average
AWS/DynamoDB TransactionConflict TableName=sds-state, Sum
AWS/DynamoDB WriteThrottleEvents TableName=sds-hints, Sum
AWS/DynamoDB WriteThrottleEvents TableName=sds-state, Sum
AWS/Lambda Errors FunctionName=tidy, Sum
AWS/S3 OperationsPendingReplication DestinationBucket=sds-eu-west-1 RuleId=to-eu-west-1 SourceBucket=sds, Maximum
sdsaws ArchiveLagMessages Function=tidy Service=sweeper, Maximum
sdsaws ElsewhereChannels Function=tidy Service=sweeper, Sum
sdsaws FencedWriters, Sum
sdsaws SweepFailures Function=tidy Service=sweeper, Sum
sdsaws SweptChannels Function=tidy Service=sweeper, Sum
sdsaws UnsweptAgeSeconds Function=tidy Service=sweeper, Maximum
`

// shown returns what the dashboard shows, in the module's region.
func shown(t *testing.T, e *hclcheck.Evaluated) (all []string) {
	t.Helper()
	body := whole(t, e, "aws_cloudwatch_dashboard.sdsaws").(map[string]any)["dashboard_body"].(map[string]any)
	for _, w := range body["widgets"].([]any) {
		p := w.(map[string]any)["properties"].(map[string]any)
		for _, m := range p["metrics"].([]any) {
			parts := m.([]any)
			dims := map[string]string{}
			for i := 2; i+1 < len(parts); i += 2 {
				dims[parts[i].(string)] = parts[i+1].(string)
			}
			line := metric(parts[0].(string), parts[1].(string), dims, p["stat"].(string))
			if p["region"] != hclcheck.Region || len(parts)%2 != 0 {
				line += fmt.Sprintf(", in %v as %v", p["region"], parts)
			}
			all = append(all, line)
		}
	}
	slices.Sort(all)
	return all
}

// watched compares alarms, dashboard and the metric that lines of logs are counted as.
func watched(t *testing.T, all fs.FS) (found []string) {
	t.Helper()
	inputs := everythingAt()
	inputs["sweepers"] = list("tidy")
	inputs["alarm_thresholds"] = object(values{"throttles": number(2), "conflicts": number(3), "fenced": number(4), "replication_ms": number(5)})
	e := must(t, all, inputs)
	lines, metrics := alarms(e)
	ofSweeper, more := alarms(of(t, all, sweeperModule, sweeperAt()))
	show := shown(t, e)
	for _, m := range append(metrics, more...) {
		if !slices.Contains(show, m) {
			found = append(found, "the dashboard doesn't show "+m)
		}
	}
	for _, c := range []struct {
		got  []string
		want string
	}{{append(lines, ofSweeper...), wantAlarms}, {show, wantShown}} {
		if got := strings.Join(c.got, "\n"); got != strings.TrimSpace(c.want) {
			found = append(found, fmt.Sprintf("alarms or dashboard are\n%s\nwant%s", got, c.want))
		}
	}
	return append(found, differences(t, e, map[string]string{"aws_cloudwatch_log_metric_filter.fenced": `{"/aws/lambda/x": {
		"name": "sds-fenced-writers", "log_group_name": "/aws/lambda/x",
		"pattern": "?\"channel lost\" ?\"fenced: the channel was claimed by another holder\"",
		"metric_transformation": [{"namespace": "sdsaws", "name": "FencedWriters", "value": "1", "unit": "Count"}]}}`})...)
}

// TestAlarmsAlarm: each looks at the metric that there is, and tells; the dashboard shows it.
func TestAlarmsAlarm(t *testing.T) {
	const file, sweeper, dashboard = "modules/sdsaws/alarms.tf", "modules/sweeper/alarms.tf", "modules/sdsaws/dashboard.tf"
	finds(t, watched, map[string]edit{
		"another metric":          {file, `"TransactionConflict"`, `"TransactionConflicts"`},
		"another than is counted": {file, `metric_name         = "FencedWriters"`, `metric_name = "Fenced"`},
		"another is counted":      {file, `name      = "FencedWriters"`, `name = "Fenced"`},
		"nobody is told":          {file, "alarm_actions       = var.alarm_topic_arns", "alarm_actions = []"},
		"nobody is told so":       {sweeper, "alarm_actions       = var.alarm_topic_arns", "alarm_actions = []"},
		"nor of its end":          {sweeper, "ok_actions          = var.alarm_topic_arns", "ok_actions = []"},
		"the other way round":     {file, `"GreaterThanOrEqualToThreshold"`, `"LessThanThreshold"`},
		"another's threshold":     {file, "threshold           = var.alarm_thresholds.conflicts", "threshold = var.alarm_thresholds.fenced"},
		"another table":           {file, "dimensions          = { TableName = local.tables.state }", "dimensions = { TableName = local.tables.hints }"},
		"any function":            {sweeper, `Service = "sweeper", Function = var.name`, `Service = "sweeper"`},
		"no sweep is no alarm":    {sweeper, `missing = "breaching"`, `missing = "notBreaching"`},
		"another statistic":       {sweeper, `"Maximum", threshold = var.alarm_thresholds.unswept_seconds`, `"Minimum", threshold = var.alarm_thresholds.unswept_seconds`},
		"another expression":      {file, "FILL(reads, 0) + FILL(writes, 0)", "FILL(reads, 0)"},
		"not on the dashboard":    {dashboard, `"UnsweptAgeSeconds"`, `"UnsweptAge"`},
		"otherwise there":         {dashboard, `["Archive lag", "Maximum"`, `["Archive lag", "Average"`},
		"shown of another region": {dashboard, "region  = local.home", `region = "us-east-1"`},
	})
}

// TestTheSweeperTellsWhatIsWatched: names of metrics and dimensions are in its source.
func TestTheSweeperTellsWhatIsWatched(t *testing.T) {
	told, names := texts(t, "../cmd/sweeper"), 0
	for line := range strings.Lines(wantShown) {
		if words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" =,\n", r) }); strings.Contains(line, "Service=sweeper") {
			for _, w := range words[:len(words)-1] { // all but the statistic
				names++
				if !told[w] && w != "tidy" {
					t.Errorf("cmd/sweeper doesn't tell %q", w)
				}
			}
		}
	}
	if names != 5*6 {
		t.Errorf("%d names", names)
	}
}
