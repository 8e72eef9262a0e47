package sdsaws

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// TelemetryOptions say where a [Telemetry] tells what it sees. What is nil is told nothing.
type TelemetryOptions struct {
	Meter  metric.MeterProvider // metrics
	Tracer trace.TracerProvider // spans
	Logger *slog.Logger         // events
}

// Telemetry tells OpenTelemetry, and a log, what adapters and their clients do. All names, units and
// attributes are in docs/operations.md, with what to alarm on. A nil one tells nothing and costs
// nothing. It is safe for concurrent use, and one does for any number of adapters: two on one meter
// provider would overwrite each other's gauges.
//
// The logger's handler and the tracer's processors are called by whoever works on a channel, and must not
// call the adapter but for Pending: its operations wait for that channel.
//
// Nothing that participants choose is told: no id, content or hint. A channel is told as
// [ChannelHash] says. An error is told as a class: the sentinel of package sds, or AWS's code.
//
// [Open] connects it with the clients that it makes. Who makes clients connects it so:
//
//	client := dynamodb.NewFromConfig(cfg, sdsaws.RetryPolicy{OnRetry: t.OnRetry}.DynamoDB)
//	log := dynamo.NewLog(client, table, &dynamo.Options{OnUsage: t.OnUsage})
//
// Spans for each request, and their latencies, are the SDK's to tell: see MeterProvider and TracerProvider
// in the options of its clients.
type Telemetry struct {
	instruments
	tracer trace.Tracer
	logger *slog.Logger

	mu       sync.Mutex // protects adapters
	adapters map[*Adapter]struct{}
}

const scope = "github.com/sdsaws/sdsaws"

// NewTelemetry returns one that tells o's parts. It keeps each adapter that is given it until that is
// closed, and starts nothing; see Close. The error is a meter's that refuses an instrument.
func NewTelemetry(o TelemetryOptions) (*Telemetry, error) {
	if o.Meter == nil {
		o.Meter = metricnoop.NewMeterProvider()
	}
	if o.Tracer == nil {
		o.Tracer = tracenoop.NewTracerProvider()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Telemetry{tracer: o.Tracer.Tracer(scope), logger: o.Logger, adapters: map[*Adapter]struct{}{}}
	if err := t.init(o.Meter.Meter(scope), t.observe); err != nil {
		return nil, fmt.Errorf("sdsaws: telemetry: %w", err)
	}
	return t, nil
}

// Close ends the gauges: another Telemetry can have the meter provider then. It is for programs that make more than
// one, and flushes nothing: that is the providers' to do.
func (t *Telemetry) Close() error {
	if t == nil {
		return nil
	}
	if err := t.gauges.Unregister(); err != nil {
		return fmt.Errorf("sdsaws: telemetry: %w", err)
	}
	return nil
}

// ChannelHash is how a channel is named in logs and spans: the first eight bytes of the SHA-256 of its
// id, in hex. The id itself is whatever a participant chose.
func ChannelHash(channelID string) string {
	sum := sha256.Sum256([]byte(channelID))
	return hex.EncodeToString(sum[:8])
}

// OnUsage counts what a request of package dynamo used.
func (t *Telemetry) OnUsage(u dynamo.Usage) {
	if t == nil {
		return
	}
	ctx := context.Background()
	of := metric.WithAttributes(keySystem.String("aws.dynamodb"), keyOperation.String(u.Operation), keyPurpose.String(string(u.Purpose)))
	add(ctx, t.requests, u.Requests, of)
	add(ctx, t.writeUnits, u.WriteUnits, of)
	add(ctx, t.readUnits, u.ReadUnits, of)
}

// OnRetry counts an attempt of a request that failed and is made again.
func (t *Telemetry) OnRetry(r Retry) {
	if t == nil {
		return
	}
	t.retries.Add(context.Background(), 1, metric.WithAttributes(keyService.String(r.Service), keyReason.String(string(r.Reason))))
}

// join adds an adapter to those that are observed, and leave takes it out.
func (t *Telemetry) join(a *Adapter) {
	if t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.adapters[a] = struct{}{}
	}
}

func (t *Telemetry) leave(a *Adapter) {
	if t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.adapters, a)
	}
}

