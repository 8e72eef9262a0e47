package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/internal/replay"
)

// tried is what a trace takes with other options than the default.
type tried struct {
	Trace       string `json:"trace"`
	InlineBytes int    `json:"inline_bytes"` // 0: the default
	GroupSize   int    `json:"group_size"`   // 0: the default
	Saves       int    `json:"saves"`
	Loads       int    `json:"loads"`
	Ledger
}

// compareOptions replays traces with each combination of options.
func compareOptions(ctx context.Context, out io.Writer, f *flags, files []string) error {
	t := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	if !f.json {
		fmt.Fprintln(t, "TRACE\tINLINE KiB\tGROUP\tCOMMITS\tWRITE UNITS\tREAD UNITS\tPUT\tGET\tSAVES\tLOADS\t$ A MILLION SAVES\t")
	}
	for _, file := range files {
		for _, kib := range orDefault(f.inline) {
			for _, group := range orDefault(f.group) {
				r, l, err := play(ctx, file, replay.Options{InlineBytes: kib << 10, GroupSize: group}, &f.prices, nil)
				if err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
				if err := showTried(out, t, f, &tried{r.Trace, kib << 10, group, r.Saves, r.Loads, l}); err != nil {
					return err
				}
			}
		}
	}
	return t.Flush()
}

func orDefault(n numbers) numbers {
	if len(n) == 0 {
		return numbers{0}
	}
	return n
}

func showTried(out, table io.Writer, f *flags, r *tried) error {
	if f.json {
		return json.NewEncoder(out).Encode(r)
	}
	_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.2f\t\n", r.Trace, option(r.InlineBytes>>10),
		option(r.GroupSize), r.WriteUnits[dynamo.Commits], r.writeUnits(), r.ReadUnits, r.S3Puts, r.S3Gets,
		r.Saves, r.Loads, r.DollarsAMillion)
	return err
}

func option(n int) string {
	if n == 0 {
		return "default"
	}
	return fmt.Sprint(n)
}
