package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/internal/price"
	"github.com/sdsaws/sdsaws/internal/recorded"
	"github.com/sdsaws/sdsaws/internal/replay"
	"github.com/sdsaws/sdsaws/internal/trace"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

func demoCommand() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play a recorded conversation on this machine and show what is kept",
		Long: `Play a bundled recording of three participants who chat over a lossy network, on the
embedded backend: no cloud, no Docker. Participants crash and are loaded again on the way,
and each load is held against what was recorded. At the end what was evicted is archived, and
the archive is held against the recording too. Then show what was kept, and what the same
requests would have cost on AWS.

With --json it prints one object: what sdsaws replay --json prints of a trace, and channels:
participant, channel, snapshot (bytes), history, evicted, archived, stored_bytes.

Exit status: 0 when every load gave back what was saved, and the archive is right; else 1.`,
		Example: "  sdsaws demo\n  sdsaws demo --dir ./demo-store",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo(cmd.Context(), cmd.OutOrStdout(), dir, asJSON)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "keep the store in this directory, which must be new or empty "+
		"(default: a temporary one)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// kept is what the demo knows of a channel at the end.
type kept struct {
	participant, channel string
	key                  store.Key
	snapshot, messages   int
	evicted, archived    int
	stored               int64
}

// demoObject is a demo in JSON.
type demoObject struct {
	replay.Result
	Channels []keptObject `json:"channels"`
}

type keptObject struct {
	Participant string `json:"participant"`
	Channel     string `json:"channel"`
	Snapshot    int    `json:"snapshot"`
	History     int    `json:"history"`
	Evicted     int    `json:"evicted"`
	Archived    int    `json:"archived"`
	StoredBytes int64  `json:"stored_bytes"`
}

func (d *demonstration) object(r replay.Result, stored int64) demoObject {
	r.StoredBytes = stored
	o := demoObject{Result: r}
	for _, c := range d.channels {
		o.Channels = append(o.Channels, keptObject{escapeID(c.participant), escapeID(c.channel), c.snapshot, c.messages,
			c.evicted, c.archived, c.stored})
	}
	return o
}

// demonstration is a demo under way.
type demonstration struct {
	out      io.Writer
	usage    *tally
	channels []*kept
	played   int
	shown    bool // a crash
}

func demo(ctx context.Context, out io.Writer, dir string, asJSON bool) (err error) {
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
	if asJSON {
		d.out = io.Discard
	}
	result, err := d.play(ctx, s)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	stored, err := d.summary(ctx, s, result)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d.next(dir, temporary, stored)
	if asJSON {
		if err := json.NewEncoder(out).Encode(d.object(result, stored)); err != nil {
			return err
		}
	}
	if wrong := result.Wrong(); wrong != "" {
		return fmt.Errorf("demo: %s", wrong)
	}
	return nil
}

