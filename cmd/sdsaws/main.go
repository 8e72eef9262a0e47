// Command sdsaws plays, sets up and shows the channels that sdsaws keeps.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit statuses, documented in sdsaws --help.
const (
	exitFailed   = 1 // what was asked for could not be done, or a check failed
	exitUsage    = 2 // the command line can't be understood
	exitRepaired = 3 // fsck has found something, and repaired all of it
	exitLeft     = 4 // fsck has found something that is still there
	exitSignal   = 130
)

const about = `sdsaws keeps the channels of SDS participants on AWS.

Exit status: 0 when all went well; 1 when something failed or a check did not hold;
2 when the command line can't be understood; 3 when fsck has repaired all that it found, 4 when
it found something that is still there; 130 after Ctrl-C or SIGTERM; a second
one ends it at once.

` + idHelp

// errUsage marks errors of the command line itself.
var errUsage = errors.New("usage")

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process, whatever it waits for
	err := rootCommand().ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		text := "sdsaws: interrupted"
		if done := (*soFar)(nil); errors.As(err, &done) {
			text += ": " + done.what
		}
		fmt.Fprintln(os.Stderr, text)
		return exitSignal
	}
	tell(os.Stderr, err)
	known := (*exitError)(nil)
	switch {
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.As(err, &known):
		return known.status
	}
	return exitFailed
}

// tell shows an error. Those of package sdsaws begin like the command's.
func tell(w io.Writer, err error) {
	fmt.Fprintf(w, "sdsaws: %s\n", strings.TrimPrefix(err.Error(), "sdsaws: "))
}

// exitError is an error with an exit status of its own.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string { return e.err.Error() }

// Unwrap returns the error.
func (e *exitError) Unwrap() error { return e.err }

// soFar is an error that came when a part was done.
type soFar struct {
	what string // was done, and how to go on
	err  error
}

func (e *soFar) Error() string { return e.err.Error() + " (" + e.what + ")" }

// Unwrap returns the error.
func (e *soFar) Unwrap() error { return e.err }

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "sdsaws",
		Short:         "Keep the channels of SDS participants on AWS",
		Long:          about,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usage(cobra.NoArgs),
		Version:       newVersion().String(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(usageError)
	root.AddCommand(demoCommand(), replayCommand(), initCommand(), sweepCommand(), fsckCommand(),
		channelsCommand(), inspectCommand(), historyCommand(), messageCommand(), hintCommand(),
		dropCommand(), exportCommand(), importCommand(), doctorCommand(), watchCommand(),
		completionCommand(), versionCommand())
	root.CompletionOptions.DisableDefaultCmd = true
	return root
}

// usageError makes err an error of the command line itself.
func usageError(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, cmd.CommandPath())
}

// usage makes what args finds wrong a usage error.
func usage(args cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := args(cmd, given); err != nil {
			return usageError(cmd, err)
		}
		return nil
	}
}
