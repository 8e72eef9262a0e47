package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

type dropFlags struct {
	stored
	yes, json bool
}

func dropCommand() *cobra.Command {
	var f dropFlags
	cmd := &cobra.Command{
		Use:   "drop CHANNEL --backend BACKEND --namespace NS",
		Short: "Delete all that is stored of a channel",
		Long: `Delete all that is stored of a channel: snapshot, messages, archived segments and large values in
all their versions, and the retrieval hints of its messages. It claims the channel: whoever
holds it is fenced. What is left is an empty head of some 200 bytes. What backups and replicas
keep isn't touched; without them there is no way back.

On a terminal it asks; elsewhere it needs --yes. It may be called again after an error or an
interrupt, and a sweep goes on with it too: from its first write on the channel is empty.

With --json it prints an object: channel and dropped (true).

Exit status: 0 when nothing of it is left; 1 when there is no such channel, or the answer wasn't yes.

` + storedHelp,
		Example: `  sdsaws drop /group/1/chat --backend embedded:./store --namespace alice
  sdsaws drop '\xff\x00id' --yes --backend embedded:./store --namespace alice --json`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return drop(cmd, f, args[0]) },
	}
	f.addTo(cmd)
	cmd.Flags().BoolVar(&f.yes, "yes", false, "don't ask")
	cmd.Flags().BoolVar(&f.json, "json", false, "print a JSON object")
	return cmd
}

func drop(cmd *cobra.Command, f dropFlags, arg string) (err error) {
	id, err := parseChannel(arg)
	if err != nil {
		return usageError(cmd, err)
	}
	if !f.yes && !isTerminal(cmd.InOrStdin()) {
		return usageError(cmd, errors.New("standard input is no terminal to ask on: --yes drops without asking"))
	}
	o, err := f.open(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	defer func() { err = errors.Join(err, o.close(ctx)) }()
	if err := o.mustHave(ctx, id); err != nil {
		return err
	}
	if !f.yes {
		if err := o.confirm(cmd, id); err != nil {
			return err
		}
	}
	if err := o.adapter.DropChannel(ctx, id); err != nil {
		if ctx.Err() != nil {
			err = &soFar{fmt.Sprintf("channel %s may be dropped in part: drop it again", quoteID(id)), err}
		}
		return err
	}
	if f.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
			Channel string `json:"channel"`
			Dropped bool   `json:"dropped"`
		}{escapeID(id), true})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "channel %s is dropped\n", quoteID(id))
	return err
}

// confirm asks whether a channel shall be dropped. An answer isn't waited for after an interrupt.
func (o *opened) confirm(cmd *cobra.Command, id string) error {
	what := fmt.Sprintf("channel %s of namespace %s", quoteID(id), quoteID(o.namespace))
	if s, err := o.adapter.Status(cmd.Context(), id); err == nil { // what is damaged can be dropped too
		what += fmt.Sprintf(" (%s)", plural(s.History, "message"))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Drop %s, with its archive and hints? There is no way back. Type yes: ", what)
	answer := make(chan string, 1)
	go func() { // it ends with the process when nobody answers
		line, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n') // no answer is no
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-cmd.Context().Done():
		fmt.Fprintln(cmd.ErrOrStderr())
		return &soFar{"nothing is dropped", cmd.Context().Err()}
	case got := <-answer:
		if got != "yes" {
			return errors.New("nothing is dropped: the answer wasn't yes")
		}
	}
	return nil
}
