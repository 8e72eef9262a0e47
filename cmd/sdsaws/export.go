package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/export"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

type exportFlags struct {
	stored
	all, json bool
	output    string
}

func exportCommand() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export (CHANNEL… | --all) --output FILE --backend BACKEND --namespace NS",
		Short: "Write channels to a file",
		Long: `Write channels to one file, for sdsaws import into any backend: snapshot, history, evicted and
archived history in order, and the retrieval hints of all these messages. It claims nothing, and
what it writes of a channel is of one commit, whoever works on it meanwhile; two channels are of
different moments. --all goes by the index of channels, which on DynamoDB may not have one that was
created in the last moments: name it, or look at the total. docs/format.md has the format: versioned, with a SHA-256 of each
channel and of the whole.

Offsets, commit ids and epochs are not in it, nor when hints expire, nor what was dropped. Channels
that hold nothing are left out. FILE appears when it is whole; "-" is standard output, and what is
shown then goes to standard error.

With --json there is one object a channel: channel, history, evicted, archived, hints, sha256; the
last line is the total: channels, the same sums, and the sha256 of the whole.

Exit status: 0; 1 when a channel can't be read (see sdsaws fsck), or the file can't be written. There
is no file then.

` + storedHelp,
		Example: `  sdsaws export --all --output alice.sdsaws --backend embedded:./store --namespace alice
  sdsaws export /group/1/chat --output - --backend embedded:./store --namespace alice | ssh host sdsaws import - …`,
		RunE: func(cmd *cobra.Command, args []string) error { return exportChannels(cmd, f, args) },
	}
	f.addTo(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "export all channels of the namespace")
	flags.StringVar(&f.output, "output", "", "the file to write, which must not be there yet")
	flags.BoolVar(&f.json, "json", false, "print one JSON object a channel, and the total")
	return cmd
}

func exportChannels(cmd *cobra.Command, f exportFlags, args []string) (err error) {
	switch {
	case f.all == (len(args) > 0):
		return usageError(cmd, errors.New("give either CHANNEL… or --all"))
	case f.output == "":
		return usageError(cmd, errors.New("--output is needed: a file, or - for standard output"))
	case f.output == "-" && isTerminal(cmd.OutOrStdout()):
		return usageError(cmd, errors.New("--output - isn't for a terminal: redirect it to a file"))
	}
	ids, err := parseChannels(args)
	if err == nil {
		err = eachOnce(ids)
	}
	if err != nil {
		return usageError(cmd, err)
	}
	o, err := f.open(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	defer func() { err = errors.Join(err, o.close(ctx)) }()
	file, err := newOutputFile(f.output, cmd.OutOrStdout())
	if err != nil {
		return err
	}
	show := cmd.OutOrStdout()
	if f.output == "-" {
		show = cmd.ErrOrStderr()
	}
	r := newTransferReport(cmd, show, "export", f.json, len(ids))
	if err := o.exportTo(ctx, file, f.all, ids, r); err != nil {
		r.progress.end()
		err = errors.Join(err, file.discard())
		if f.output != "-" {
			err = &soFar{fmt.Sprintf("%s isn't written", f.output), err}
		}
		return err
	}
	return nil
}

func eachOnce(ids []string) error {
	given := map[string]bool{}
	for _, id := range ids {
		if given[id] {
			return fmt.Errorf("channel %s is given twice", quoteID(id))
		}
		given[id] = true
	}
	return nil
}

// exportTo writes channels to a file.
func (o *opened) exportTo(ctx context.Context, file *outputFile, all bool, ids []string, r *transferReport) error {
	w, err := export.NewWriter(file, o.namespace)
	if err != nil {
		return err
	}
	channels := each(ids)
	if all {
		channels = o.adapter.Channels(ctx)
	}
	for id, err := range channels {
		if err != nil {
			return err
		}
		reading, err := o.adapter.ReadChannel(ctx, id)
		switch {
		case err != nil:
			return err
		case reading.Empty && all:
			continue
		case reading.Empty:
			return o.noChannel(id)
		}
		counts, sum, err := o.write(ctx, w, reading, true)
		if err == nil {
			err = r.add(id, counts, sum)
		}
		if err != nil {
			return fmt.Errorf("channel %s: %w", quoteID(id), err)
		}
	}
	total, sum, err := w.Close()
	if err != nil {
		return err
	}
	r.total, r.sum = total, sum
	if err := errors.Join(file.sync(), r.end()); err != nil {
		return err
	}
	return file.appear() // last: whoever gets an error gets no file
}

// hintBatch is how many hints are read or written at a time.
const hintBatch = 25

// write writes a channel as it was read, with hints or without.
func (o *opened) write(ctx context.Context, w *export.Writer, r *sdsaws.Reading, hints bool) (export.Counts, export.Sum, error) {
	fail := func(err error) (export.Counts, export.Sum, error) { return export.Counts{}, export.Sum{}, err }
	if err := w.Channel(r.ChannelID, r.Data.Meta); err != nil {
		return fail(err)
	}
	var ids []string
	if hints {
		for id := range sds.BufferedIDs(r.Data.Meta) {
			if ids = append(ids, string(id)); len(ids) == hintBatch {
				if err := o.writeHints(ctx, w, ids); err != nil {
					return fail(err)
				}
				ids = ids[:0]
			}
		}
	}
	for m, err := range r.History(ctx) {
		if err != nil {
			return fail(err)
		}
		if err := w.Message(export.Place(m.Live, m.ArchivedAt), m.ArchivedAt, m.Encoded); err != nil {
			return fail(err)
		}
		if hints {
			ids = append(ids, m.MessageID)
		}
		if len(ids) >= hintBatch {
			if err := o.writeHints(ctx, w, ids); err != nil {
				return fail(err)
			}
			ids = ids[:0]
		}
	}
	if err := o.writeHints(ctx, w, ids); err != nil {
		return fail(err)
	}
	return w.EndChannel()
}

func (o *opened) writeHints(ctx context.Context, w *export.Writer, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	found, err := o.adapter.Hints(ctx, ids...)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if value, ok := found[id]; ok {
			delete(found, id) // once
			if err := w.Hint(store.Hint{MessageID: id, Value: value}); err != nil {
				return err
			}
		}
	}
	return nil
}

// outputFile is a file that appears when it is whole, or standard output.
type outputFile struct {
	io.Writer
	part *os.File // or nil
	name string
}

func newOutputFile(name string, stdout io.Writer) (*outputFile, error) {
	if name == "-" {
		return &outputFile{Writer: stdout}, nil
	}
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = isThere(name)
		}
		return nil, err
	}
	part, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.part")
	if err != nil {
		return nil, err
	}
	return &outputFile{part, part, name}, nil
}

// sync ends what is written.
func (f *outputFile) sync() error {
	if f.part == nil {
		return nil
	}
	return errors.Join(f.part.Sync(), f.part.Close())
}

// appear gives the file its name, unless something has that name meanwhile.
func (f *outputFile) appear() error {
	if f.part == nil {
		return nil
	}
	part, name := f.part.Name(), f.name
	err := os.Link(part, name)
	if err == nil {
		return os.Remove(part)
	}
	if _, there := os.Lstat(name); there == nil {
		return isThere(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(part, name) // not every file system has links
}

func isThere(name string) error {
	return fmt.Errorf("--output: %s is there already: choose another name", name)
}

func (f *outputFile) discard() error {
	if f.part == nil {
		return nil
	}
	_ = f.part.Close() // it may be closed
	return os.Remove(f.part.Name())
}
