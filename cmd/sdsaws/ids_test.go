package main

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestWhatIsShownCanBeGivenBack: every id, whatever its bytes, is accepted as it is shown.
func TestWhatIsShownCanBeGivenBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := string(rapid.SliceOf(rapid.Byte()).Draw(t, "id"))
		for _, shown := range []string{quoteID(id), escapeID(id)} {
			if got, err := parseID(shown); err != nil || got != id {
				t.Fatalf("%s came back as %q, %v", shown, got, err)
			}
		}
		if plain := !strings.HasPrefix(id, `"`) && !strings.Contains(id, `\`); plain {
			if got, err := parseID(id); err != nil || got != id {
				t.Fatalf("%q was read as %q, %v", id, got, err)
			}
		}
	})
}

func TestParseID(t *testing.T) {
	for arg, want := range map[string]string{
		"":                "",
		"plain":           "plain",
		`a"b`:             `a"b`,
		"'single'":        "'single'",
		"`raw`":           "`raw`",
		`\xff`:            "\xff",
		`\\xff`:           `\xff`,
		`\"a\"`:           `"a"`,
		`\x00\u00e4 \303`: "\x00ä \xc3",
		"\xff":            "\xff",
		`""`:              "",
		`"plain"`:         "plain",
		`"\xff\x00\n"`:    "\xff\x00\n",
		`"\"quoted\""`:    `"quoted"`,
		`"ä"`:             "ä",
		`"\u00e4\303\a"`:  "ä\xc3\a",
	} {
		if got, err := parseID(arg); err != nil || got != want {
			t.Errorf("%s was read as %q, %v, want %q", arg, got, err, want)
		}
	}
	for _, bad := range []string{`"`, `"open`, `"a"b`, `"a" `, `"\x"`, `"\'"`, `"a\"`, `\`, `a\x4`, `\'`, `\ud800`} {
		if got, err := parseID(bad); err == nil {
			t.Errorf("%q was read as %q, want an error", bad, got)
		}
	}
}
