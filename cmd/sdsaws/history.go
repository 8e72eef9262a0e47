package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/segment"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

type historyFlags struct {
	stored
	asked        sdsaws.HistoryRange
	since, until string
	limit        uint64
	archived     bool
	hot          bool
	format       format
}

func historyCommand() *cobra.Command {
	var f historyFlags
	cmd := &cobra.Command{
		Use:   "history CHANNEL --backend BACKEND --namespace NS",
		Short: "Show the messages that are or were history of a channel",
		Long: `Show the messages that are or were history of a channel, in the order of the log,
from the archive and from the log. It claims nothing, and may run while others work on the
channel.

WHERE says "history" for what a load would return, "evicted" for what waits in the log to be
archived, or "archived" and when. BYTES are those of the content. With --format jsonl there is
one object a line: offset, lamport, message_id, sender_id, content and encoded (the whole
message as it was handed over; both base64), live (it is history), archived_at (null: it is in
the log). --format parquet writes a Parquet file to standard output: the columns of the
archive's segments, of which archived_at can be null, and live; the file is good when the exit
status is 0. All three are written as the messages come, so any number takes little memory.

SDS messages have no time of their own: --since and --until are about when a message was
archived, and what is in the log counts as archived later than all that is. Both take a time
such as 2026-11-24T12:00:00Z or how long ago that is, such as 24h.

A missing or damaged item is an error on standard error; what comes behind it follows, and the
exit status is 1 in the end.

Exit status: 0; 1 when there is no such channel, or something can't be read.

` + storedHelp,
		Example: `  sdsaws history /group/1/chat --backend embedded:./store --namespace alice --limit 20
  sdsaws history /group/1/chat --backend aws:state=sds-state,hints=sds-hints,bucket=sds-archive \
      --namespace alice --archived --since 24h --format parquet >day.parquet`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return history(cmd, f, args[0]) },
	}
	f.addTo(cmd)
	flags := cmd.Flags()
	flags.Var(number{&f.asked.From, 0}, "from", "offsets from this one on")
	flags.Var(number{&f.asked.To, 0}, "to", "offsets before this one")
	flags.Int64Var(&f.asked.MinLamport, "min-lamport", 0, "Lamport timestamps from this one on")
	flags.Int64Var(&f.asked.MaxLamport, "max-lamport", 0, "Lamport timestamps up to this one")
	flags.StringVar(&f.since, "since", "", "archived at this time or later")
	flags.StringVar(&f.until, "until", "", "archived before this time, which leaves out what is in the log")
	flags.Var(number{&f.limit, 1}, "limit", "at most so many messages (default: all)")
	flags.BoolVar(&f.archived, "archived", false, "only what is archived")
	flags.BoolVar(&f.hot, "hot", false, "only what is in the log")
	f.format.addTo(cmd, "table", "jsonl", "parquet")
	return cmd
}

// read completes f from what was given on the command line.
func (f *historyFlags) read(cmd *cobra.Command, now time.Time) (err error) {
	given := cmd.Flags().Changed
	r := &f.asked
	if r.Since, err = parseTime(f.since, now); err != nil {
		return fmt.Errorf("--since: %w", err)
	}
	if r.Until, err = parseTime(f.until, now); err != nil {
		return fmt.Errorf("--until: %w", err)
	}
	switch {
	case f.archived && f.hot:
		return errors.New("--archived and --hot exclude each other")
	case f.hot && f.until != "":
		return errors.New("--hot and --until exclude each other: what is in the log isn't archived yet")
	case given("to") && r.To <= r.From:
		return errors.New("--to must be above --from")
	case r.MinLamport < 0:
		return errors.New("--min-lamport must be 0 or more")
	case given("max-lamport") && (r.MaxLamport < 1 || r.MaxLamport < r.MinLamport):
		return errors.New("--max-lamport must be 1 or more, and not below --min-lamport")
	case f.since != "" && f.until != "" && !r.Since.Before(r.Until):
		return errors.New("--since must be before --until")
	case f.archived:
		r.Part = sdsaws.ArchivedHistory
	case f.hot:
		r.Part = sdsaws.LogHistory
	}
	return nil
}

// parseTime reads a time, or how long before now it is.
func parseTime(arg string, now time.Time) (time.Time, error) {
	if arg == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, arg); err == nil {
		return t, nil
	}
	if ago, err := time.ParseDuration(arg); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("%q is neither a time such as 2026-11-24T12:00:00Z nor how long ago, such as 24h", arg)
}

