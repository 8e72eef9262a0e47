// Package ordealtest plays the scenarios of package ordeal in a test.
package ordealtest

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws/internal/ordeal"
)

// most is how many violations are told with all that led to them.
const most = 10

// Run plays a part of the scenarios on sites, and fails the test for each violation. The
// environment may say otherwise: SDSAWS_ORDEAL_PART is how many, which (1001-2000), or "all"; SDSAWS_ORDEAL_SEED
// chooses them, by default the same ones each time, so that a change is judged by what it does; SDSAWS_ORDEAL_ONLY is a regular expression for their names, and then all that
// it matches are played; SDSAWS_ORDEAL_FAILFAST ends with the first violation.
func Run(t *testing.T, part int, sites ...ordeal.Site) {
	t.Helper()
	o, err := options(part)
	if err != nil {
		t.Fatal(err)
	}
	o.Sites = sites
	if o.Part > 0 {
		t.Logf("SDSAWS_ORDEAL_SEED=%d SDSAWS_ORDEAL_PART=%d-%d", o.Seed, o.Skip+1, o.Skip+o.Part)
	}
	o.OnProgress = progress(time.Now())
	// Whatever ends the test ends the process: a scenario is never left in the middle.
	r, err := ordeal.Run(context.WithoutCancel(t.Context()), o)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range r.Violations {
		if i < most {
			t.Errorf("%v\nagain: SDSAWS_ORDEAL_ONLY='^%s$' go test -run '^%s$'", v, regexp.QuoteMeta(v.Scenario), t.Name())
		} else {
			t.Errorf("%s: %s", v.Scenario, v.What)
		}
	}
	t.Log(r)
}

func options(part int) (o ordeal.Options, err error) {
	o.Part, o.Seed = part, 1
	if s := os.Getenv("SDSAWS_ORDEAL_SEED"); s != "" {
		if o.Seed, err = strconv.ParseInt(s, 10, 64); err != nil {
			return o, fmt.Errorf("SDSAWS_ORDEAL_SEED: %w", err)
		}
	}
	if s := os.Getenv("SDSAWS_ORDEAL_ONLY"); s != "" {
		o.Part = 0
		if o.Only, err = regexp.Compile(s); err != nil {
			return o, fmt.Errorf("SDSAWS_ORDEAL_ONLY: %w", err)
		}
	}
	switch s := os.Getenv("SDSAWS_ORDEAL_PART"); s {
	case "":
	case "all":
		o.Part = 0
	default:
		first, last, some := strings.Cut(s, "-")
		if !some {
			first, last = "1", s
		}
		from, bad := strconv.Atoi(first)
		to, worse := strconv.Atoi(last)
		if bad != nil || worse != nil || from < 1 || to < from {
			return o, fmt.Errorf("SDSAWS_ORDEAL_PART=%s is no number, no part such as 1001-2000, and not all", s)
		}
		o.Skip, o.Part = from-1, to-from+1
	}
	o.FailFast = os.Getenv("SDSAWS_ORDEAL_FAILFAST") != ""
	return o, nil
}

// progress tells people on stderr, twice a minute.
func progress(began time.Time) func(done, of, violations int) {
	last := began
	return func(done, of, violations int) {
		if time.Since(last) < 30*time.Second {
			return
		}
		last = time.Now()
		fmt.Fprintf(os.Stderr, "%d of %d scenarios, %d violations in %.0f s\n", done, of, violations, time.Since(began).Seconds())
	}
}
