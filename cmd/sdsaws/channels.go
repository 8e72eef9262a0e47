package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/store"
)

type channelsFlags struct {
	stored
	noSizes, json bool
}

func channelsCommand() *cobra.Command {
	var f channelsFlags
	cmd := &cobra.Command{
		Use:   "channels --backend BACKEND --namespace NS",
		Short: "List the channels of a namespace",
		Long: `List the channels of a namespace, with sizes, age and lag. It claims nothing.

HISTORY counts messages that are history, BUFFERED those in the buffers of the snapshot, WAITING
those that were evicted and wait in the log to be archived, ARCHIVED those in segments. LOG and
ARCHIVE are bytes, of all that is stored in the table, and of segments. AGE is how long ago the last
commit was, LAG since when the first of what is WAITING waits; 24 h and more say that nobody
archives: see sdsaws sweep.

On DynamoDB a channel takes one or two read units; its sizes take one for each 8 KB of its log and
one for each 4 KB of its manifests: --no-sizes spares these. A channel that was dropped stays in the
list, with nothing in it. One that was created in the last moments may be missing.

With --json there is one object a channel: channel, epoch, writer, region, history, buffered,
waiting, waiting_since, committed_at, and, without --no-sizes, log_bytes, segments, archived,
archive_bytes; of one that can't be read channel and error. The last line is the total:
channels, failed, and the sums.

Exit status: 0; 1 when a channel can't be read.

` + storedHelp,
		Example: `  sdsaws channels --backend embedded:./store --namespace alice
  sdsaws channels --no-sizes --backend aws:state=sds-state,hints=sds-hints,bucket=sds-archive --namespace alice --json`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return channels(cmd, f) },
	}
	f.addTo(cmd)
	cmd.Flags().BoolVar(&f.noSizes, "no-sizes", false, "don't read what is stored to know how much it is")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object a channel, and the total")
	return cmd
}

