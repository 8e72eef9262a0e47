package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/export"
	"github.com/sdsaws/sdsaws/store"
)

type importFlags struct {
	stored
	replace, check, json bool
	hintTTL              time.Duration
}

func importCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import FILE [CHANNEL…] --backend BACKEND --namespace NS",
		Short: "Read channels from a file of sdsaws export",
		Long: `Read channels from a file that sdsaws export has written, all of them or those that are named,
into any backend and namespace. Afterwards a load gives back the same bytes, and the history is the
same in the same order: what was archived is archived again, with the times that it had.

Nothing is written before the whole file was read and its sums compared ("-", standard
input, is copied to a temporary file for that), and none of the channels may hold anything yet.
--replace drops those that do. Each channel is read back after it was written, and its sum compared
with the file's. An import claims the channels.

A channel loads as empty until it is whole. After an error or an interrupt those that were shown are
whole; import the others again, with --replace. The directory of an embedded backend is made where
there is none. Hints don't expire, unless --hint-ttl says so.

With --check it only reads the file, and needs no backend. With --json there is one object a channel,
and the total, as with sdsaws export.

Exit status: 0 when all is there, and verified; 1 when it isn't.

` + storedHelp,
		Example: `  sdsaws import alice.sdsaws --backend aws:state=sds-state,hints=sds-hints,bucket=sds-archive --namespace alice
  sdsaws import alice.sdsaws --check --json`,
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return importFile(cmd, f, args[0], args[1:]) },
	}
	f.addTo(cmd)
	f.create = true
	flags := cmd.Flags()
	flags.BoolVar(&f.replace, "replace", false, "drop channels that hold something, and then import them")
	flags.BoolVar(&f.check, "check", false, "only read the file, and say what it has")
	flags.DurationVar(&f.hintTTL, "hint-ttl", 0, "let hints expire after so long (default: never)")
	flags.BoolVar(&f.json, "json", false, "print one JSON object a channel, and the total")
	return cmd
}

func importFile(cmd *cobra.Command, f importFlags, name string, args []string) (err error) {
	ids, err := parseChannels(args)
	switch {
	case err != nil:
		return usageError(cmd, err)
	case f.hintTTL < 0:
		return usageError(cmd, errors.New("--hint-ttl must be above 0"))
	}
	if !f.check {
		if err := f.complete(cmd); err != nil {
			return err
		}
	}
	file, err := inputFile(cmd, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.close()) }()
	i := &importer{ctx: cmd.Context(), f: f, file: file.File, wanted: ids}
	if err := i.verify(); err != nil {
		return fmt.Errorf("%s: %w; nothing is imported", name, err)
	}
	if err := i.haveAll(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	i.report = newTransferReport(cmd, cmd.OutOrStdout(), "import", f.json, len(i.channels))
	i.report.sum = i.sum
	if f.check {
		return i.show()
	}
	o, err := f.openWith(cmd, sdsaws.Options{
		// What waits to be archived waits here too.
		ArchiveMessages: math.MaxInt, ArchiveBytes: math.MaxInt64, ArchiveAge: math.MaxInt64})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close(cmd.Context())) }()
	i.to = o
	i.hints, err = sdsaws.New(sdsaws.Backend{Log: o.backend, Hints: o.backend, Archive: o.backend.Archive()},
		&sdsaws.Options{Namespace: o.namespace, HintTTL: f.hintTTL})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.hints.Close(context.WithoutCancel(cmd.Context()))) }()
	if err := i.mayWrite(); err != nil {
		return err
	}
	if err := i.write(); err != nil {
		i.report.progress.end()
		return &soFar{i.progress(), err}
	}
	return i.report.end()
}

// readable is a file that can be read twice.
type readable struct {
	*os.File
	temporary bool
}

func (r *readable) close() error {
	err := r.Close()
	if r.temporary {
		err = errors.Join(err, os.Remove(r.Name()))
	}
	return err
}

func inputFile(cmd *cobra.Command, name string) (*readable, error) {
	if name != "-" {
		file, err := os.Open(name) //nolint:gosec // it was told to
		if err != nil {
			return nil, err
		}
		if info, err := file.Stat(); err == nil && !info.Mode().IsRegular() {
			_ = file.Close() // it was only opened
			return nil, fmt.Errorf("%s is no regular file; - is standard input", name)
		}
		return &readable{file, false}, nil
	}
	file, err := os.CreateTemp("", "sdsaws-import-")
	if err != nil {
		return nil, err
	}
	r := &readable{file, true}
	if _, err := io.Copy(file, &interruptible{cmd.Context(), cmd.InOrStdin()}); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// interruptible ends a copy with the context.
type interruptible struct {
	ctx context.Context
	in  io.Reader
}

func (i *interruptible) Read(b []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.in.Read(b)
}

// inFile is a channel of the file.
type inFile struct {
	id     string
	counts export.Counts
	sum    export.Sum
}

// importer brings the channels of a file into a store.
type importer struct {
	ctx      context.Context
	f        importFlags
	file     *os.File
	wanted   []string // all when there are none
	channels []inFile // those of the file that are wanted
	sum      export.Sum
	to       *opened
	hints    *sdsaws.Adapter // for hints alone: the other one is busy with a channel meanwhile
	occupied []string        // channels that are dropped before
	report   *transferReport
	done     int
}

func (i *importer) wants(id string) bool { return len(i.wanted) == 0 || slices.Contains(i.wanted, id) }

// read reads the file from its begin on.
func (i *importer) read(each func(r *export.Reader, item *export.Item) error) error {
	if _, err := i.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r, err := export.NewReader(&interruptible{i.ctx, i.file})
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		if err := i.ctx.Err(); err != nil {
			return err
		}
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = each(r, item)
		}
		if err != nil {
			return err
		}
	}
}

