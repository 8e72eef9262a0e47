package main

import (
	"encoding/json"
	"io"
	"time"

	"github.com/sdsaws/sdsaws"
)

// report is what an invocation has done, and its answer.
type report struct {
	Namespaces int   `json:"namespaces"` // whose last channel was reached
	Channels   int   `json:"channels"`   // swept, without those that failed
	Elsewhere  int   `json:"elsewhere"`  // whose home is another region
	Failures   int   `json:"failures"`
	Messages   int   `json:"messages"` // archived, and so on: see sdsaws.Swept
	Segments   int   `json:"segments"`
	Bytes      int64 `json:"bytes"`
	Resumed    int   `json:"resumed"`
	Removed    int   `json:"removed"`
}

func (r *report) add(s sdsaws.Swept) {
	r.Messages += s.Messages
	r.Segments += s.Segments
	r.Bytes += s.Bytes
	r.Resumed += s.Resumed
	r.Removed += s.Removed
}

// metric is one in CloudWatch's embedded metric format.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type metric struct{ Name, Unit string }

// emit writes the invocation's metrics as one line, from which CloudWatch Logs takes them. What isn't
// known is left out, for an alarm to see that it is missing.
func (i *invocation) emit(w io.Writer, now time.Time) error {
	line := map[string]any{"Service": "sweeper", "Function": i.function}
	var metrics []metric
	tell := func(name, unit string, value any) {
		metrics = append(metrics, metric{name, unit})
		line[name] = value
	}
	tell("SweptChannels", "Count", i.report.Channels)
	tell("ElsewhereChannels", "Count", i.report.Elsewhere)
	tell("SweepFailures", "Count", i.report.Failures)
	if i.lagKnown {
		tell("ArchiveLagMessages", "Count", i.lag)
	}
	if age, ok := i.age(now); ok {
		tell("UnsweptAgeSeconds", "Seconds", int64(age.Seconds()))
	}
	line["_aws"] = struct {
		Timestamp         int64
		CloudWatchMetrics []directive
	}{now.UnixMilli(), []directive{{"sdsaws", [][]string{{"Service", "Function"}}, metrics}}}
	return json.NewEncoder(w).Encode(line)
}

// directive says which of a line's values are metrics.
type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []metric
}

// age returns how long ago the oldest round began, unless that can't be read or none has begun.
func (i *invocation) age(now time.Time) (age time.Duration, known bool) {
	known = i.since != nil && len(i.since) == 0 // no namespace, so nothing is unswept
	for _, since := range i.since {
		if !since.IsZero() { // else its first round has yet to begin
			age, known = max(age, now.Sub(since)), true
		}
	}
	return age, known
}
