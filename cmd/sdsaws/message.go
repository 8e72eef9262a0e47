package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

func messageCommand() *cobra.Command {
	var f stored
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "message CHANNEL ID --backend BACKEND --namespace NS",
		Short: "Show one message by its id",
		Long: `Show the latest message with an id that is or was history of a channel, from the log or
the archive. It claims nothing. Content is shown as text where it is printable UTF-8, else the
first 256 bytes in hex.

With --json it is one object: that of sdsaws history, and channel, causal_history and
repair_request (message ids) and bloom_filter_bytes.

Exit status: 0; 1 when there is no such message, or it can't be read.

` + storedHelp,
		Example: `  sdsaws message /group/1/chat 3f2a --backend embedded:./store --namespace alice
  sdsaws message /group/1/chat '"\xff\x00id"' --backend embedded:./store --namespace alice --json`,
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error { return message(cmd, f, asJSON, args[0], args[1]) },
	}
	f.addTo(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func message(cmd *cobra.Command, f stored, asJSON bool, channelArg, idArg string) (err error) {
	channel, err := parseChannel(channelArg)
	if err != nil {
		return usageError(cmd, err)
	}
	id, err := parseID(idArg)
	if err != nil {
		return usageError(cmd, err)
	}
	o, err := f.open(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	defer func() { err = errors.Join(err, o.close(ctx)) }()
	m, err := o.adapter.Message(ctx, channel, id)
	if errors.Is(err, sds.ErrNotFound) {
		if err := o.mustHave(ctx, channel); err != nil {
			return err
		}
		return fmt.Errorf("no message with the id %s is or was history of channel %s", quoteID(id), quoteID(channel))
	}
	var decoded sds.Message
	if err == nil {
		err = decoded.UnmarshalBinary(m.Encoded)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(newMessageObject(channel, m, &decoded))
	}
	return showMessage(cmd.OutOrStdout(), channel, m, &decoded)
}

type messageObject struct {
	Channel string `json:"channel"`
	historyLine
	CausalHistory    []string `json:"causal_history"`
	RepairRequest    []string `json:"repair_request"`
	BloomFilterBytes int      `json:"bloom_filter_bytes"`
}

func newMessageObject(channel string, m sdsaws.HistoryMessage, d *sds.Message) messageObject {
	return messageObject{
		Channel:          escapeID(channel),
		historyLine:      newHistoryLine(m, d),
		CausalHistory:    entryIDs(d.CausalHistory, escapeID),
		RepairRequest:    entryIDs(d.RepairRequest, escapeID),
		BloomFilterBytes: len(d.BloomFilter),
	}
}

// entryIDs returns the message ids of entries.
func entryIDs(entries []sds.HistoryEntry, show func(id string) string) []string {
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = show(e.MessageID)
	}
	return ids
}

func showMessage(w io.Writer, channel string, m sdsaws.HistoryMessage, d *sds.Message) error {
	t := tabwriter.NewWriter(w, 0, 4, 3, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(t, "%s\t%s\n", name, value) }
	ids := func(name string, entries []sds.HistoryEntry) {
		for _, id := range entryIDs(entries, quoteID) {
			row(name, id)
			name = ""
		}
		if len(entries) == 0 {
			row(name, "none")
		}
	}
	row("id", quoteID(m.MessageID))
	row("channel", quoteID(channel))
	row("lamport", fmt.Sprint(m.LamportTimestamp))
	row("sender", quoteID(d.SenderID))
	row("offset", fmt.Sprint(m.Offset))
	row("where", where(m))
	ids("causal history", d.CausalHistory)
	ids("repair request", d.RepairRequest)
	row("bloom filter", fmt.Sprintf("%d bytes", len(d.BloomFilter)))
	content, how := showContent(d.Content)
	row("content", fmt.Sprintf("%d bytes%s", len(d.Content), how))
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, content)
	return err
}

// shownBytes is how much of content that isn't text is shown.
const shownBytes = 256

// showContent returns content as lines, and what these are.
func showContent(content []byte) (lines, how string) {
	switch {
	case len(content) == 0:
		return "", ""
	case printable(content):
		return "\n" + strings.TrimSuffix(string(content), "\n") + "\n", " of text:"
	case len(content) > shownBytes:
		return "\n" + hex.Dump(content[:shownBytes]), fmt.Sprintf(", the first %d:", shownBytes)
	}
	return "\n" + hex.Dump(content), ":"
}

// printable reports whether a terminal shows b as it is and does nothing else.
func printable(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) && r != '\n' && r != '\t' {
			return false
		}
	}
	return true
}