// observe tells how far the adapters are behind, all together.
func (t *Telemetry) observe(_ context.Context, o metric.Observer) error {
	t.mu.Lock()
	adapters := make([]*Adapter, 0, len(t.adapters))
	for a := range t.adapters {
		adapters = append(adapters, a)
	}
	t.mu.Unlock()
	var sum Pending
	var unarchived uint64
	for _, a := range adapters {
		p := a.Pending()
		sum.Bytes += p.Bytes
		sum.Channels += p.Channels
		sum.Hints += p.Hints
		sum.Oldest = max(sum.Oldest, p.Oldest)
		unarchived += a.unarchived()
	}
	o.ObserveInt64(t.pendingBytes, sum.Bytes)
	o.ObserveInt64(t.pendingChannels, int64(sum.Channels))
	o.ObserveInt64(t.pendingHints, int64(sum.Hints))
	o.ObserveFloat64(t.pendingAge, sum.Oldest.Seconds())
	o.ObserveInt64(t.archiveLag, int64(unarchived)) //nolint:gosec // offsets that are there
	return nil
}

// unarchived returns how many offsets wait to be archived, as far as commits have noted.
func (a *Adapter) unarchived() (n uint64) {
	for _, ch := range a.known() {
		ch.mu.Lock()
		n += ch.backlog.waiting
		ch.mu.Unlock()
	}
	return n
}

// span begins a span about a channel.
func (t *Telemetry) span(ctx context.Context, name, channelID string) (context.Context, trace.Span) {
	return t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindInternal),
		trace.WithAttributes(keyChannel.String(ChannelHash(channelID))))
}

// end ends a span with the class of an error.
func end(s trace.Span, err error) {
	if err != nil {
		class := errorClass(err)
		s.SetStatus(codes.Error, class)
		s.SetAttributes(keyError.String(class))
	}
	s.End()
}

// committing tells of a commit that is sent; what it returns is told how it ended.
func (t *Telemetry) committing(ctx context.Context, ch *channel, at *attempt) (context.Context, func(error)) {
	if t == nil {
		return ctx, func(error) {}
	}
	began := time.Now()
	sent, s := t.span(ctx, "sdsaws.commit", ch.id)
	s.SetAttributes(keyMessages.Int(len(at.messages)), keyHead.Int(len(at.head.Body)))
	return sent, func(err error) {
		end(s, err)
		t.commitDuration.Record(ctx, time.Since(began).Seconds(), failure(err))
	}
}

// stored tells of a commit that landed: what it held, and for how long that had waited.
func (t *Telemetry) stored(ctx context.Context, at *attempt, now time.Time) {
	if t == nil {
		return
	}
	t.commitMessages.Record(ctx, int64(len(at.draft.messages)))
	if at.batch != nil {
		t.commitOperations.Record(ctx, int64(max(1, len(at.batch.updates))))
		t.commitWait.Record(ctx, now.Sub(at.batch.since).Seconds())
	}
	t.encodedPlain.Add(ctx, at.draft.plain)
	t.encodedPacked.Add(ctx, at.draft.packed)
}

// loading tells of a load; what it returns is told how it ended.
func (t *Telemetry) loading(ctx context.Context, id string) (context.Context, func(sds.EncodedChannelData, error)) {
	if t == nil {
		return ctx, func(sds.EncodedChannelData, error) {}
	}
	began := time.Now()
	read, s := t.span(ctx, "sdsaws.load", id)
	return read, func(d sds.EncodedChannelData, err error) {
		s.SetAttributes(keyMessages.Int(len(d.Messages)))
		end(s, err)
		t.loadDuration.Record(ctx, time.Since(began).Seconds(), failure(err))
		if err != nil {
			t.warn(ctx, "channel not loaded", id, err)
			return
		}
		t.logger.LogAttrs(ctx, slog.LevelInfo, "channel loaded", slog.String("channel", ChannelHash(id)),
			slog.Int("messages", len(d.Messages)), slog.Int("snapshot_bytes", len(d.Meta)))
	}
}

