package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/replay"
	"github.com/sdsaws/sdsaws/internal/trace"
)

type replayFlags struct {
	backend    string
	namespace  namespaceFlag
	durability string
	rate       float64
	lag        time.Duration
	json       bool
}

func replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay FILE…",
		Short: "Play recorded traffic against a backend and check every load",
		Long: `Play traces of SDS participants, FILE.jsonl or FILE.jsonl.zst ("-" is standard input),
against a backend, and hold every recorded loadChannel against what the backend loads:
the number of messages, the SHA-256 of the snapshot, the SHA-256 of the history.

A loadChannel stands for a crash: the channel's adapter is abandoned and a new one loads
(in accepted mode what it had accepted is stored first). The recorded clock is ignored. In
committed mode every save is committed before the participant's next operation, unless
that is the updateHistory of its pair, so that saves never merge. In accepted mode
operations are spaced at --rate saves a second and channel on a virtual clock.

At the end all that was evicted is archived, and the archive is held against the trace:
every evicted message must be in a segment, byte for byte, and nothing else.

With --json one object a trace is printed: trace, operations, loads, loads_matched,
mismatches (each n, participant, channel, what), saves, saves_skipped (those that no commit
was sent for), appended, evicted, archive_expected, archive_matched, archive_surplus,
segments, hints_set, hints_written, requests (by operation), write_units (commits, claims,
deletes, manifests, hints), read_units, s3_puts, s3_gets, stored_bytes (without the archive),
archived_bytes, archive_seconds (of seconds, for what was evicted last), seconds. Units are
computed from the requests that were sent; on the embedded backend requests and units are 0,
and s3_puts and s3_gets count files.

Exit status: 0 when all loads matched, there was at least one, and the archive is right; else 1.

` + backendHelp,
		Example: `  sdsaws replay conversation.jsonl.zst
  sdsaws replay --backend aws:state=sds-state,hints=sds-hints,bucket=sds-archive --json *.zst`,
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, files []string) error { return replayAll(cmd, f, files) },
	}
	flags := cmd.Flags()
	addBackend(cmd, &f.backend, "embedded:", "where to play to")
	flags.Var(&f.namespace, "namespace", "what all namespaces begin with: each is this, the trace's name, the participant's, with slashes between; they must be new (default: a random one)")
	flags.StringVar(&f.durability, "durability", "committed", "committed or accepted")
	flags.Float64Var(&f.rate, "rate", 6, "saves a second and channel, in accepted mode")
	flags.DurationVar(&f.lag, "lag", time.Second, "how long accepted work may wait")
	flags.BoolVar(&f.json, "json", false, "print one JSON object a trace")
	return cmd
}

var durabilities = map[string]sdsaws.Durability{"committed": sdsaws.Committed, "accepted": sdsaws.Accepted}

func (f *replayFlags) check() error {
	if _, ok := durabilities[f.durability]; !ok {
		return fmt.Errorf("%w: --durability is committed or accepted, not %q", errUsage, f.durability)
	}
	if !(f.rate > 0 && f.rate <= 1e6) {
		return fmt.Errorf("%w: --rate is above 0 and at most 1000000, not %v", errUsage, f.rate)
	}
	if f.lag <= 0 {
		return fmt.Errorf("%w: --lag is above 0, not %v", errUsage, f.lag)
	}
	if f.namespace == "" {
		f.namespace = namespaceFlag(fmt.Sprintf("replay-%08x", rand.Uint32())) //nolint:gosec // a name, no secret
	}
	return nil
}

func replayAll(cmd *cobra.Command, f replayFlags, files []string) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	b, err := openBackend(cmd.Context(), f.backend)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	names := traceNames(files)
	bad := 0
	for i, file := range files {
		r, err := replayFile(cmd.Context(), b, f, file, names[i])
		if err != nil {
			return fmt.Errorf("replay %s: %w", file, err)
		}
		if err := show(cmd.OutOrStdout(), r, f.json); err != nil {
			return err
		}
		if r.Wrong() != "" {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d traces are not kept as recorded", bad, len(files))
	}
	return nil
}

