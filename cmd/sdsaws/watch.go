package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

type watchFlags struct {
	stored
	interval time.Duration
	count    uint64
	json     bool
}

func watchCommand() *cobra.Command {
	var f watchFlags
	cmd := &cobra.Command{
		Use:   "watch --backend BACKEND --namespace NS",
		Short: "Show what is going on in a namespace, as top does",
		Long: `Look at all channels of a namespace again and again, and show what has changed, the busiest first. On
a terminal the screen is written anew each time; elsewhere there is a line for each channel and
look. It claims nothing.

It sees what another process can see: heads, and the messages that are new.
  MSG/S      messages that were written to the log, exactly
  UNITS/S    write units on DynamoDB for these and for the head, computed from their sizes. Of several
             commits between two looks only one head is seen, so it is a lower bound
  CLAIMS     how often the channel was claimed since the last look: more than now and then, and
             two processes fight over it
  AGE        how long ago the last commit was, by its writer's clock
  WAITING    messages that were evicted and wait to be archived; LAG is since when
What isn't stored it can't show: throttles and retries are in CloudWatch (ThrottledRequests,
WriteThrottleEvents of both tables), what a participant has accepted and not stored yet is in
Adapter.Pending of its process.

A look takes a query of the index, two to four read units a channel, and a unit for each 4 KB of
new messages. A store of the embedded backend has one process at a time, so watch sees nothing
change there.

With --json there is one object for each channel and look: time, channel, messages_per_second,
write_units_per_second, claims (these three not at the first look), epoch, history, waiting,
waiting_since, committed_at; or time, channel (null: of all) and error.

Exit status: 130 after Ctrl-C; with --count 0, or 1 when something could not be read.

` + storedHelp,
		Example: `  sdsaws watch --backend aws:state=sds-state,hints=sds-hints,bucket=sds-archive --namespace alice
  sdsaws watch --interval 10s --count 6 --json --backend aws:state=sds-state,hints=sds-hints,bucket=sds-archive --namespace alice`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return watch(cmd, f) },
	}
	f.addTo(cmd)
	flags := cmd.Flags()
	flags.DurationVar(&f.interval, "interval", 2*time.Second, "look so often")
	flags.Var(number{&f.count, 1}, "count", "look so many times (default: until Ctrl-C)")
	flags.BoolVar(&f.json, "json", false, "print one JSON object a channel and look")
	return cmd
}

func watch(cmd *cobra.Command, f watchFlags) (err error) {
	if f.interval <= 0 {
		return usageError(cmd, errors.New("--interval must be above 0"))
	}
	o, err := f.open(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	defer func() { err = errors.Join(err, o.close(ctx)) }()
	w := &watcher{o: o}
	s := f.screen(cmd)
	failed := 0
	for n := uint64(1); ; n++ {
		seen := w.look(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		failed += len(seen.errors)
		if err := s.show(seen); err != nil {
			return err
		}
		if n == f.count {
			break
		}
		select {
		case <-time.After(f.interval):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if failed > 0 {
		return fmt.Errorf("watch: %s", plural(failed, "read")+" failed")
	}
	return nil
}