// archiving tells of history that is archived; what it returns is told how that ended.
func (t *Telemetry) archiving(ctx context.Context, id string) (context.Context, func(Swept, error)) {
	if t == nil {
		return ctx, func(Swept, error) {}
	}
	began := time.Now()
	moved, s := t.span(ctx, "sdsaws.archive", id)
	return moved, func(done Swept, err error) {
		s.SetAttributes(keyMessages.Int(done.Messages))
		end(s, err)
		if err == nil && done.Segments == 0 && done.Resumed == 0 {
			return // there was nothing to do
		}
		t.archiveDuration.Record(ctx, time.Since(began).Seconds(), failure(err))
		t.archivedMessages.Add(ctx, int64(done.Messages))
		t.archivedBytes.Add(ctx, done.Bytes)
		if err != nil {
			t.warn(ctx, "history not archived", id, err)
			return
		}
		t.logger.LogAttrs(ctx, slog.LevelInfo, "history archived", slog.String("channel", ChannelHash(id)),
			slog.Int("messages", done.Messages), slog.Int("segments", done.Segments), slog.Int64("bytes", done.Bytes))
	}
}

// lost tells that a channel was found to be somebody else's.
func (t *Telemetry) lost(ctx context.Context, id string, why error) {
	if t == nil {
		return
	}
	t.channelsLost.Add(ctx, 1, failure(why))
	t.warn(ctx, "channel lost", id, why)
}

// kept tells that a commit failed, and will be tried again.
func (t *Telemetry) kept(ctx context.Context, id string, behind time.Duration, err error) {
	if t != nil {
		t.warn(ctx, "commit failed, kept", id, err, slog.Duration("behind", behind))
	}
}

// hintsWritten counts hints that were written, or tells why they were not, and wait on.
func (t *Telemetry) hintsWritten(ctx context.Context, n int, err error) {
	if t == nil {
		return
	}
	t.hints.Add(ctx, int64(n), failure(err))
	if err != nil {
		t.logger.LogAttrs(ctx, slog.LevelWarn, "hints not written, kept", slog.Int("hints", n), slog.String("error_type", errorClass(err)))
	}
}

// refused counts an operation that wasn't accepted, for too much waits.
func (t *Telemetry) refused(ctx context.Context) {
	if t != nil {
		t.operationsRefused.Add(ctx, 1)
	}
}

// overloaded tells how far behind an adapter is that refuses operations.
func (t *Telemetry) overloaded(ctx context.Context, p Pending, limit int64) {
	if t != nil {
		t.logger.LogAttrs(ctx, slog.LevelWarn, "overloaded, operations are refused", slog.Int64("pending_bytes", p.Bytes),
			slog.Int64("limit_bytes", limit), slog.Int("channels", p.Channels), slog.Duration("behind", p.Oldest))
	}
}

// dropped tells that a channel was dropped, or why not.
func (t *Telemetry) dropped(ctx context.Context, id string, err error) {
	switch {
	case t == nil:
	case err != nil:
		t.warn(ctx, "channel not dropped", id, err)
	default:
		t.logger.LogAttrs(ctx, slog.LevelInfo, "channel dropped", slog.String("channel", ChannelHash(id)))
	}
}

func (t *Telemetry) warn(ctx context.Context, event, id string, err error, more ...slog.Attr) {
	all := append([]slog.Attr{slog.String("channel", ChannelHash(id)), slog.String("error_type", errorClass(err))}, more...)
	t.logger.LogAttrs(ctx, slog.LevelWarn, event, all...)
}

// failure is the attribute of a measurement of what has failed; of nil none.
func failure(err error) metric.MeasurementOption {
	if err == nil {
		return metric.WithAttributeSet(attribute.Set{})
	}
	return metric.WithAttributes(keyError.String(errorClass(err)))
}

// classes are the errors of the contract by the names that telemetry has for them.
var classes = []struct {
	err  error
	name string
}{
	{sds.ErrFenced, "fenced"},
	{sds.ErrForked, "forked"},
	{sds.ErrElsewhere, "elsewhere"},
	{store.ErrConflict, "conflict"},
	{sds.ErrIncomplete, "incomplete"},
	{sds.ErrCorrupt, "corrupt"},
	{sds.ErrUnsupportedFormat, "unsupported_format"},
	{sds.ErrSchemaVersion, "schema_version"},
	{sds.ErrTooLarge, "too_large"},
	{sds.ErrOverloaded, "overloaded"},
	{sds.ErrInvalidArgument, "invalid_argument"},
	{sds.ErrClosed, "closed"},
	{errNoPlace, "no_place"},
}

// errorClass returns what stands for an error: it has nothing of what the error is about.
func errorClass(err error) string {
	for _, c := range classes {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	if code := errorCode(err); code != "" {
		return code
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, sds.ErrUnknownOutcome):
		return "unknown_outcome"
	default:
		return "_OTHER" // as the semantic conventions call it
	}
}
