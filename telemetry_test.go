package sdsaws_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// observed is a Telemetry and all that it has told.
type observed struct {
	*sdsaws.Telemetry
	metrics *sdkmetric.ManualReader
	spans   *tracetest.InMemoryExporter
	log     bytes.Buffer
}

func observe(t *testing.T) *observed {
	t.Helper()
	o := &observed{metrics: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	var err error
	o.Telemetry, err = sdsaws.NewTelemetry(sdsaws.TelemetryOptions{
		Meter:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(o.metrics)),
		Tracer: sdktrace.NewTracerProvider(sdktrace.WithSyncer(o.spans)),
		Logger: slog.New(slog.NewJSONHandler(&o.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// all returns all that was told, as text.
func (o *observed) all(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("%s%+v%+v", o.log.String(), o.spans.GetSpans().Snapshots(), o.collect(t))
}

// collect returns the metrics by name.
func (o *observed) collect(t *testing.T) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := o.metrics.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	found := map[string]metricdata.Metrics{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			found[m.Name] = m
		}
	}
	return found
}

// values returns a metric's data points by their attributes: sums and gauges as they are, of a
// histogram how many were recorded.
func values(m metricdata.Metrics) map[string]float64 {
	all := map[string]float64{}
	put := func(s attribute.Set, v float64) {
		var of []string
		for _, kv := range s.ToSlice() {
			of = append(of, string(kv.Key)+"="+kv.Value.String())
		}
		all[strings.Join(of, " ")] = v
	}
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			put(p.Attributes, float64(p.Value))
		}
	case metricdata.Gauge[int64]:
		for _, p := range d.DataPoints {
			put(p.Attributes, float64(p.Value))
		}
	case metricdata.Gauge[float64]:
		for _, p := range d.DataPoints {
			put(p.Attributes, p.Value)
		}
	case metricdata.Histogram[int64]:
		for _, p := range d.DataPoints {
			put(p.Attributes, float64(p.Count))
		}
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			put(p.Attributes, float64(p.Count))
		}
	}
	return all
}

// expect fails the test unless a metric has just these values.
func expect(t *testing.T, all map[string]metricdata.Metrics, name string, want map[string]float64) {
	t.Helper()
	if got := values(all[name]); !maps.Equal(got, want) {
		t.Errorf("%s: %v, want %v", name, got, want)
	}
}

