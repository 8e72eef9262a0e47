package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws"
)

func hintCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hint (get | set)",
		Short: "Read and set retrieval hints of messages",
		Long: `Read and set the retrieval hints of messages, by which they can be found outside SDS. A hint
belongs to a message id in a namespace, whatever channel the message is in.

Exit status: as of its two commands.`,
		Example: `  sdsaws hint get 3f2a --backend embedded:./store --namespace alice
  sdsaws hint set 3f2a 'bzz://\x01\x02' --backend embedded:./store --namespace alice`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError(cmd, errors.New("give either get or set"))
		},
	}
	cmd.AddCommand(hintGetCommand(), hintSetCommand())
	return cmd
}

type hintGetFlags struct {
	stored
	json, raw bool
}

func hintGetCommand() *cobra.Command {
	var f hintGetFlags
	cmd := &cobra.Command{
		Use:   "get ID… --backend BACKEND --namespace NS",
		Short: "Show retrieval hints",
		Long: `Show the retrieval hints of messages, escaped as ids are. With --raw, for one message, it writes
the hint's bytes as they are. With --json it prints one object a message: message_id and hint
(base64; null: there is none).

Exit status: 0; 1 when a message has no hint, or it has expired.

` + storedHelp,
		Example: `  sdsaws hint get 3f2a 9b01 --backend embedded:./store --namespace alice
  sdsaws hint get '\xff\x00id' --raw --backend embedded:./store --namespace alice >hint`,
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return hintGet(cmd, f, args) },
	}
	f.addTo(cmd)
	cmd.Flags().BoolVar(&f.raw, "raw", false, "write the bytes of one hint")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object a message")
	return cmd
}

type hintLine struct {
	MessageID string  `json:"message_id"`
	Hint      *[]byte `json:"hint"`
}

func hintGet(cmd *cobra.Command, f hintGetFlags, args []string) (err error) {
	ids := make([]string, len(args))
	for i, arg := range args {
		if ids[i], err = parseID(arg); err != nil {
			return usageError(cmd, err)
		}
	}
	if f.raw && (f.json || len(ids) > 1) {
		return usageError(cmd, errors.New("--raw is for one message, and not with --json"))
	}
	o, err := f.open(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close(cmd.Context())) }()
	found, err := o.adapter.Hints(cmd.Context(), ids...)
	// Where some are damaged, the others come all the same.
	if err := errors.Join(showHints(cmd.OutOrStdout(), f, ids, found), err); err != nil {
		return err
	}
	for _, id := range ids {
		if _, ok := found[id]; !ok {
			return fmt.Errorf("message %s has no retrieval hint in namespace %s", quoteID(id), quoteID(o.namespace))
		}
	}
	return nil
}

func showHints(w io.Writer, f hintGetFlags, ids []string, found map[string][]byte) error {
	table := &columns{w: w, header: []string{"ID", "BYTES", "HINT"}}
	lines := json.NewEncoder(w)
	for _, id := range ids {
		hint, ok := found[id]
		var err error
		switch {
		case f.json:
			l := hintLine{MessageID: escapeID(id)}
			if ok {
				hint = orEmpty(hint)
				l.Hint = &hint
			}
			err = lines.Encode(l)
		case !ok:
		case f.raw:
			_, err = w.Write(hint)
		default:
			err = table.row(quoteID(id), fmt.Sprint(len(hint)), quoteID(string(hint)))
		}
		if err != nil {
			return err
		}
	}
	return table.flush()
}

type hintSetFlags struct {
	stored
	file string
	ttl  time.Duration
	json bool
}

func hintSetCommand() *cobra.Command {
	var f hintSetFlags
	cmd := &cobra.Command{
		Use:   "set ID (HINT | --file FILE) --backend BACKEND --namespace NS",
		Short: "Set the retrieval hint of a message",
		Long: `Set the retrieval hint of a message, in the place of one that is there. HINT is escaped as ids
are; a file's bytes are taken as they are ("-" is standard input). It is stored when the command
ends. A participant at work that has set the same hint before may not set it again: it
remembers what it has written.

With --json it prints an object: message_id and bytes.

Exit status: 0 when it is stored.

` + storedHelp,
		Example: `  sdsaws hint set 3f2a 'bzz://\x01\x02' --backend embedded:./store --namespace alice
  sdsaws hint set 3f2a --file hint --ttl 720h --backend embedded:./store --namespace alice`,
		Args: usage(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error { return hintSet(cmd, f, args) },
	}
	f.addTo(cmd)
	cmd.Flags().StringVar(&f.file, "file", "", "take the hint from this file")
	cmd.Flags().DurationVar(&f.ttl, "ttl", 0, "let it expire after so long (default: never)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print a JSON object")
	return cmd
}

// maxHintFile is more than any backend keeps of a hint.
const maxHintFile = 512 << 20

func (f *hintSetFlags) hint(ctx context.Context, stdin io.Reader, args []string) (hint []byte, err error) {
	switch {
	case (len(args) == 2) == (f.file != ""):
		return nil, fmt.Errorf("%w: give either HINT or --file", errUsage)
	case f.ttl < 0:
		return nil, fmt.Errorf("%w: --ttl must be above 0", errUsage)
	case len(args) == 2:
		text, err := parseID(args[1])
		if err != nil {
			err = fmt.Errorf("%w: %w", errUsage, err)
		}
		return []byte(text), err
	}
	in := waiting(ctx, f.file, stdin)
	defer func() { err = errors.Join(err, in.Close()) }()
	return io.ReadAll(io.LimitReader(in, maxHintFile))
}

func hintSet(cmd *cobra.Command, f hintSetFlags, args []string) (err error) {
	id, err := parseID(args[0])
	if err != nil {
		return usageError(cmd, err)
	}
	hint, err := f.hint(cmd.Context(), cmd.InOrStdin(), args)
	if err != nil {
		return err
	}
	o, err := f.openWith(cmd, sdsaws.Options{HintTTL: f.ttl})
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	defer func() { err = errors.Join(err, o.close(ctx)) }()
	if err := o.adapter.SetRetrievalHint(ctx, id, hint); err != nil {
		return err
	}
	if err := o.adapter.Flush(ctx); err != nil {
		return err
	}
	if f.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
			MessageID string `json:"message_id"`
			Bytes     int    `json:"bytes"`
		}{escapeID(id), len(hint)})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "message %s has a hint of %d bytes\n", quoteID(id), len(hint))
	return err
}