// verify reads all of the file.
func (i *importer) verify() error {
	id := ""
	return i.read(func(_ *export.Reader, item *export.Item) error {
		switch item.Kind {
		case export.Channel:
			id = item.ID
		case export.EndChannel:
			if i.wants(id) {
				i.channels = append(i.channels, inFile{id, item.Counts, item.Sum})
			}
		case export.End:
			i.sum = item.Sum
		}
		return nil
	})
}

func (i *importer) haveAll() error {
	for _, id := range i.wanted {
		if !slices.ContainsFunc(i.channels, func(c inFile) bool { return c.id == id }) {
			return fmt.Errorf("it has no channel %s; --check shows what it has", quoteID(id))
		}
	}
	return nil
}

// show shows what the file has.
func (i *importer) show() error {
	for _, c := range i.channels {
		i.report.total.Add(c.counts)
		if err := i.report.add(c.id, c.counts, c.sum); err != nil {
			return err
		}
	}
	return i.report.end()
}

// mayWrite looks for channels that hold something.
func (i *importer) mayWrite() error {
	for _, c := range i.channels {
		s, err := i.to.adapter.Status(i.ctx, c.id)
		switch {
		case i.f.replace && (err != nil && i.ctx.Err() == nil || err == nil && !s.Empty):
			i.occupied = append(i.occupied, c.id) // what is damaged can be dropped too
		case err != nil:
			return err
		case !s.Empty:
			return fmt.Errorf("channel %s of namespace %s isn't empty; nothing is imported: drop it, or replace it with --replace",
				quoteID(c.id), quoteID(i.to.namespace))
		}
	}
	return nil
}

// progress says what was imported before something failed.
func (i *importer) progress() string {
	if i.done == len(i.channels) {
		return "all channels are imported"
	}
	return fmt.Sprintf("%d of %d channels are imported; from %s on, import them with --replace",
		i.done, len(i.channels), quoteID(i.channels[i.done].id))
}

// write imports one channel after the other.
func (i *importer) write() error {
	return i.read(func(r *export.Reader, item *export.Item) error {
		if item.Kind != export.Channel || !i.wants(item.ID) {
			return nil
		}
		c := i.channels[i.done]
		if item.ID != c.id {
			return errors.New("the file has changed since it was verified")
		}
		if err := i.channel(r, c); err != nil {
			return fmt.Errorf("channel %s: %w", quoteID(c.id), err)
		}
		i.done++
		i.report.total.Add(c.counts)
		return i.report.add(c.id, c.counts, c.sum)
	})
}

// channel imports the channel whose first record was read, and compares it.
func (i *importer) channel(r *export.Reader, c inFile) error {
	if slices.Contains(i.occupied, c.id) {
		if err := i.to.adapter.DropChannel(i.ctx, c.id); err != nil {
			return err
		}
	}
	first, err := r.Next()
	if err != nil {
		return err
	}
	s := &source{importer: i, r: r}
	if err := i.to.adapter.Restore(i.ctx, c.id, first.Snapshot, s.history); err != nil {
		return err
	}
	if s.end == nil || s.end.Sum != c.sum {
		return errors.New("the file has changed since it was verified")
	}
	reading, err := i.to.adapter.ReadChannel(i.ctx, c.id)
	if err != nil {
		return err
	}
	w, err := export.NewWriter(io.Discard, "")
	if err != nil {
		return err
	}
	_, sum, err := i.to.write(i.ctx, w, reading, false)
	if err == nil && sum != c.sum {
		err = errors.New("what was read back has another sum than the file: did others work on it?")
	}
	return err
}

// source is the rest of a channel's records in the file.
type source struct {
	*importer
	r       *export.Reader
	waiting int          // hints that aren't known to be stored
	end     *export.Item // of the channel
}

// history yields the messages, and stores the hints on the way.
func (s *source) history(yield func(sdsaws.HistoryMessage, error) bool) {
	for s.end == nil {
		item, err := s.r.Next()
		if err == nil {
			err = s.ctx.Err()
		}
		switch {
		case err != nil:
		case item.Kind == export.EndChannel:
			s.end = item
			err = s.storeHints()
		case item.Kind == export.Hint:
			err = s.hint(item.Hint)
		default:
			m := sdsaws.HistoryMessage{Encoded: item.Message, Live: item.Where == export.History, ArchivedAt: item.ArchivedAt}
			if !yield(m, nil) {
				return
			}
		}
		if err != nil {
			yield(sdsaws.HistoryMessage{}, err)
			return
		}
	}
}

func (s *source) hint(h store.Hint) error {
	if err := s.hints.SetRetrievalHint(s.ctx, h.MessageID, h.Value); err != nil {
		return err
	}
	if s.waiting++; s.waiting < hintBatch {
		return nil
	}
	return s.storeHints()
}

func (s *source) storeHints() error {
	s.waiting = 0
	return s.hints.Flush(s.ctx)
}
