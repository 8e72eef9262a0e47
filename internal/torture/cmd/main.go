// Command cmd plays all random tests, seed after seed, for a time or a number of rounds. It
// stops at the first violation, with how to play that again, and ends with status 1. In the end
// it prints what was played.
package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// part is a test that takes seeds. In args and env FROM and TO are a round's first and last seed,
// COUNT how many they are.
type part struct {
	name, dir, run string
	args, env      []string
	seeds          int            // a round takes so many, one after another
	runs, ops, bad *regexp.Regexp // where the output says how many there were, in its groups
	tell           *regexp.Regexp // lines that are repeated in the end
}

var (
	ofRapid  = regexp.MustCompile(`\[rapid\] OK, passed (\d+) tests`)
	ofModels = regexp.MustCompile(`torture: runs (\d+)`)
	ops      = regexp.MustCompile(`(?:torture|linearizability): .*?operations (\d+)`)
	ofLinear = regexp.MustCompile(`linearizability: runs (\d+)`)
	regions  = regexp.MustCompile(`(\d+) runs, \d+ loads`)
	inRegion = regexp.MustCompile(`runs, (\d+) loads, (\d+) commits, (\d+) takeovers, (\d+) drops, (\d+) sweeps`)
	broken   = regexp.MustCompile(`(?:; (\d+) violations|violations (\d+))`)
	memory   = regexp.MustCompile(`MB of heap for|bytes waited`)
)

// parts are what a round plays.
var parts = []part{
	{name: "models, in memory", dir: "internal/torture", run: "^TestMemory$", seeds: 200,
		args: []string{"-rapid.seed=FROM", "-rapid.checks=COUNT", "-rapid.nofailfile"}, runs: ofModels, ops: ops, bad: broken},
	{name: "models, embedded", dir: "internal/torture", run: "^TestEmbedded$", seeds: 20,
		args: []string{"-rapid.seed=FROM", "-rapid.checks=COUNT", "-rapid.nofailfile"}, runs: ofModels, ops: ops, bad: broken},
	{name: "linearizability, in memory", dir: "internal/torture", run: "^TestClaimsCommitsAndLoadsAreLinearizable$/^memory$",
		seeds: 500, env: []string{"SDSAWS_LINEAR_SEED=FROM", "SDSAWS_LINEAR_RUNS=COUNT"}, runs: ofLinear, ops: ops, bad: broken},
	{name: "linearizability, embedded", dir: "internal/torture", run: "^TestClaimsCommitsAndLoadsAreLinearizable$/^embedded$",
		seeds: 20, env: []string{"SDSAWS_LINEAR_SEED=FROM", "SDSAWS_LINEAR_RUNS=COUNT"}, runs: ofLinear, ops: ops, bad: broken},
	{name: "random histories", dir: ".", run: "^TestRandomHistories$", seeds: 20, env: []string{"SDSAWS_SEEDS=FROM-TO"},
		runs: regexp.MustCompile(`--- PASS: TestRandomHistories/()`)},
	{name: "encodings", dir: ".", run: "^TestWhatIsStoredOnceIsReadWhole$", seeds: 20,
		args: []string{"-rapid.seed=FROM", "-rapid.checks=COUNT", "-rapid.nofailfile"}, runs: ofRapid},
	{name: "two regions", dir: "internal/regions", run: "^Test", seeds: 50,
		env: []string{"SDSAWS_REGIONS_SEED=FROM", "SDSAWS_REGIONS_RUNS=COUNT"}, runs: regions, ops: inRegion, bad: broken},
	{name: "overload", dir: ".", run: "^TestOverload", seeds: 1, env: []string{"SDSAWS_OVERLOAD_SEED=FROM"},
		runs: regexp.MustCompile(`(?m)^--- PASS: TestOverload()`), tell: memory},
}

// played is what was counted of a part.
type played struct {
	runs, ops, bad int
	took           time.Duration
	told           []string
}

