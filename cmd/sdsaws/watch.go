package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
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
write_units_per_second, claims (all null at the first look), epoch, history, waiting,
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

// screen shows a look.
type screen interface{ show(look) error }

func (f *watchFlags) screen(cmd *cobra.Command) screen {
	out := cmd.OutOrStdout()
	switch {
	case f.json:
		return jsonScreen{json.NewEncoder(out)}
	case isTerminal(out):
		return &fullScreen{out, out.(*os.File), f}
	}
	return &lineScreen{&columns{w: out, header: append([]string{"TIME"}, watchHeader...)}, cmd.ErrOrStderr()}
}

var watchHeader = []string{"CHANNEL", "MSG/S", "UNITS/S", "CLAIMS", "HISTORY", "WAITING", "AGE", "LAG"}

func (c *watched) cells(now time.Time) []string {
	rates := []string{"-", "-", "-"}
	if c.change != nil {
		rates = []string{fmt.Sprintf("%.1f", c.change.Messages), fmt.Sprintf("%.1f", c.change.WriteUnits), fmt.Sprint(c.change.Claims)}
	}
	s := c.status
	return append(append([]string{quoteID(c.id)}, rates...), fmt.Sprint(s.History), fmt.Sprint(s.Evicted),
		showAge(s.Committed, now), showAge(s.EvictedSince, now))
}

// lineScreen writes a line for each channel and look.
type lineScreen struct {
	*columns
	errors io.Writer
}

func (s *lineScreen) show(l look) error {
	for _, c := range l.channels {
		if err := s.row(append([]string{showTime(l.at)}, c.cells(l.at)...)...); err != nil {
			return err
		}
	}
	if err := s.flush(); err != nil {
		return err
	}
	for _, e := range l.errors {
		tell(s.errors, e.err)
	}
	return nil
}

// fullScreen writes the whole of a terminal at each look.
type fullScreen struct {
	w        io.Writer
	terminal *os.File
	f        *watchFlags
}

func (s *fullScreen) show(l look) error {
	height := 24
	if _, h, err := term.GetSize(int(s.terminal.Fd())); err == nil { //nolint:gosec // a file descriptor
		height = h
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\x1b[H\x1b[2Jnamespace %s: %s, every %v, at %s\n\n", quoteID(string(s.f.namespace)),
		plural(len(l.channels), "channel"), s.f.interval, l.at.Format(time.TimeOnly))
	t := &columns{w: &b, header: watchHeader}
	shown := min(len(l.channels), max(1, height-7-len(l.errors)))
	for _, c := range l.channels[:shown] {
		if err := t.row(c.cells(l.at)...); err != nil {
			return err
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	if more := len(l.channels) - shown; more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	b.WriteString("\nUNITS/S are at least so many. Throttles are in CloudWatch. Ctrl-C ends it.\n")
	for _, e := range l.errors {
		tell(&b, e.err)
	}
	_, err := io.WriteString(s.w, b.String())
	return err
}

type jsonScreen struct{ *json.Encoder }

type watchedLine struct {
	Time    string `json:"time"`
	Channel string `json:"channel"`
	*changed
	Epoch        uint64  `json:"epoch"`
	History      int     `json:"history"`
	Waiting      int     `json:"waiting"`
	WaitingSince *string `json:"waiting_since"`
	CommittedAt  *string `json:"committed_at"`
}

type watchedError struct {
	Time    string  `json:"time"`
	Channel *string `json:"channel"`
	Error   string  `json:"error"`
}

func (s jsonScreen) show(l look) error {
	for _, c := range l.channels {
		line := watchedLine{showTime(l.at), escapeID(c.id), c.change, c.status.Epoch, c.status.History, c.status.Evicted,
			jsonTime(c.status.EvictedSince), jsonTime(c.status.Committed)}
		if err := s.Encode(line); err != nil {
			return err
		}
	}
	for _, e := range l.errors {
		line := watchedError{Time: showTime(l.at), Error: e.err.Error()}
		if e.id != "" {
			id := escapeID(e.id)
			line.Channel = &id
		}
		if err := s.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

// busiest orders channels as they are shown.
func busiest(a, b *watched) int {
	units := func(c *watched) float64 {
		if c.change == nil {
			return 0
		}
		return c.change.WriteUnits
	}
	return cmp.Or(cmp.Compare(units(b), units(a)), cmp.Compare(b.status.Evicted, a.status.Evicted), cmp.Compare(a.id, b.id))
}

// look looks at all channels, several at once.
func (w *watcher) look(ctx context.Context) look {
	l := look{at: time.Now()}
	ids, err := w.ids(ctx)
	if err != nil {
		l.errors = append(l.errors, lookError{"", err})
	}
	results := make([]*watched, len(ids))
	errs := make([]error, len(ids))
	w.each(len(ids), func(i int) { results[i], errs[i] = w.channel(ctx, ids[i], l.at) })
	before := map[string]seen{}
	for i, c := range results {
		if errs[i] != nil {
			l.errors = append(l.errors, lookError{ids[i], errs[i]})
			if old, ok := w.before[ids[i]]; ok {
				before[ids[i]] = old
			}
			continue
		}
		before[ids[i]] = seen{l.at, c.status}
		l.channels = append(l.channels, c)
	}
	w.before = before
	slices.SortFunc(l.channels, busiest)
	return l
}
