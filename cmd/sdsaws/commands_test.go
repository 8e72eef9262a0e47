package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// elsewhere says why a command lacks something that all others have.
var elsewhere = map[string]string{
	"completion --json":  "what it writes is a script",
	"hint --json":        "its two commands have it",
	"hint exits 0":       "its two commands have it",
	"init exits 0":       "needs AWS: TestCommandsOnAWS in integration",
	"completion exits 1": "only its command line can be wrong",
	"version exits 1":    "only its command line can be wrong",
	"hint exits 1":       "its two commands have it",
	"hint docs/cli.md":   "its two commands are there",
}

// TestEveryCommandIsWhole: it has an example, --json and its exit statuses in its help, a script of its own with a good and a
// bad path, and a line in docs/cli.md.
func TestEveryCommandIsWhole(t *testing.T) {
	page, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for cmd := range commands(rootCommand()) {
		n++
		name := strings.TrimPrefix(cmd.CommandPath(), "sdsaws ")
		need := func(what string, there bool) {
			if _, known := elsewhere[name+" "+what]; !there && !known {
				t.Errorf("%s: no %s", name, what)
			}
		}
		need("example", strings.Contains(cmd.Example, "sdsaws "+strings.Fields(name)[0]))
		need("--json", cmd.Flags().Lookup("json") != nil)
		need("exit status in its help", strings.Contains(cmd.Long, "Exit status: "))
		need("docs/cli.md", strings.Contains(string(page), "| `"+name+"` | "))
		script, err := os.ReadFile(filepath.Join("testdata", strings.Fields(name)[0]+".txtar"))
		need("script", err == nil)
		for _, status := range []string{"0", "1", "2"} {
			line := regexp.MustCompile(`(?m)^(\[linux\] )?exits ` + status + ` sdsaws ` + name + `\b`)
			need("exits "+status, line.Match(script))
		}
	}
	if n < 19 {
		t.Errorf("only %d commands were looked at", n)
	}
}

// commands yields all commands below one.
func commands(root *cobra.Command) func(yield func(*cobra.Command) bool) {
	return func(yield func(*cobra.Command) bool) {
		for _, cmd := range root.Commands() {
			if cmd.Name() == "help" {
				continue
			}
			if !yield(cmd) {
				return
			}
			for sub := range commands(cmd) {
				if !yield(sub) {
					return
				}
			}
		}
	}
}
