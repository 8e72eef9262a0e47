// Command lambda is an example of a participant in a Lambda: it takes messages from an SQS queue,
// keeps its channels with sdsaws, and answers for those that are stored. It survives that it is
// frozen, that another instance takes its channels over, and that its time runs out.
//
// chat.go stands for the protocol: an implementation of SDS goes there. All else can stay.
// docs/lambda.md says why it is as it is, and how to set the function up.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/sdsaws/sdsaws"
)

const (
	warmTime = 2 * time.Second // init has 10 s

	// endTime is for what is left to store when Lambda ends the instance: it kills it 500 ms
	// after SIGTERM.
	endTime = 400 * time.Millisecond
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	p, err := open(context.Background(), os.Getenv, log)
	if err != nil {
		fmt.Fprintln(os.Stderr, err) // Lambda reports that the process has ended
		os.Exit(1)
	}
	// Still in init, where no caller waits. The invocations work without it.
	ctx, stop := context.WithTimeout(context.Background(), warmTime)
	if err := p.adapter.Warm(ctx); err != nil {
		log.Warn("connections aren't warm", "error", err.Error())
	}
	stop()
	// Registers an extension, without which Lambda sends no SIGTERM.
	lambda.StartWithOptions(p.handle, lambda.WithEnableSIGTERM(func() { os.Exit(p.end()) }))
}

// open reads the environment. It makes no request.
func open(ctx context.Context, getenv func(string) string, log *slog.Logger) (*participant, error) {
	var errs []error
	required := func(name string) string {
		value := getenv(name)
		if value == "" {
			errs = append(errs, fmt.Errorf("%s is not set", name))
		}
		return value
	}
	p, options, err := newParticipant(log)
	if err != nil {
		return nil, err
	}
	resources := sdsaws.Resources{
		State:  required("SDSAWS_STATE_TABLE"),
		Hints:  required("SDSAWS_HINTS_TABLE"),
		Bucket: required("SDSAWS_BUCKET"),
		Prefix: getenv("SDSAWS_PREFIX"),
	}
	options.Namespace = required("SDSAWS_NAMESPACE")
	options.Region = getenv("SDSAWS_REGION") // where the tables have replicas
	if region := getenv("AWS_REGION"); options.Region != "" && options.Region != region {
		errs = append(errs, fmt.Errorf("SDSAWS_REGION is %q, but the function runs in AWS_REGION %q: "+
			"set it to that, or, where the tables have no replicas, don't set it", options.Region, region))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("lambda: %w", err)
	}
	if p.rejected, err = openRejected(ctx, getenv("SDSAWS_REJECTED_QUEUE_URL")); err != nil {
		return nil, err
	}
	p.adapter, err = sdsaws.Open(ctx, resources, options)
	return p, err
}

// newParticipant returns a participant that has no adapter yet, and the options of its adapter.
func newParticipant(log *slog.Logger) (*participant, *sdsaws.Options, error) {
	// Each channel that is lost is in the log, also where the second try works.
	telemetry, err := sdsaws.NewTelemetry(sdsaws.TelemetryOptions{Logger: log})
	if err != nil {
		return nil, nil, fmt.Errorf("lambda: %w", err)
	}
	p := &participant{log: log, chats: map[string]*chat{}}
	return p, &sdsaws.Options{
		Writer:     "lambda",
		Durability: sdsaws.Accepted, // a batch becomes one commit a channel, by Flush
		OnFenced:   p.forget,
		OnArchiveLag: func(_ string, behind uint64, err error) {
			log.Warn("archiving is behind", "messages", behind, "error", err.Error())
		},
		Telemetry: telemetry,
	}, nil
}

// end stores what was accepted and not flushed, because an invocation's time had run out, and
// returns the exit status.
func (p *participant) end() int {
	ctx, stop := context.WithTimeout(context.Background(), endTime)
	defer stop()
	if err := p.adapter.Close(ctx); err != nil {
		p.log.Error("not all is stored: the queue delivers it again", "error", err.Error())
		return 1
	}
	return 0
}
