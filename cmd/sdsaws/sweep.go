package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws"
)

type sweepFlags struct {
	stored
	all, due, json bool
}

func sweepCommand() *cobra.Command {
	var f sweepFlags
	cmd := &cobra.Command{
		Use:   "sweep (CHANNEL… | --all) --backend BACKEND --namespace NS",
		Short: "Archive evicted history and remove garbage",
		Long: `Sweep channels, whoever holds them, without claiming them: archive what was evicted and
lies below the start of the log, go on with what others have begun and not finished
(archiving, drops), and remove what nothing refers to. It may run at any time, and any
number of times at once. Participants archive by themselves while they commit; this is for
channels that nobody works on, and for what was broken off.

For each channel it says how many messages were archived, into how many new segments of
how many bytes, how many segments that others had begun were resumed, and how many objects
were removed. With --json that is one object a line: channel, messages, segments, bytes,
resumed, removed, waiting (how many offsets of the log were evicted and aren't archived) and, when
the channel failed, error; the last line is the total: channels, failed, and the same sums.

An error on one channel doesn't stop the others.

Exit status: 0; 1 when a channel failed.

` + storedHelp,
		Example: `  sdsaws sweep --all --due --backend aws:state=sds-state,hints=sds-hints,bucket=sds-archive --namespace alice
  sdsaws sweep /group/1/chat --backend embedded:./store --namespace alice --json`,
		RunE: func(cmd *cobra.Command, args []string) error { return sweep(cmd, f, args) },
	}
	f.addTo(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "sweep all channels of the namespace")
	flags.BoolVar(&f.due, "due", false, "archive only where enough waits for a segment of its own: "+
		"1000 messages, 8 MiB, or any for 24 h")
	flags.BoolVar(&f.json, "json", false, "print one JSON object a channel, and the total")
	return cmd
}

func sweep(cmd *cobra.Command, f sweepFlags, args []string) (err error) {
	if f.all == (len(args) > 0) {
		return usageError(cmd, errors.New("give either CHANNEL… or --all"))
	}
	channels, err := parseChannels(args)
	if err != nil {
		return usageError(cmd, err)
	}
	o, err := f.open(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close(cmd.Context())) }()
	names := o.adapter.Channels(cmd.Context())
	if !f.all {
		names = each(channels)
	}
	r := newSweepReport(cmd, f.json, len(channels))
	for id, err := range names {
		if err != nil {
			r.fail(err)
			break
		}
		swept, err := o.sweep(cmd.Context(), id, f)
		if err := r.add(id, swept, err); err != nil {
			r.progress.end()
			return err
		}
		if cmd.Context().Err() != nil {
			break
		}
	}
	return r.end()
}

// each yields ids that are known.
func each(ids []string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, id := range ids {
			if !yield(id, nil) {
				return
			}
		}
	}
}

// sweep sweeps one channel; one that was named has to be there.
func (o *opened) sweep(ctx context.Context, id string, f sweepFlags) (sdsaws.Swept, error) {
	if !f.all {
		if err := o.mustHave(ctx, id); err != nil {
			return sdsaws.Swept{}, err
		}
	}
	return o.adapter.Sweep(ctx, id, &sdsaws.SweepOptions{OnlyDue: f.due})
}

// sweptLine is what a sweep says in a line of JSON.
type sweptLine struct {
	Messages int   `json:"messages"`
	Segments int   `json:"segments"`
	Bytes    int64 `json:"bytes"`
	Resumed  int   `json:"resumed"`
	Removed  int   `json:"removed"`

	Waiting uint64 `json:"waiting"`
}

type sweptChannel struct {
	Channel string `json:"channel"`
	sweptLine
	Error string `json:"error,omitempty"`
}

type sweptTotal struct {
	Channels int `json:"channels"`
	Failed   int `json:"failed"`
	sweptLine
}

// sweepReport shows what was swept.
type sweepReport struct {
	ctx      context.Context
	lines    *json.Encoder // or nil
	table    *columns      // else
	progress *channelProgress
	total    sdsaws.Swept
	channels int
	failed   int
	broken   bool // not all channels are known
}

func newSweepReport(cmd *cobra.Command, asJSON bool, channels int) *sweepReport {
	r := &sweepReport{ctx: cmd.Context(), progress: newChannelProgress(cmd.ErrOrStderr(), "sweep", asJSON, channels)}
	if asJSON {
		r.lines = json.NewEncoder(cmd.OutOrStdout())
		return r
	}
	r.table = &columns{w: cmd.OutOrStdout(), header: []string{
		"CHANNEL", "MESSAGES", "SEGMENTS", "BYTES", "RESUMED", "REMOVED"}}
	return r
}

// fail reports that the channels can't be listed.
func (r *sweepReport) fail(err error) {
	r.broken = true
	r.report(err)
}

// report tells of an error as it comes. That of an interrupt is for whoever asked for it.
func (r *sweepReport) report(err error) {
	if r.ctx.Err() == nil {
		tell(r.progress.errors, err)
	}
}

func (r *sweepReport) add(id string, s sdsaws.Swept, err error) error {
	r.channels++
	r.total.Add(s)
	mark := ""
	if err != nil {
		r.failed++
		mark = "failed"
		r.report(err)
	}
	r.progress.step()
	if r.lines == nil {
		return r.row(quoteID(id), s, mark)
	}
	line := sweptChannel{Channel: escapeID(id), sweptLine: sweptLine(s)}
	if err != nil {
		line.Error = err.Error()
	}
	return r.lines.Encode(line)
}

func (r *sweepReport) row(name string, s sdsaws.Swept, mark string) error {
	cells := []string{name, fmt.Sprint(s.Messages), fmt.Sprint(s.Segments), fmt.Sprint(s.Bytes),
		fmt.Sprint(s.Resumed), fmt.Sprint(s.Removed)}
	if mark != "" {
		cells = append(cells, mark)
	}
	return r.table.row(cells...)
}

// end shows the total, and returns what is wrong with it.
func (r *sweepReport) end() error {
	r.progress.end()
	if r.broken && r.channels == 0 && r.ctx.Err() == nil {
		return errors.New("sweep: the channels can't be listed")
	}
	var err error
	if r.lines != nil {
		err = r.lines.Encode(sweptTotal{r.channels, r.failed, sweptLine(r.total)})
	} else if err = r.row(fmt.Sprintf("total of %d", r.channels), r.total, ""); err == nil {
		err = r.table.flush()
	}
	switch {
	case err != nil:
		return err
	case r.ctx.Err() != nil:
		return r.ctx.Err()
	case r.broken:
		return fmt.Errorf("sweep: %d channels failed, and there may be more channels", r.failed)
	case r.failed > 0:
		return fmt.Errorf("sweep: %d of %d channels failed", r.failed, r.channels)
	}
	return nil
}
