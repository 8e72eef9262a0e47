package sdsaws_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain has rapid draw the same each time, so that a change is judged by what it does and not by
// chance. -rapid.seed=N draws otherwise.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.seed" })
	if !given {
		if err := flag.Set("rapid.seed", "1"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
