package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/internal/recorded"
	"github.com/sdsaws/sdsaws/internal/replay"
	"github.com/sdsaws/sdsaws/internal/trace"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// What AWS asks for on-demand capacity in us-east-1, in dollars a million units, as
// listed in November 2026. https://aws.amazon.com/dynamodb/pricing/on-demand/
const (
	dollarsPerMillionWrites = 0.625
	dollarsPerMillionReads  = 0.125
)

func demoCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play a recorded conversation on this machine and show what is kept",
		Long: `Play a bundled recording of three participants who chat over a lossy network, on the
embedded backend: no cloud, no Docker. Participants crash and are loaded again on the way,
and each load is held against what was recorded. Then show what was kept.`,
		Example: "  sdsaws demo\n  sdsaws demo --dir ./demo-store",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo(cmd.Context(), cmd.OutOrStdout(), dir)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "keep the store in this directory, which must be new or empty "+
		"(default: a temporary one)")
	return cmd
}

// kept is what the demo knows of a channel at the end.
type kept struct {
	participant, channel string
	key                  store.Key
	snapshot, messages   int
	evicted              int
}

// demonstration is a demo under way.
type demonstration struct {
	out      io.Writer
	usage    *tally
	channels []*kept
	played   int
	shown    bool // a crash
}

func demo(ctx context.Context, out io.Writer, dir string) (err error) {
	temporary := dir == ""
	if temporary {
		if dir, err = os.MkdirTemp("", "sdsaws-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	} else if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("demo: directory %q is not empty: choose another --dir", dir)
	}
	s, err := embedded.Open(dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	d := &demonstration{out: out, usage: newTally()}
	result, err := d.play(ctx, s)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	stored, err := d.summary(ctx, s, result)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d.next(dir, temporary, stored)
	if result.Loads == 0 || result.LoadsMatched != result.Loads {
		return fmt.Errorf("demo: %d of %d loads gave back something else", result.Loads-result.LoadsMatched, result.Loads)
	}
	return nil
}

// sized is the embedded store behind an estimate of what DynamoDB would have been asked.
type sized struct {
	dynamo.Backend
	store *embedded.Store
}

func (s sized) Size(ctx context.Context, key store.Key) (int64, error) { return s.store.Size(ctx, key) }

func (d *demonstration) play(ctx context.Context, s *embedded.Store) (replay.Result, error) {
	r, err := trace.NewReader(bytes.NewReader(recorded.Small))
	if err != nil {
		return replay.Result{}, err
	}
	defer r.Close()
	fmt.Fprintln(d.out, "A recorded conversation: three participants, two channels, a lossy network.")
	p := replay.NewPlayer("demo", sized{dynamo.Estimate(s, d.usage.add), s}, replay.Options{
		Namespace:   "demo",
		Lag:         time.Second,
		OnOperation: d.operation,
		OnLoad:      d.loaded,
	})
	result, err := p.Run(ctx, r)
	for _, c := range p.Channels() {
		d.channel(c.Participant, c.Key.Channel).key = c.Key
	}
	return result, err
}

func (d *demonstration) channel(participant, channel string) *kept {
	for _, c := range d.channels {
		if c.participant == participant && c.channel == channel {
			return c
		}
	}
	c := &kept{participant: participant, channel: channel}
	d.channels = append(d.channels, c)
	return c
}

func (d *demonstration) operation(op trace.Op) {
	d.played++
	switch op.Kind {
	case trace.UpdateHistory:
		d.channel(op.Participant, op.Channel).evicted += len(op.Evict)
	case trace.DropChannel:
		d.channel(op.Participant, op.Channel).evicted = 0
	}
}

func (d *demonstration) loaded(op trace.Op, got sds.EncodedChannelData, wrong string) {
	c := d.channel(op.Participant, op.Channel)
	c.snapshot, c.messages = len(got.Meta), len(got.Messages)
	if wrong != "" {
		fmt.Fprintf(d.out, "  operation %d: %q loads %q: WRONG: %s\n", d.played, op.Participant, op.Channel, wrong)
		return
	}
	if d.shown || d.played < 1000 || len(got.Messages) == 0 {
		return
	}
	d.shown = true
	fmt.Fprintf(d.out, "  operation %d: %q is killed. A new process loads %q:\n"+
		"  a snapshot of %d bytes and %d messages, every byte as it was saved.\n",
		d.played, op.Participant, op.Channel, c.snapshot, c.messages)
}

// summary shows what was kept, and returns how many bytes that is.
func (d *demonstration) summary(ctx context.Context, s *embedded.Store, r replay.Result) (int64, error) {
	fmt.Fprintf(d.out, "%d operations, %d crashes and loads: %d gave back exactly what was saved.\n\n",
		r.Operations, r.Loads, r.LoadsMatched)
	t := tabwriter.NewWriter(d.out, 0, 4, 3, ' ', 0)
	fmt.Fprintln(t, "PARTICIPANT\tCHANNEL\tSNAPSHOT\tHOT\tEVICTED\tSTORED")
	slices.SortFunc(d.channels, func(a, b *kept) int {
		return bytes.Compare([]byte(a.participant+"\x00"+a.channel), []byte(b.participant+"\x00"+b.channel))
	})
	var total int64
	for _, c := range d.channels {
		n, err := s.Size(ctx, c.key)
		if err != nil {
			return 0, err
		}
		total += n
		fmt.Fprintf(t, "%.40q\t%.40q\t%d B\t%d\t%d\t%d B\n",
			c.participant, c.channel, c.snapshot, c.messages, c.evicted, n)
	}
	if err := t.Flush(); err != nil {
		return 0, err
	}
	d.usage.into(&r)
	requests := 0
	for _, n := range r.Requests {
		requests += n
	}
	writes := r.WriteUnits.Commits + r.WriteUnits.Claims + r.WriteUnits.Deletes + r.WriteUnits.Hints
	fmt.Fprintf(d.out, "\nOn DynamoDB: %d requests (%d saves needed none), %d write and %d read units,\n"+
		"$%.4f at on-demand list price (us-east-1).\n",
		requests, r.SavesSkipped, writes, r.ReadUnits,
		(float64(writes)*dollarsPerMillionWrites+float64(r.ReadUnits)*dollarsPerMillionReads)/1e6)
	return total, nil
}

func (d *demonstration) next(dir string, temporary bool, stored int64) {
	fmt.Fprintln(d.out, "\nNext:")
	if temporary {
		fmt.Fprintln(d.out, "  sdsaws demo --dir ./demo-store    keep the store")
	} else {
		fmt.Fprintf(d.out, "  %d bytes of channels are kept in %s\n", stored, dir)
	}
	fmt.Fprint(d.out, "  sdsaws replay FILE.jsonl.zst      play and check a recording of your own\n"+
		"  sdsaws init --backend aws:state=sds-state,hints=sds-hints,bucket=sds-archive\n"+
		"                                    make tables and a bucket, e.g. on LocalStack\n")
}