// TestTelemetryTellsWhatHappens: two commits, one that fails, an archiving, a load, a holder that is
// replaced, and a drop.
func TestTelemetryTellsWhatHappens(t *testing.T) {
	m, o := newMemory(), observe(t)
	options := quiet
	options.Telemetry = o.Telemetry
	a := open(t, m, options)
	ctx := t.Context()
	if _, err := a.LoadChannel(ctx, channel); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(ctx, channel, meta(1), appends("one", "two", "three")); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(ctx, channel, meta(2), &sds.HistoryUpdate{Evict: []string{"one", "two"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Archive(ctx, channel); err != nil {
		t.Fatal(err)
	}
	m.setFault(at("commit", refuse))
	if err := a.Commit(ctx, channel, meta(3), appends("four")); !errors.Is(err, errInjected) {
		t.Fatalf("%v, want what was injected", err)
	}
	pending := o.collect(t)
	if v := values(pending["sdsaws.pending.size"])[""]; v != float64(a.Pending().Bytes) || v == 0 {
		t.Errorf("pending %v bytes, want %d", v, a.Pending().Bytes)
	}
	expect(t, pending, "sdsaws.pending.channels", map[string]float64{"": 1})
	expect(t, pending, "sdsaws.commit.messages", map[string]float64{"": 2})
	m.setFault(func(string) fault { return none })
	b := open(t, m, sdsaws.Options{})
	if _, err := b.LoadChannel(ctx, channel); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(ctx, channel, meta(4), appends("five")); !errors.Is(err, sds.ErrFenced) {
		t.Fatalf("%v, want ErrFenced", err)
	}
	if _, err := a.LoadChannel(ctx, channel); err != nil {
		t.Fatal(err)
	}
	if err := a.DropChannel(ctx, channel); err != nil {
		t.Fatal(err)
	}
	all := o.collect(t)
	expect(t, all, "sdsaws.load.duration", map[string]float64{"": 2})
	expect(t, all, "sdsaws.channel.lost", map[string]float64{"error.type=fenced": 1})
	expect(t, all, "sdsaws.archive.messages", map[string]float64{"": 2})
	expect(t, all, "sdsaws.archive.duration", map[string]float64{"": 1})
	if v := values(all["sdsaws.archive.size"])[""]; v < 100 {
		t.Errorf("%v bytes archived", v)
	}
	if in, out := values(all["sdsaws.encoding.input.size"])[""], values(all["sdsaws.encoding.output.size"])[""]; in < 10 || out < 10 {
		t.Errorf("%v bytes packed to %v", in, out)
	}
	commits := values(all["sdsaws.commit.duration"])
	if commits[""] < 3 || commits["error.type=_OTHER"] != 1 || commits["error.type=conflict"] != 1 {
		t.Errorf("commits %v", commits)
	}
	// Those of the batches are two; Archive and drop commit too, and are in no batch.
	expect(t, all, "sdsaws.commit.operations", map[string]float64{"": 2})
	expect(t, all, "sdsaws.commit.wait.duration", map[string]float64{"": 2})

	var names []string
	for _, s := range o.spans.GetSpans() {
		names = append(names, s.Name)
	}
	for _, name := range []string{"sdsaws.load", "sdsaws.commit", "sdsaws.archive"} {
		if !slices.Contains(names, name) {
			t.Errorf("no span %s among %q", name, names)
		}
	}
	for _, event := range []string{"channel loaded", "history archived", "commit failed, kept", "channel lost", "channel dropped"} {
		if !strings.Contains(o.log.String(), fmt.Sprintf(`"msg":%q`, event)) {
			t.Errorf("no event %q in\n%s", event, o.log.String())
		}
	}
	if strings.Contains(o.all(t), channel) {
		t.Errorf("the channel's id is told:\n%s", o.all(t))
	}
	if !strings.Contains(o.log.String(), `"channel":"`+sdsaws.ChannelHash(channel)+`"`) {
		t.Errorf("the channel's hash is not in\n%s", o.log.String())
	}
}

// TestTelemetryCountsRefusals: what passes the memory is counted each time, and told once a second.
func TestTelemetryCountsRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, o := newMemory(), observe(t)
		m.setFault(at("commit", stuck))
		a := open(t, m, sdsaws.Options{Telemetry: o.Telemetry, MaxPending: 4096, Durability: sdsaws.Accepted})
		refused := 0
		for i := range 40 {
			err := a.UpdateHistory(t.Context(), channel, appends(fmt.Sprint(i)))
			if errors.Is(err, sds.ErrOverloaded) {
				refused++
			}
		}
		if refused < 2 {
			t.Fatalf("%d refused", refused)
		}
		expect(t, o.collect(t), "sdsaws.operation.refused", map[string]float64{"": float64(refused)})
		if n := strings.Count(o.log.String(), "overloaded, operations are refused"); n != 1 {
			t.Errorf("told %d times in a second", n)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		_ = a.Close(ended) // what is stuck is broken off
		expect(t, o.collect(t), "sdsaws.pending.size", map[string]float64{"": 0})
	})
}

// TestTelemetryCountsRequests: units by purpose, and retries by reason, of real clients.
func TestTelemetryCountsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := observe(t)
		s := &stub{replies: []reply{canceled("None", "TransactionConflict"), canceled("ThrottlingError", "None"),
			dynamoError(500, "InternalServerError"), status(200, "{}")}}
		client := dynamoClient(s, "http://stub", sdsaws.RetryPolicy{OnRetry: o.OnRetry})
		log := dynamo.NewLog(client, "state", &dynamo.Options{OnUsage: o.OnUsage})
		head := store.Head{CommitID: store.CommitID{1}, Epoch: 1, Next: 1, Body: make([]byte, 3000)}
		message := store.Message{ID: "id", Body: []byte("body")}
		if err := log.Commit(t.Context(), key, store.CommitID{}, head, []store.Message{message}); err != nil {
			t.Fatal(err)
		}
		if _, err := log.Head(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		all := o.collect(t)
		read := "db.operation.name=GetItem db.system.name=aws.dynamodb sdsaws.purpose=loads"
		expect(t, all, "sdsaws.dynamodb.read_units", map[string]float64{read: 1})
		of := "db.operation.name=TransactWriteItems db.system.name=aws.dynamodb sdsaws.purpose=commits"
		expect(t, all, "sdsaws.dynamodb.requests", map[string]float64{of: 4, read: 1})
		expect(t, all, "sdsaws.dynamodb.write_units", map[string]float64{of: 4 * 2 * (3 + 1)})
		expect(t, all, "sdsaws.client.retries", map[string]float64{
			"sdsaws.reason=conflict sdsaws.service=dynamodb":  1,
			"sdsaws.reason=throttled sdsaws.service=dynamodb": 1,
			"sdsaws.reason=other sdsaws.service=dynamodb":     1,
		})
	})
}

