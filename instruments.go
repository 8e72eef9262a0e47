package sdsaws

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Attributes. Those without a prefix of ours are OpenTelemetry's.
// https://opentelemetry.io/docs/specs/semconv/registry/attributes/
const (
	keyError     attribute.Key = "error.type"
	keySystem    attribute.Key = "db.system.name"
	keyOperation attribute.Key = "db.operation.name"
	keyPurpose   attribute.Key = "sdsaws.purpose"
	keyService   attribute.Key = "sdsaws.service"
	keyReason    attribute.Key = "sdsaws.reason"
	keyChannel   attribute.Key = "sdsaws.channel.hash"
	keyMessages  attribute.Key = "sdsaws.messages"
	keyHead      attribute.Key = "sdsaws.head.size"
)

// instruments are what is measured.
type instruments struct {
	commitDuration, commitWait      metric.Float64Histogram
	commitOperations                metric.Int64Histogram
	commitMessages                  metric.Int64Histogram
	encodedPlain, encodedPacked     metric.Int64Counter
	loadDuration, archiveDuration   metric.Float64Histogram
	archivedMessages, archivedBytes metric.Int64Counter
	channelsLost, operationsRefused metric.Int64Counter
	requests, writeUnits, readUnits metric.Int64Counter
	retries, hints                  metric.Int64Counter

	gauges metric.Registration

	pendingBytes, pendingChannels, pendingHints, archiveLag metric.Int64ObservableGauge
	pendingAge                                              metric.Float64ObservableGauge
}

// Bounds of buckets.
var (
	seconds = metric.WithExplicitBucketBoundaries(.002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60)
	counts  = metric.WithExplicitBucketBoundaries(0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
)

func (i *instruments) init(m metric.Meter, observe metric.Callback) error {
	made := maker{m: m}
	i.commitDuration = made.seconds("sdsaws.commit.duration", "Time of a commit's request, its retries included.")
	i.commitWait = made.seconds("sdsaws.commit.wait.duration", "Time from when the oldest operation of a commit was accepted until it was stored.")
	i.commitOperations = made.counts("sdsaws.commit.operations", "{operation}", "Updates in a commit.")
	i.commitMessages = made.counts("sdsaws.commit.messages", "{message}", "Messages that a commit writes.")
	i.encodedPlain = made.counter("sdsaws.encoding.input.size", "By", "Bytes of messages and skeletons before they are packed.")
	i.encodedPacked = made.counter("sdsaws.encoding.output.size", "By", "The same bytes packed.")
	i.loadDuration = made.seconds("sdsaws.load.duration", "Time of a load, its claim included.")
	i.archiveDuration = made.seconds("sdsaws.archive.duration", "Time of archiving what was due of a channel.")
	i.archivedMessages = made.counter("sdsaws.archive.messages", "{message}", "Messages moved from the log into segments.")
	i.archivedBytes = made.counter("sdsaws.archive.size", "By", "Bytes of these segments.")
	i.channelsLost = made.counter("sdsaws.channel.lost", "{channel}", "Channels that another holder or region was found to have taken.")
	i.operationsRefused = made.counter("sdsaws.operation.refused", "{operation}", "Operations refused because too much waits to be stored.")
	i.requests = made.counter("sdsaws.dynamodb.requests", "{request}", "Requests to DynamoDB, each attempt counted.")
	i.writeUnits = made.counter("sdsaws.dynamodb.write_units", "{unit}", "Write request units, by AWS's formulas.")
	i.readUnits = made.counter("sdsaws.dynamodb.read_units", "{unit}", "Read request units, by AWS's formulas.")
	i.retries = made.counter("sdsaws.client.retries", "{retry}", "Attempts that failed and were made again.")
	i.hints = made.counter("sdsaws.hint.written", "{hint}", "Retrieval hints written; those with an error type failed, and wait on.")
	i.pendingBytes = made.gauge("sdsaws.pending.size", "By", "Accepted work that is not known to be stored, in memory.")
	i.pendingChannels = made.gauge("sdsaws.pending.channels", "{channel}", "Channels that have such work.")
	i.pendingHints = made.gauge("sdsaws.pending.hints", "{hint}", "Retrieval hints among it.")
	i.archiveLag = made.gauge("sdsaws.archive.lag", "{offset}", "Offsets of logs that wait to be archived.")
	i.pendingAge = made.age("sdsaws.pending.age", "For how long the oldest of such work has waited.")
	if made.err == nil {
		var err error
		i.gauges, err = m.RegisterCallback(observe, i.pendingBytes, i.pendingChannels, i.pendingHints, i.archiveLag, i.pendingAge)
		made.keep(err)
	}
	return made.err
}

// maker makes instruments, and keeps what was refused.
type maker struct {
	m   metric.Meter
	err error
}

func (k *maker) keep(err error) { k.err = errors.Join(k.err, err) }

func (k *maker) seconds(name, description string) metric.Float64Histogram {
	h, err := k.m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), seconds)
	k.keep(err)
	return h
}

func (k *maker) counts(name, unit, description string) metric.Int64Histogram {
	h, err := k.m.Int64Histogram(name, metric.WithUnit(unit), metric.WithDescription(description), counts)
	k.keep(err)
	return h
}

func (k *maker) counter(name, unit, description string) metric.Int64Counter {
	c, err := k.m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	k.keep(err)
	return c
}

func (k *maker) gauge(name, unit, description string) metric.Int64ObservableGauge {
	g, err := k.m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
	k.keep(err)
	return g
}

func (k *maker) age(name, description string) metric.Float64ObservableGauge {
	g, err := k.m.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(description))
	k.keep(err)
	return g
}

// add adds what there is.
func add(ctx context.Context, c metric.Int64Counter, n int, o metric.AddOption) {
	if n != 0 {
		c.Add(ctx, int64(n), o)
	}
}
