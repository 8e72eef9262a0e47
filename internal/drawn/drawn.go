// Package drawn has rapid draw the same each time, so that a change is judged by what it does and not
// by chance.
package drawn

import (
	"flag"
	"os"
	"testing"

	_ "pgregory.net/rapid" // has the flag
)

// Main is the TestMain of a package. -rapid.seed=N draws otherwise.
func Main(m *testing.M) {
	flag.Parse()
	if !Given("rapid.seed") {
		if err := flag.Set("rapid.seed", "1"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// Given reports whether a flag was given on the command line.
func Given(name string) (given bool) {
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}
