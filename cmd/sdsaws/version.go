package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is what this program was built from.
type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision"` // of the repository; empty: not known
	Time     string `json:"time"`     // of the revision
	Modified bool   `json:"modified"` // something was changed since
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion() version {
	v := version{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (v version) String() string {
	text := "sdsaws " + v.Version
	if v.Revision != "" {
		text += fmt.Sprintf(" (%s of %s", v.Revision, v.Time)
		if v.Modified {
			text += ", modified"
		}
		text += ")"
	}
	return fmt.Sprintf("%s, %s, %s", text, v.Go, v.Platform)
}

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show what this program was built from",
		Long: `Show the version of this program, the revision that it was built from, and by which Go for which
platform. With --json it is an object: version, revision, time, modified, go, platform.

Exit status: 0.`,
		Example: "  sdsaws version\n  sdsaws version --json",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(newVersion())
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), newVersion())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}
