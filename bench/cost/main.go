// Command cost says what it costs to keep the channels of recorded participants on AWS, at
// list prices and by the formulas that AWS documents: with sdsaws, replayed on a store on this
// machine, and, computed from the same traffic, in three simpler ways.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sdsaws/sdsaws/internal/price"
)

const usage = `usage: go run ./bench/cost [flags] [TRACE…]

Without traces: those in internal/recorded. Per trace, what keeping its channels takes:

  sdsaws           replayed in committed mode, each load held against the recording
  sdsaws-accepted  with --accepted: in accepted mode, at 6 saves a second, with a lag of 1 s
  plain            a pair is one transaction of the whole snapshot (+250 bytes) and each message
                   (+120), a snapshot without messages one Put; nothing is skipped; items
                   past 400 KB count as if they fitted
  zstd             the same, each value compressed
  s3-per-save      the same, compressed, but the snapshot is an object, and an item points to it

The last three are computed. They delete what is evicted; sdsaws archives it. --json prints an
object a trace: trace, saves, appended, evicted, hints_set, prices, evicted_bytes_per_message,
archived_bytes_per_message, and ways, each with way, write_units by purpose, read_units, requests by
operation, requests_per_save (to DynamoDB, hints and archive apart), s3_puts, s3_gets, s3_lists,
stored_bytes (in DynamoDB, of bodies and message ids), value_bytes (snapshots and messages in S3),
archived_bytes, hints_written, dollars_per_million_saves.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "cost: %v\n", err)
		os.Exit(1)
	}
}

type flags struct {
	accepted, json bool
	svg            string
	inline, group  numbers
	prices         price.List
}

// numbers is a flag: numbers with commas between.
type numbers []int

func (n *numbers) String() string { return "" }

func (n *numbers) Set(s string) error {
	for part := range strings.SplitSeq(s, ",") {
		i, err := strconv.Atoi(part)
		if err != nil || i < 1 {
			return fmt.Errorf("%q is not a number above 0", part)
		}
		*n = append(*n, i)
	}
	return nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	f := flags{prices: price.USEast1}
	set := flag.NewFlagSet("cost", flag.ContinueOnError)
	set.Usage = func() {
		fmt.Fprint(set.Output(), usage)
		set.PrintDefaults()
	}
	set.BoolVar(&f.accepted, "accepted", false, "replay in accepted mode too")
	set.BoolVar(&f.json, "json", false, "print a JSON object a trace")
	set.StringVar(&f.svg, "svg", "", "draw a chart into `FILE`")
	set.Var(&f.inline, "inline", "instead: sdsaws with each of these values of Options.InlineBytes, in `KiB,…`")
	set.Var(&f.group, "group", "instead: sdsaws with each of these values of Options.GroupSize, `N,…`")
	for name, p := range map[string]*float64{"write-unit": &f.prices.WriteUnits, "read-unit": &f.prices.ReadUnits,
		"put": &f.prices.Puts, "get": &f.prices.Gets} {
		set.Float64Var(p, name, *p, "dollars a million, in "+f.prices.Region+", "+f.prices.Listed)
	}
	if err := set.Parse(args); err != nil {
		return err
	}
	if f.prices != price.USEast1 {
		f.prices.Region, f.prices.Listed = "as given", "as given"
	}
	files, err := traces(set.Args())
	if err != nil {
		return err
	}
	if len(f.inline)+len(f.group) > 0 {
		return compareOptions(ctx, out, &f, files)
	}
	return compareWays(ctx, out, &f, files)
}

// traces returns the files to replay.
func traces(files []string) ([]string, error) {
	if len(files) > 0 {
		return files, nil
	}
	for _, name := range []string{"small", "group", "evict", "long", "large"} {
		file := filepath.Join("internal", "recorded", name+".jsonl.zst")
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("%w: run it at the top of the repository, or name traces", err)
		}
		files = append(files, file)
	}
	return files, nil
}

func compareWays(ctx context.Context, out io.Writer, f *flags, files []string) error {
	var all []*Account
	for _, file := range files {
		a, err := account(ctx, file, f.accepted, f.prices)
		if err == nil && f.json {
			err = json.NewEncoder(out).Encode(a)
		} else if err == nil {
			err = show(out, a)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, a)
	}
	if f.svg == "" {
		return nil
	}
	return os.WriteFile(f.svg, chart(all), 0o644) //nolint:gosec // a picture for all to see
}
