// Command sdsaws plays, sets up and shows the channels that sdsaws keeps.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit statuses, documented in sdsaws --help.
const (
	exitFailed = 1 // what was asked for could not be done, or a check failed
	exitUsage  = 2 // the command line can't be understood
	exitSignal = 130
)

const about = `sdsaws keeps the channels of SDS participants on AWS.

Exit status: 0 when all went well; 1 when something failed or a check did not hold;
2 when the command line can't be understood; 130 after Ctrl-C.`

// errUsage marks errors of the command line itself.
var errUsage = errors.New("usage")

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := rootCommand().ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "sdsaws: interrupted")
		return exitSignal
	}
	fmt.Fprintf(os.Stderr, "sdsaws: %v\n", err)
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitFailed
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "sdsaws",
		Short:         "Keep the channels of SDS participants on AWS",
		Long:          about,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, cmd.CommandPath())
	})
	root.AddCommand(demoCommand(), replayCommand(), initCommand())
	return root
}

// usage makes what args finds wrong a usage error.
func usage(args cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := args(cmd, given); err != nil {
			return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, cmd.CommandPath())
		}
		return nil
	}
}
