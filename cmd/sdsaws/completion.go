package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:   "completion (bash | zsh | fish)",
		Short: "Write a script that completes commands and flags in a shell",
		Long: `Write a script for a shell to standard output: with it, Tab completes commands and flags.

Exit status: 0.`,
		Example: `  source <(sdsaws completion bash)                                       # now; in ~/.bashrc: always
  sdsaws completion zsh >"${fpath[1]}/_sdsaws"                           # then begin a new shell
  sdsaws completion fish >~/.config/fish/completions/sdsaws.fish`,
		Args:                  usage(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs:             shells,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			}
			return fmt.Errorf("%w: %q is none of bash, zsh and fish", errUsage, args[0])
		},
	}
}