func main() {
	err := torture()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func torture() error {
	length := flag.Duration("time", 10*time.Minute, "begin no round after so long")
	rounds := flag.Int("seeds", 0, "play so many rounds, however long that takes")
	first := flag.Int("first", 1, "the first round: a round has the same seeds each time")
	flag.Parse()
	dir, err := os.MkdirTemp("", "torture-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tests, err := build(dir)
	if err != nil {
		return err
	}
	counts := make([]played, len(parts))
	began := time.Now()
	defer func() { table(counts, time.Since(began)) }()
	for round := *first; ; round++ {
		if n := round - *first; n == *rounds && *rounds > 0 || *rounds == 0 && n > 0 && time.Since(began) > *length {
			return nil
		}
		for i := range parts {
			if err := counts[i].play(&parts[i], tests[parts[i].dir], round); err != nil {
				return err
			}
		}
		fmt.Printf("round %d: %s\n", round, time.Since(began).Round(time.Second))
	}
}

// build compiles the tests, and returns them by directory.
func build(to string) (map[string]string, error) {
	tests := map[string]string{}
	for _, p := range parts {
		if tests[p.dir] != "" {
			continue
		}
		file := filepath.Join(to, strconv.Itoa(len(tests))+".test")
		cmd := exec.Command("go", "test", "-c", "-o", file, "./"+p.dir) //nolint:gosec // ours
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("go test -c ./%s: %w", p.dir, err)
		}
		tests[p.dir] = file
	}
	return tests, nil
}

// play plays a round of a part, and counts it.
func (c *played) play(p *part, test string, round int) error {
	from := 1 + (round-1)*p.seeds
	fill := strings.NewReplacer("FROM", strconv.Itoa(from), "TO", strconv.Itoa(from+p.seeds-1), "COUNT", strconv.Itoa(p.seeds))
	var args, env []string
	for _, a := range p.args {
		args = append(args, fill.Replace(a))
	}
	for _, e := range p.env {
		env = append(env, fill.Replace(e))
	}
	cmd := exec.Command(test, append([]string{"-test.v", "-test.run=" + p.run, "-test.timeout=1h"}, args...)...) //nolint:gosec // ours
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), env...)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	c.took += time.Since(began)
	runs := sum(p.runs, out)
	c.runs += runs
	c.ops += sum(p.ops, out)
	c.bad += sum(p.bad, out)
	c.told = lines(p.tell, out)
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		c.bad = max(c.bad, 1)
		again := append(env, "go", "test", "-count=1", "-v", "-run='"+p.run+"'", "./"+p.dir) //nolint:gocritic // another one
		return fmt.Errorf("%s\n%s: a violation in round %d. Again:\n  %s", out, p.name, round, strings.Join(append(again, args...), " "))
	}
	if err == nil && runs == 0 {
		err = fmt.Errorf("%s\n%s: round %d has played nothing", out, p.name, round)
	}
	return err
}

// sum adds up the groups of all matches; an empty one counts 1.
func sum(r *regexp.Regexp, out []byte) (total int) {
	if r == nil {
		return 0
	}
	for _, m := range r.FindAllSubmatch(out, -1) {
		if len(m) == 2 && len(m[1]) == 0 {
			total++
		}
		for _, group := range m[1:] {
			n, _ := strconv.Atoi(string(group)) // 0 where a group has not taken part
			total += n
		}
	}
	return total
}

func lines(r *regexp.Regexp, out []byte) (all []string) {
	if r == nil {
		return nil
	}
	for line := range bytes.Lines(out) {
		if r.Match(line) {
			all = append(all, strings.TrimSpace(string(line)))
		}
	}
	return all
}

// table prints what was counted.
func table(counts []played, took time.Duration) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "part\truns\toperations\tviolations\tseconds\t")
	bad := 0
	for i, c := range counts {
		operations := "not counted"
		if parts[i].ops != nil {
			operations = strconv.Itoa(c.ops)
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%.0f\t\n", parts[i].name, c.runs, operations, c.bad, c.took.Seconds())
		bad += c.bad
	}
	_ = w.Flush()
	for i, c := range counts {
		for _, line := range c.told {
			fmt.Printf("%s: %s\n", parts[i].name, line)
		}
	}
	fmt.Printf("%d violations in %s\n", bad, cmp.Or(took.Round(time.Second), time.Second))
}