// traceNames names each file, differently.
func traceNames(files []string) []string {
	used := map[string]int{}
	names := make([]string, len(files))
	for i, file := range files {
		name := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(file), ".zst"), ".jsonl")
		if file == "-" {
			name = "stdin"
		}
		names[i] = name
		if used[name]++; used[name] > 1 {
			names[i] = fmt.Sprintf("%s-%d", name, used[name])
		}
	}
	return names
}

func replayFile(ctx context.Context, b *backend, f replayFlags, file, name string) (r replay.Result, err error) {
	size := int64(0)
	if info, err := os.Stat(file); err == nil && file != "-" {
		size = info.Size()
	}
	opened := waiting(ctx, file, os.Stdin)
	defer func() { err = errors.Join(err, opened.Close()) }()
	in, done := progress(name, opened, size)
	defer done()
	t, err := trace.NewReader(in)
	if err != nil {
		return r, err
	}
	defer t.Close()
	p := replay.NewPlayer(name, b, replay.Options{
		Namespace:  string(f.namespace) + "/" + name,
		New:        true,
		Durability: durabilities[f.durability],
		Rate:       f.rate,
		Lag:        f.lag,
		OnPlayed:   b.usage.into,
	})
	if r, err = p.Run(ctx, t); err != nil {
		return r, err
	}
	for _, c := range p.Channels() {
		n, err := b.Size(ctx, c.Key)
		if err != nil {
			return r, err
		}
		r.StoredBytes += n
	}
	return r, nil
}

// progress shows how much of the input has been read, where there is a terminal to show it
// on.
func progress(name string, in io.Reader, size int64) (io.Reader, func()) {
	if size == 0 || !term.IsTerminal(int(os.Stderr.Fd())) { //nolint:gosec // a file descriptor
		return in, func() {}
	}
	p := mpb.New(mpb.WithOutput(os.Stderr), mpb.WithWidth(40))
	bar := p.AddBar(size, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(name+" ")),
		mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.Elapsed(decor.ET_STYLE_GO)))
	end := func() {
		bar.Abort(true)
		p.Wait()
	}
	if shown, err := bar.ProxyReader(in); err == nil {
		in = shown
	}
	return in, end
}

// show prints a result: as JSON in one line, or for people.
func show(w io.Writer, r replay.Result, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(t, "%s: %d of %d loads matched\n", r.Trace, r.LoadsMatched, r.Loads)
	row("operations", "%d in %.1f s", r.Operations, r.Seconds)
	row("saves", "%d, %d of them without a request", r.Saves, r.SavesSkipped)
	row("messages", "%d appended, %d evicted", r.Appended, r.Evicted)
	row("hints", "%d set, %d written", r.HintsSet, r.HintsWritten)
	row("archive", "%d of %d evicted messages, %d others, in %d segments of %d bytes", r.ArchiveMatched,
		r.ArchiveExpected, r.ArchiveSurplus, r.Segments, r.ArchivedBytes)
	row("stored", "%d bytes beside the archive", r.StoredBytes)
	if len(r.Requests) > 0 {
		u := r.WriteUnits
		for _, op := range slices.Sorted(maps.Keys(r.Requests)) {
			row("requests", "%d %s", r.Requests[op], op)
		}
		row("write units", "%d commits, %d claims, %d deletes, %d manifests, %d hints",
			u.Commits, u.Claims, u.Deletes, u.Manifests, u.Hints)
		row("read units", "%d", r.ReadUnits)
	}
	if wrong := r.Wrong(); wrong != "" {
		row("failed", "%s", wrong)
	}
	for _, m := range r.Mismatches {
		row("mismatch", "operation %d, participant \"%s\", channel \"%s\": %s", m.N, m.Participant, m.Channel, m.What)
	}
	return t.Flush()
}