// TestTelemetryTellsHowFarBehind adapters are: the oldest work, the hints, and history that waits for the archive.
func TestTelemetryTellsHowFarBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, o := newMemory(), observe(t)
		var adapters []*sdsaws.Adapter
		for i := range 2 {
			a := open(t, m, sdsaws.Options{Telemetry: o.Telemetry, ArchiveMessages: 100})
			adapters = append(adapters, a)
			ch := fmt.Sprint(i)
			if err := a.Commit(t.Context(), ch, meta(1), appends("one", "two", "three")); err != nil {
				t.Fatal(err)
			}
			if err := a.Commit(t.Context(), ch, meta(2), &sds.HistoryUpdate{Evict: []string{"one", "two"}}); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, o.collect(t), "sdsaws.archive.lag", map[string]float64{"": 4})
		m.setFault(func(op string) fault {
			if op == "hints" || op == "commit" {
				return refuse
			}
			return none
		})
		if err := adapters[0].SetRetrievalHint(t.Context(), "id", []byte("hint")); err != nil {
			t.Fatal(err)
		}
		if err := adapters[1].Commit(t.Context(), "1", meta(3), appends("four")); err == nil {
			t.Fatal("no error")
		}
		time.Sleep(90 * time.Second)
		all := o.collect(t)
		expect(t, all, "sdsaws.pending.age", map[string]float64{"": 90})
		expect(t, all, "sdsaws.pending.hints", map[string]float64{"": 1})
		if failed := values(all["sdsaws.hint.written"])["error.type=_OTHER"]; failed < 1 {
			t.Errorf("hints: %v", values(all["sdsaws.hint.written"]))
		}
		if !strings.Contains(o.log.String(), "hints not written, kept") {
			t.Error("no event tells that hints fail")
		}
		m.setFault(func(string) fault { return none })
		for _, a := range adapters {
			if err := a.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		all = o.collect(t)
		expect(t, all, "sdsaws.pending.age", map[string]float64{"": 0})
		expect(t, all, "sdsaws.archive.lag", map[string]float64{"": 0}) // nobody's
		if sum := values(all["sdsaws.hint.written"])[""]; sum != 1 {
			t.Errorf("%v hints written", sum)
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		if left := values(o.collect(t)["sdsaws.pending.age"]); len(left) > 0 {
			t.Errorf("after Close: %v", left)
		}
	})
}

// TestTelemetryIsDocumented: docs/operations.md has each metric with its unit, and none that isn't there.
func TestTelemetryIsDocumented(t *testing.T) {
	page, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(sdsaws\\.[a-z_.]+)` \\| [a-z ]+ \\| `([^`]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		documented[row[1]] = row[2]
	}
	source, err := os.ReadFile("instruments.go")
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]string{}
	for _, call := range regexp.MustCompile(`made\.(\w+)\("(sdsaws\.[a-z_.]+)", "([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		made[call[2]] = call[3]
		if call[1] == "seconds" || call[1] == "age" {
			made[call[2]] = "s"
		}
	}
	if len(made) < 20 || !maps.Equal(made, documented) {
		t.Errorf("made\n%v\ndocumented\n%v", made, documented)
	}
}
