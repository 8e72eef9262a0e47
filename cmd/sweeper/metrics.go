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

// emit writes the invocation's metrics as one line, from which CloudWatch Logs takes them.
func (i *invocation) emit(w io.Writer, now time.Time) error {
	var age time.Duration
	for _, since := range i.since {
		if !since.IsZero() { // else its first round has yet to begin
			age = max(age, now.Sub(since))
		}
	}
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []metric
	}
	type metadata struct {
		Timestamp         int64
		CloudWatchMetrics []directive
	}
	return json.NewEncoder(w).Encode(struct {
		Metadata           metadata `json:"_aws"`
		Service            string
		SweptChannels      int
		SweepFailures      int
		ArchiveLagMessages uint64
		UnsweptAgeSeconds  int64
	}{
		Metadata: metadata{now.UnixMilli(), []directive{{"sdsaws", [][]string{{"Service"}}, []metric{
			{"SweptChannels", "Count"}, {"SweepFailures", "Count"},
			{"ArchiveLagMessages", "Count"}, {"UnsweptAgeSeconds", "Seconds"},
		}}}},
		Service:            "sweeper",
		SweptChannels:      i.report.Channels,
		SweepFailures:      i.report.Failures,
		ArchiveLagMessages: i.lag,
		UnsweptAgeSeconds:  int64(age.Seconds()),
	})
}