func channels(cmd *cobra.Command, f channelsFlags) (err error) {
	o, err := f.open(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	defer func() { err = errors.Join(err, o.close(ctx)) }()
	r := newChannelsReport(cmd, f)
	defer r.progress.end()
	for id, err := range o.adapter.Channels(ctx) {
		if err != nil {
			return errors.Join(r.table.flush(), err)
		}
		l, err := o.listed(ctx, id, !f.noSizes)
		if interrupted := ctx.Err(); interrupted != nil {
			return errors.Join(r.table.flush(), interrupted)
		}
		if err := r.add(id, l, err); err != nil {
			return err
		}
	}
	return r.end()
}

// channelSizes are what is stored of a channel.
type channelSizes struct {
	LogBytes     int64 `json:"log_bytes"`
	Segments     int   `json:"segments"`
	Archived     int   `json:"archived"`
	ArchiveBytes int64 `json:"archive_bytes"`
}

type channelCounts struct {
	History  int `json:"history"`
	Buffered int `json:"buffered"`
	Waiting  int `json:"waiting"`
}

// listedChannel is what a channel is in a line of JSON.
type listedChannel struct {
	Channel string `json:"channel"`
	Epoch   uint64 `json:"epoch"`
	Writer  string `json:"writer"`
	Region  string `json:"region"`
	channelCounts
	WaitingSince *string `json:"waiting_since"`
	CommittedAt  *string `json:"committed_at"`
	*channelSizes

	status *sdsaws.ChannelStatus
}

type failedChannel struct {
	Channel string `json:"channel"`
	Error   string `json:"error"`
}

type listedTotal struct {
	Channels int `json:"channels"`
	Failed   int `json:"failed"`
	channelCounts
	*channelSizes
}

// listed reads what channels shows of one.
func (o *opened) listed(ctx context.Context, id string, sizes bool) (*listedChannel, error) {
	s, err := o.adapter.Status(ctx, id)
	if err != nil {
		return nil, err
	}
	l := &listedChannel{Channel: escapeID(id), Epoch: s.Epoch, Writer: escapeID(s.Writer), Region: escapeID(s.Region),
		channelCounts: channelCounts{s.History, s.Buffered, s.Evicted},
		WaitingSince:  jsonTime(s.EvictedSince), CommittedAt: jsonTime(s.Committed), status: s}
	if sizes {
		l.channelSizes, err = o.sizes(ctx, id)
	}
	return l, err
}

func (o *opened) sizes(ctx context.Context, id string) (z *channelSizes, err error) {
	z = &channelSizes{}
	if z.LogBytes, err = o.backend.Size(ctx, store.Key{Namespace: o.namespace, Channel: id}); err != nil {
		return nil, err
	}
	for s, err := range o.adapter.Segments(ctx, id) {
		if err != nil {
			return nil, err
		}
		if s.Written {
			z.Segments++
			z.Archived += s.Messages
			z.ArchiveBytes += s.Bytes
		}
	}
	return z, nil
}

// channelsReport shows channels as they are read.
type channelsReport struct {
	cmd      *cobra.Command
	lines    *json.Encoder // or nil
	table    *columns      // else
	progress *channelProgress
	now      time.Time
	total    listedTotal
}

func newChannelsReport(cmd *cobra.Command, f channelsFlags) *channelsReport {
	r := &channelsReport{cmd: cmd, now: time.Now(), table: &columns{w: cmd.OutOrStdout()},
		progress: newChannelProgress(cmd.ErrOrStderr(), "channels", true, 0)}
	if f.json {
		r.lines = json.NewEncoder(cmd.OutOrStdout())
	} else {
		head := []string{"CHANNEL", "HISTORY", "BUFFERED", "WAITING"}
		if !f.noSizes {
			head = append(head, "ARCHIVED", "LOG", "ARCHIVE")
		}
		head = append(head, "AGE", "LAG")
		r.table.header = head
	}
	if !f.noSizes {
		r.total.channelSizes = &channelSizes{}
	}
	return r
}

func (r *channelsReport) add(id string, l *listedChannel, err error) error {
	r.progress.step()
	r.total.Channels++
	if err != nil {
		r.total.Failed++
		tell(r.progress.errors, err)
		if r.lines != nil {
			return r.lines.Encode(failedChannel{escapeID(id), err.Error()})
		}
		return r.table.row(quoteID(id), "failed")
	}
	t := &r.total
	t.History += l.History
	t.Buffered += l.Buffered
	t.Waiting += l.Waiting
	if z := l.channelSizes; z != nil {
		t.LogBytes += z.LogBytes
		t.Segments += z.Segments
		t.Archived += z.Archived
		t.ArchiveBytes += z.ArchiveBytes
	}
	if r.lines != nil {
		return r.lines.Encode(l)
	}
	return r.row(quoteID(id), l.channelCounts, l.channelSizes,
		showAge(l.status.Committed, r.now), showAge(l.status.EvictedSince, r.now))
}

func (r *channelsReport) row(name string, c channelCounts, z *channelSizes, age ...string) error {
	cells := []string{name, fmt.Sprint(c.History), fmt.Sprint(c.Buffered), fmt.Sprint(c.Waiting)}
	if z != nil {
		cells = append(cells, fmt.Sprint(z.Archived), fmt.Sprint(z.LogBytes), fmt.Sprint(z.ArchiveBytes))
	}
	return r.table.row(append(cells, age...)...)
}

func (r *channelsReport) end() error {
	r.progress.end()
	var err error
	if r.lines != nil {
		err = r.lines.Encode(r.total)
	} else if err = r.row(fmt.Sprintf("total of %d", r.total.Channels), r.total.channelCounts, r.total.channelSizes); err == nil {
		err = r.table.flush()
	}
	if err == nil && r.total.Failed > 0 {
		err = fmt.Errorf("channels: %d of %d can't be read; sdsaws fsck says more", r.total.Failed, r.total.Channels)
	}
	return err
}
