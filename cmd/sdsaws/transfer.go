package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws/internal/export"
)

// transferred is what a channel, or all of them, have in JSON.
type transferred struct {
	History  uint64 `json:"history"`
	Evicted  uint64 `json:"evicted"`
	Archived uint64 `json:"archived"`
	Hints    uint64 `json:"hints"`
	SHA256   string `json:"sha256"`
}

func newTransferred(c export.Counts, sum export.Sum) transferred {
	return transferred{c.History, c.Evicted, c.Archived, c.Hints, hex.EncodeToString(sum[:])}
}

// transferReport shows channels that were exported or imported.
type transferReport struct {
	lines    *json.Encoder // or nil
	table    *columns      // else
	progress *channelProgress
	total    export.Counts
	sum      export.Sum
}

func newTransferReport(cmd *cobra.Command, w io.Writer, what string, asJSON bool, channels int) *transferReport {
	r := &transferReport{progress: newChannelProgress(cmd.ErrOrStderr(), what, true, channels)}
	if asJSON {
		r.lines = json.NewEncoder(w)
	} else {
		r.table = &columns{w: w, header: []string{"CHANNEL", "HISTORY", "EVICTED", "ARCHIVED", "HINTS", "SHA-256"}}
	}
	return r
}

func (r *transferReport) add(id string, c export.Counts, sum export.Sum) error {
	r.progress.step()
	if r.lines != nil {
		return r.lines.Encode(struct {
			Channel string `json:"channel"`
			transferred
		}{escapeID(id), newTransferred(c, sum)})
	}
	return r.row(quoteID(id), c, sum)
}

func (r *transferReport) row(name string, c export.Counts, sum export.Sum) error {
	return r.table.row(name, fmt.Sprint(c.History), fmt.Sprint(c.Evicted), fmt.Sprint(c.Archived), fmt.Sprint(c.Hints),
		hex.EncodeToString(sum[:]))
}

func (r *transferReport) end() error {
	r.progress.end()
	if r.lines != nil {
		return r.lines.Encode(struct {
			Channels uint64 `json:"channels"`
			transferred
		}{r.total.Channels, newTransferred(r.total, r.sum)})
	}
	if err := r.row(fmt.Sprintf("total of %d", r.total.Channels), r.total, r.sum); err != nil {
		return err
	}
	return r.table.flush()
}
