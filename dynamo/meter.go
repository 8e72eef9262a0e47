package dynamo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/sdsaws/sdsaws/internal/mute"
)

// Purpose says what a request was sent for.
type Purpose string

// The purposes that this package counts apart.
const (
	Commits   Purpose = "commits"   // heads and messages
	Claims    Purpose = "claims"    // taking a channel over
	Deletes   Purpose = "deletes"   // messages and manifests that nothing needs
	Manifests Purpose = "manifests" // of archived segments
	HintOps   Purpose = "hints"     // retrieval hints
	Loads     Purpose = "loads"     // all reads of a channel
	Sweeps    Purpose = "sweeps"    // which namespaces there are, and how far sweepers have come
)

// Usage is what was used, in capacity units by the formulas that AWS documents, not as a
// server reports them: emulators report those of transactions wrongly.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/capacity-mode.html
type Usage struct {
	Operation  string // TransactWriteItems, Query, …
	Purpose    Purpose
	Requests   int // 1 for each attempt that is sent, retries included
	WriteUnits int // of the attempt, whether it succeeds or not: a failed condition costs too
	ReadUnits  int // reported when a read has succeeded, apart from its attempts

	// A claim's write units are reported when it is answered, apart from its attempts: they
	// go by the size of an item that is only there.
}

// Options change what a Log or Hints does. Nil and the zero value are the defaults.
type Options struct {
	// OnUsage is told what requests use. It is called by many goroutines and must not block.
	OnUsage func(Usage)

	// Now replaces the machine's clock where hints expire, for tests.
	Now func() time.Time
}

type meter struct {
	table string
	on    func(Usage)
}

func newMeter(table string, o *Options) meter {
	if o == nil {
		return meter{table: table}
	}
	return meter{table, o.OnUsage}
}

// each returns a call option that reports every attempt of the call, and names the table
// when it isn't there. Errors hold nothing of items.
func (m meter) each(operation string, p Purpose, writeUnits int) func(*dynamodb.Options) {
	return func(o *dynamodb.Options) {
		o.APIOptions = append(o.APIOptions, m.nameMissing, mute.Errors)
		if m.on == nil {
			return
		}
		report := middleware.FinalizeMiddlewareFunc("sdsaws:usage", func(
			ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
		) (middleware.FinalizeOutput, middleware.Metadata, error) {
			m.on(Usage{Operation: operation, Purpose: p, Requests: 1, WriteUnits: writeUnits})
			return next.HandleFinalize(ctx, in)
		})
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Finalize.Insert(report, "Retry", middleware.After)
		})
	}
}

// units returns what a transaction takes, when somebody wants to know.
func (m meter) units(actions []types.TransactWriteItem) int {
	if m.on == nil {
		return 0
	}
	return transactionUnits(actions)
}

func (m meter) nameMissing(s *middleware.Stack) error {
	return s.Initialize.Add(middleware.InitializeMiddlewareFunc("sdsaws:missing", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		out, meta, err := next.HandleInitialize(ctx, in)
		if err == nil {
			return out, meta, nil
		}
		if missing := (*types.ResourceNotFoundException)(nil); errors.As(err, &missing) {
			err = fmt.Errorf("there is no table %q: create it, or look at region and account: %w", m.table, err)
		}
		return out, meta, err
	}), middleware.Before)
}

// wrote reports the units of a write that were not known when it was sent.
func (m meter) wrote(operation string, p Purpose, units int) {
	if m.on != nil && units > 0 {
		m.on(Usage{Operation: operation, Purpose: p, WriteUnits: units})
	}
}

// read reports what a read that has succeeded used.
func (m meter) read(operation string, p Purpose, bytes int) {
	m.readUnits(operation, p, readUnits(bytes))
}

func (m meter) readUnits(operation string, p Purpose, units int) {
	if m.on != nil {
		m.on(Usage{Operation: operation, Purpose: p, ReadUnits: units})
	}
}
