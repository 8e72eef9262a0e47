package terraform_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/sds"
)

// fence has a participant lose its channel to another, and returns what telemetry logs of
// it and the error.
func fence(t *testing.T) (logged string, err error) {
	t.Helper()
	s, err := embedded.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	telemetry, err := sdsaws.NewTelemetry(sdsaws.TelemetryOptions{Logger: slog.New(slog.NewJSONHandler(&b, nil))})
	if err != nil {
		t.Fatal(err)
	}
	open := func(o sdsaws.Options) *sdsaws.Adapter {
		o.Namespace = "alice"
		a, err := sdsaws.New(sdsaws.Backend{Log: s, Hints: s, Archive: s.Archive()}, &o)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first, second := open(sdsaws.Options{Telemetry: telemetry}), open(sdsaws.Options{})
	defer func() {
		_ = first.Close(context.Background()) // it is fenced
		if err := errors.Join(second.Close(context.Background()), s.Close()); err != nil {
			t.Error(err)
		}
	}()
	meta := &sds.ChannelMeta{SchemaVersion: 1}
	if err := first.Commit(t.Context(), "chat", meta, &sds.HistoryUpdate{}); err != nil {
		t.Fatal(err)
	}
	if _, err := second.LoadChannel(t.Context(), "chat"); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	err = first.Commit(t.Context(), "chat", &sds.ChannelMeta{SchemaVersion: 1, LamportTimestamp: 1}, &sds.HistoryUpdate{})
	return b.String(), err
}

// terms returns the alternatives that a filter's pattern looks for.
func terms(t *testing.T, all fs.FS) (found []string) {
	t.Helper()
	e := must(t, all, values{"participant_log_groups": list("/aws/lambda/x")})
	filter := e.Resources["aws_cloudwatch_log_metric_filter.fenced"].GetAttr("/aws/lambda/x")
	for _, m := range regexp.MustCompile(`\?"([^"]+)"`).FindAllStringSubmatch(str(filter, "pattern"), -1) {
		found = append(found, m[1])
	}
	return found
}

func hasTerm(terms []string, line string) bool {
	for _, term := range terms {
		if strings.Contains(line, term) {
			return true
		}
	}
	return false
}

// TestFencedWritersAreFoundInLogs: in what telemetry logs, and in what a program logs that
// logs errors.
func TestFencedWritersAreFoundInLogs(t *testing.T) {
	logged, err := fence(t)
	if !errors.Is(err, sds.ErrFenced) {
		t.Fatal(err)
	}
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Error("failed", "err", err)
	looked := terms(t, tree(t))
	if !hasTerm(looked, logged) || !hasTerm(looked, b.String()) || hasTerm(looked, "history archived") {
		t.Errorf("%q in %q and %q", looked, logged, b.String())
	}
	const file = "modules/sdsaws/alarms.tf"
	if hasTerm(terms(t, edited(t, file, "channel lost", "channel was lost")), logged) {
		t.Error("another event isn't found")
	}
	if hasTerm(terms(t, edited(t, file, "by another holder", "by somebody")), b.String()) {
		t.Error("another text isn't found")
	}
}
