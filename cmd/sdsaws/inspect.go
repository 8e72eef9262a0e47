package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

type inspectFlags struct {
	stored
	format format
}

func inspectCommand() *cobra.Command {
	var f inspectFlags
	cmd := &cobra.Command{
		Use:   "inspect CHANNEL --backend BACKEND --namespace NS",
		Short: "Show a channel: head, snapshot, history, archive",
		Long: `Show what is stored of a channel: who holds it, where its log begins and ends, what is history
and what is archived, and its snapshot, decoded. It reads and verifies what a load would, and
claims nothing: whoever holds the channel goes on. What is shown is of one commit.

The table shows up to 10 entries of each buffer; --format json has all: channel, head (epoch,
writer, region, commit_id, committed_at, bytes), log (origin, start, next), history (messages,
min_lamport, max_lamport), waiting (messages, bytes, since), archive (segments, messages, bytes,
from, to, min_lamport, max_lamport, first_archived_at, last_archived_at) and snapshot: bytes,
schema_version, lamport, and the buffers outgoing, incoming, outgoing_repair and incoming_repair.
Content and retrieval hints are base64.

Of a channel that can't be read it shows what its head says, and whether that is damaged, with --format json
as channel, head, log and error; sdsaws fsck finds all that is wrong with it.

Exit status: 0; 1 when there is no such channel, or it can't be read.

` + storedHelp,
		Example: `  sdsaws inspect /group/1/chat --backend embedded:./store --namespace alice
  sdsaws inspect '\xff\x00id' --format json --backend embedded:./store --namespace alice`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return inspect(cmd, f, args[0]) },
	}
	f.addTo(cmd)
	f.format.addTo(cmd, "table", "json")
	return cmd
}

func inspect(cmd *cobra.Command, f inspectFlags, arg string) (err error) {
	id, err := parseChannel(arg)
	if err != nil {
		return usageError(cmd, err)
	}
	o, err := f.open(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	defer func() { err = errors.Join(err, o.close(ctx)) }()
	i, err := o.inspect(ctx, id)
	if err != nil {
		return errors.Join(err, o.inspectHead(cmd, f, id, err))
	}
	if f.format.value == "json" {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(i)
	}
	return i.show(cmd.OutOrStdout(), time.Now())
}

// headOnly is a channel in JSON that can't be read.
type headOnly struct {
	Channel string     `json:"channel"`
	Head    headObject `json:"head"`
	Log     logObject  `json:"log"`
	Error   string     `json:"error"`
}

// inspectHead shows what the head of a channel says that can't be read because of why.
func (o *opened) inspectHead(cmd *cobra.Command, f inspectFlags, id string, why error) error {
	ctx := cmd.Context()
	h, err := o.backend.Head(ctx, store.Key{Namespace: o.namespace, Channel: id})
	if err != nil || h == nil {
		return nil //nolint:nilerr // why says it
	}
	shown := headOnly{escapeID(id), headObject{Epoch: h.Epoch, Writer: escapeID(h.Writer), Region: escapeID(h.Region),
		CommitID: h.CommitID.String(), Bytes: len(h.Body)}, logObject{h.Origin, h.Start, h.Next}, why.Error()}
	note := "the head is whole, what it needs isn't"
	if s, err := o.adapter.Status(ctx, id); err == nil {
		shown.Head.CommittedAt = jsonTime(s.Committed)
	} else {
		note = "the head is damaged: what is shown of it may be wrong"
	}
	if f.format.value == "json" {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(shown)
	}
	t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 3, ' ', 0)
	fmt.Fprintf(t, "channel\t%s\nheld by\t%s, epoch %d\n", quoteID(id), quoteID(h.Writer), h.Epoch)
	if h.Region != "" {
		fmt.Fprintf(t, "region\t%s\n", quoteID(h.Region))
	}
	fmt.Fprintf(t, "commit\t%s\nhead\t%d bytes\nlog\torigin %d, start %d, next %d\n", h.CommitID, len(h.Body), h.Origin, h.Start, h.Next)
	fmt.Fprintf(t, "damage\t%s\n", note)
	return t.Flush()
}

// inspected is a channel in JSON.
type inspected struct {
	Channel  string       `json:"channel"`
	Head     headObject   `json:"head"`
	Log      logObject    `json:"log"`
	History  boundsObject `json:"history"`
	Waiting  waitObject   `json:"waiting"`
	Archive  archived     `json:"archive"`
	Snapshot snapshot     `json:"snapshot"`

	status *sdsaws.ChannelStatus
}

type headObject struct {
	Epoch       uint64  `json:"epoch"`
	Writer      string  `json:"writer"`
	Region      string  `json:"region"`
	CommitID    string  `json:"commit_id"`
	CommittedAt *string `json:"committed_at"`
	Bytes       int     `json:"bytes"`
}