func history(cmd *cobra.Command, f historyFlags, arg string) (err error) {
	id, err := parseChannel(arg)
	if err == nil {
		err = f.read(cmd, time.Now())
	}
	if err != nil {
		return usageError(cmd, err)
	}
	if f.format.value == "parquet" && isTerminal(cmd.OutOrStdout()) {
		return usageError(cmd, errors.New("--format parquet isn't for a terminal: redirect it to a file"))
	}
	o, err := f.open(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close(cmd.Context())) }()
	if err := o.mustHave(cmd.Context(), id); err != nil {
		return err
	}
	p := f.printer(cmd.OutOrStdout(), store.Key{Namespace: o.namespace, Channel: id})
	return showHistory(cmd, o.adapter.History(cmd.Context(), id, f.asked), p, f.limit)
}

// showHistory shows messages as they come, at most limit of them unless that is 0, and
// errors too.
func showHistory(
	cmd *cobra.Command, messages iter.Seq2[sdsaws.HistoryMessage, error], p historyPrinter, limit uint64,
) (err error) {
	defer func() { err = errors.Join(p.end(), err) }()
	failed, shown := 0, uint64(0)
	for m, err := range messages {
		if interrupted := cmd.Context().Err(); interrupted != nil {
			return interrupted
		}
		var decoded sds.Message
		if err == nil {
			if err = decoded.UnmarshalBinary(m.Encoded); err != nil {
				err = fmt.Errorf("message at offset %d: %w", m.Offset, err)
			}
		}
		if err != nil {
			failed++
			if err := p.flush(); err != nil { // so that the error stands where it belongs
				return err
			}
			tell(cmd.ErrOrStderr(), err)
			continue
		}
		if err := p.show(m, &decoded); err != nil {
			return err
		}
		if shown++; shown == limit {
			break
		}
	}
	if failed > 0 {
		return fmt.Errorf("history: what the errors above (%d) name is missing here", failed)
	}
	return nil
}

// historyPrinter shows one message after the other. What it has shown is written by flush, as
// far as that can be read then, and at the latest by end.
type historyPrinter interface {
	show(sdsaws.HistoryMessage, *sds.Message) error
	flush() error
	end() error
}

func (f *historyFlags) printer(w io.Writer, key store.Key) historyPrinter {
	switch f.format.value {
	case "jsonl":
		return historyLines{json.NewEncoder(w)}
	case "parquet":
		return historyFile{segment.NewExporter(w, key)}
	}
	return historyTable{&columns{w: w, rows: [][]string{{"OFFSET", "LAMPORT", "ID", "SENDER", "BYTES", "WHERE"}}}}
}

type historyLines struct{ *json.Encoder }

func (l historyLines) show(m sdsaws.HistoryMessage, d *sds.Message) error {
	return l.Encode(newHistoryLine(m, d))
}

func (l historyLines) flush() error { return nil }

func (l historyLines) end() error { return nil }

type historyFile struct{ *segment.Exporter }

func (f historyFile) show(m sdsaws.HistoryMessage, _ *sds.Message) error {
	row := segment.Message{Offset: m.Offset, ID: m.MessageID, Lamport: m.LamportTimestamp, Plain: m.Encoded}
	return f.Write(&row, m.Live, m.ArchivedAt)
}

func (f historyFile) flush() error { return nil }

func (f historyFile) end() error { return f.Close() }

type historyTable struct{ *columns }

func (t historyTable) end() error { return t.flush() }

func (t historyTable) show(m sdsaws.HistoryMessage, d *sds.Message) error {
	return t.row(strconv.FormatUint(m.Offset, 10), strconv.FormatInt(m.LamportTimestamp, 10), quoteID(m.MessageID),
		quoteID(d.SenderID), strconv.Itoa(len(d.Content)), where(m))
}

// historyLine is what a message is in a line of JSON.
type historyLine struct {
	Offset     uint64  `json:"offset"`
	Lamport    int64   `json:"lamport"`
	MessageID  string  `json:"message_id"`
	SenderID   string  `json:"sender_id"`
	Content    []byte  `json:"content"`
	Encoded    []byte  `json:"encoded"`
	Live       bool    `json:"live"`
	ArchivedAt *string `json:"archived_at"`
}

func newHistoryLine(m sdsaws.HistoryMessage, d *sds.Message) historyLine {
	l := historyLine{Offset: m.Offset, Lamport: m.LamportTimestamp, MessageID: escapeID(m.MessageID),
		SenderID: escapeID(d.SenderID), Content: d.Content, Encoded: m.Encoded, Live: m.Live}
	if l.Content == nil {
		l.Content = []byte{} // "", not null
	}
	if !m.ArchivedAt.IsZero() {
		at := showTime(m.ArchivedAt)
		l.ArchivedAt = &at
	}
	return l
}

// where says where a message is.
func where(m sdsaws.HistoryMessage) string {
	switch {
	case m.Live:
		return "history"
	case m.ArchivedAt.IsZero():
		return "evicted"
	}
	return "archived " + showTime(m.ArchivedAt)
}
