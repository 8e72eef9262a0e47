package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws"
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

Nothing is written or dropped before the whole file was read, its sums compared ("-", standard
input, is copied to a temporary file for that), and all of it fits the backend, and none of the
channels may hold anything yet. --replace drops those that do. Each channel is read back after it
was written, its hints too, and compared with the file. An import claims the channels.

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
	return i.into(o)
}

// into imports what was verified.
func (i *importer) into(o *opened) (err error) {
	i.to = o
	i.hints, err = sdsaws.New(sdsaws.Backend{Log: o.backend, Hints: o.backend, Archive: o.backend.Archive()},
		&sdsaws.Options{Namespace: o.namespace, HintTTL: i.f.hintTTL})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.hints.Close(context.WithoutCancel(i.ctx))) }()
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
		file, err := openRegular(name)
		if err != nil {
			return nil, fmt.Errorf("%w; - is standard input", err)
		}
		return &readable{file, false}, nil
	}
	file, err := os.CreateTemp("", "sdsaws-import-")
	if err != nil {
		return nil, err
	}
	r := &readable{file, true}
	in := waiting(cmd.Context(), name, cmd.InOrStdin())
	if _, err := io.Copy(file, in); err != nil {
		return nil, errors.Join(err, in.Close(), r.close())
	}
	return r, in.Close()
}