type logObject struct {
	Origin uint64 `json:"origin"`
	Start  uint64 `json:"start"`
	Next   uint64 `json:"next"`
}

// boundsObject is what lies between two Lamport timestamps.
type boundsObject struct {
	Messages   int   `json:"messages"`
	MinLamport int64 `json:"min_lamport"`
	MaxLamport int64 `json:"max_lamport"`
}

func (b *boundsObject) add(messages int, least, most int64) {
	if messages == 0 {
		return
	}
	if b.Messages == 0 {
		b.MinLamport, b.MaxLamport = least, most
	}
	b.MinLamport, b.MaxLamport = min(b.MinLamport, least), max(b.MaxLamport, most)
	b.Messages += messages
}

type waitObject struct {
	Messages int     `json:"messages"`
	Bytes    int64   `json:"bytes"`
	Since    *string `json:"since"`
}

// archived is what is in the segments of a channel.
type archived struct {
	Segments int `json:"segments"`
	boundsObject
	Bytes           int64   `json:"bytes"`
	From            uint64  `json:"from"`
	To              uint64  `json:"to"`
	FirstArchivedAt *string `json:"first_archived_at"`
	LastArchivedAt  *string `json:"last_archived_at"`
}

func (a *archived) add(s sdsaws.SegmentStatus) {
	if !s.Written {
		return
	}
	at := jsonTime(s.ArchivedAt)
	if a.Segments++; a.Segments == 1 {
		a.From, a.FirstArchivedAt = s.From, at
	}
	a.To, a.LastArchivedAt = s.To, at
	a.Bytes += s.Bytes
	a.boundsObject.add(s.Messages, s.MinLamport, s.MaxLamport)
}

func (o *opened) inspect(ctx context.Context, id string) (*inspected, error) {
	r, err := o.adapter.ReadChannel(ctx, id)
	if err != nil {
		return nil, err
	}
	if !r.Exists {
		return nil, o.noChannel(id)
	}
	i := &inspected{
		Channel: escapeID(id),
		Head: headObject{r.Epoch, escapeID(r.Writer), escapeID(r.Region), r.CommitID.String(),
			jsonTime(r.Committed), r.HeadBytes},
		Log:     logObject{r.Origin, r.Start, r.Next},
		Waiting: waitObject{r.Evicted, r.EvictedBytes, jsonTime(r.EvictedSince)},
		status:  &r.ChannelStatus,
	}
	for _, encoded := range r.Data.Messages {
		var m sds.Message
		if err := m.UnmarshalBinary(encoded); err != nil {
			return nil, fmt.Errorf("history: %w", err)
		}
		i.History.add(1, m.LamportTimestamp, m.LamportTimestamp)
	}
	for s, err := range o.adapter.Segments(ctx, id) {
		if err != nil {
			return nil, err
		}
		i.Archive.add(s)
	}
	i.Snapshot, err = newSnapshot(r.Data.Meta)
	return i, err
}

func (i *inspected) show(w io.Writer, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 4, 3, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	h, s, a := &i.Head, i.status, &i.Archive
	row("channel", "%s", quoteID(s.ChannelID))
	row("held by", "%s, epoch %d", quoteID(s.Writer), h.Epoch)
	if s.Region != "" {
		row("region", "%s", quoteID(s.Region))
	}
	row("commit", "%s, %s ago, %s", h.CommitID, showAge(s.Committed, now), showTime(s.Committed))
	row("head", "%d bytes", h.Bytes)
	row("log", "origin %d, start %d, next %d", s.Origin, s.Start, s.Next)
	row("history", "%s", i.History.text())
	if s.Evicted == 0 {
		row("waiting", "no messages")
	} else {
		row("waiting", "%s to be archived, %d bytes, for %s", plural(s.Evicted, "message"), s.EvictedBytes,
			showAge(s.EvictedSince, now))
	}
	if a.Segments == 0 {
		row("archive", "no segments")
	} else {
		row("archive", "%s, in %s of %d bytes", a.text(), plural(a.Segments, "segment"), a.Bytes)
		row("", "offsets %d to %d, archived from %s to %s", a.From, a.To-1, *a.FirstArchivedAt, *a.LastArchivedAt)
	}
	m := &i.Snapshot
	row("snapshot", "%d bytes, schema version %d, Lamport timestamp %d", m.Bytes, m.SchemaVersion, m.Lamport)
	if err := t.Flush(); err != nil {
		return err
	}
	return m.showBuffers(w)
}

func (b *boundsObject) text() string {
	if b.Messages == 0 {
		return "no messages"
	}
	return fmt.Sprintf("%s, Lamport timestamps %d to %d", plural(b.Messages, "message"), b.MinLamport, b.MaxLamport)
}