func (d *demonstration) play(ctx context.Context, s *embedded.Store) (replay.Result, error) {
	r, err := trace.NewReader(bytes.NewReader(recorded.Small))
	if err != nil {
		return replay.Result{}, err
	}
	defer r.Close()
	fmt.Fprintln(d.out, "A recorded conversation: three participants, two channels, a lossy network.")
	p := replay.NewPlayer("demo", replay.OnPaper(s, d.usage.add, d.usage.addS3), replay.Options{
		Namespace:   "demo",
		Lag:         time.Second,
		OnOperation: d.operation,
		OnLoad:      d.loaded,
		OnPlayed:    d.usage.into, // what the checks read after that isn't counted
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

// summary shows what was kept, and returns how many bytes that is beside the archive.
func (d *demonstration) summary(ctx context.Context, s *embedded.Store, r replay.Result) (int64, error) {
	fmt.Fprintf(d.out, "%d operations, %d crashes and loads: %d gave back exactly what was saved.\n\n",
		r.Operations, r.Loads, r.LoadsMatched)
	t := tabwriter.NewWriter(d.out, 0, 4, 3, ' ', 0)
	fmt.Fprintln(t, "PARTICIPANT\tCHANNEL\tSNAPSHOT\tHOT\tEVICTED\tARCHIVED\tSTORED")
	slices.SortFunc(d.channels, func(a, b *kept) int {
		return bytes.Compare([]byte(a.participant+"\x00"+a.channel), []byte(b.participant+"\x00"+b.channel))
	})
	var total int64
	for _, c := range d.channels {
		n, err := s.Size(ctx, c.key)
		if err != nil {
			return 0, err
		}
		archived, err := countArchived(ctx, s, c.key)
		if err != nil {
			return 0, err
		}
		total += n
		c.archived, c.stored = archived, n
		fmt.Fprintf(t, "%s\t%s\t%d B\t%d\t%d\t%d\t%d B\n",
			quoteID(c.participant), quoteID(c.channel), c.snapshot, c.messages, c.evicted, archived, n)
	}
	if err := t.Flush(); err != nil {
		return 0, err
	}
	if r.Wrong() == "" {
		fmt.Fprintf(d.out, "%d messages were evicted; the archive holds every one that wasn't dropped, byte for byte:\n"+
			"%d in %d Parquet segments of %d bytes.\n", r.Evicted, r.ArchiveMatched, r.Segments, r.ArchivedBytes)
	}
	d.costs(r)
	return total, nil
}

// countArchived returns how many messages of a channel are in segments.
func countArchived(ctx context.Context, s *embedded.Store, key store.Key) (n int, err error) {
	a, err := sdsaws.New(sdsaws.Backend{Log: s, Hints: s, Archive: s.Archive()}, &sdsaws.Options{Namespace: key.Namespace})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, a.Close(ctx)) }()
	for _, err := range a.History(ctx, key.Channel, sdsaws.HistoryRange{Part: sdsaws.ArchivedHistory}) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// costs shows what the played requests would have been on AWS.
func (d *demonstration) costs(r replay.Result) {
	gets, lists := r.Requests["GetObject"], r.Requests["ListObjectVersions"]
	puts, deletes := r.Requests["PutObject"], r.Requests["DeleteObjects"]
	requests := -puts - gets - lists - deletes
	for _, n := range r.Requests {
		requests += n
	}
	u := r.WriteUnits
	writes := u.Commits + u.Claims + u.Deletes + u.Manifests + u.Hints
	dollars := price.USEast1.Dollars(writes, r.ReadUnits, puts+lists, gets)
	fmt.Fprintf(d.out, "\nOn AWS: %d requests to DynamoDB (%d saves needed none), %d write and %d read units;\n"+
		"%d PUT, %d GET and %d LIST requests to S3: $%.4f at list price (on demand, us-east-1).\n",
		requests, r.SavesSkipped, writes, r.ReadUnits, puts, gets, lists, dollars)
}

func (d *demonstration) next(dir string, temporary bool, stored int64) {
	fmt.Fprintln(d.out, "\nNext:")
	if temporary {
		dir = "./demo-store"
		fmt.Fprintln(d.out, "  sdsaws demo --dir ./demo-store    keep the store, to look at it as below")
	} else {
		fmt.Fprintf(d.out, "  %d bytes of channels, and the archive, are kept in %s\n", stored, dir)
	}
	which := fmt.Sprintf("--backend embedded:%s --namespace demo/participant-2", dir)
	fmt.Fprintf(d.out, "  sdsaws history /group/0/chat %s\n"+
		"                                    what is and was history, the archive first\n"+
		"  sdsaws sweep --all %s\n"+
		"                                    archive what is left, remove garbage\n", which, which)
	fmt.Fprint(d.out, "  sdsaws replay FILE.jsonl.zst      play and check a recording of your own\n"+
		"  sdsaws init --backend aws:state=sds-state,hints=sds-hints,bucket=sds-archive\n"+
		"                                    make tables and a bucket, e.g. on LocalStack\n")
}
