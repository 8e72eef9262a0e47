package ordeal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options say what [Run] plays, and where.
type Options struct {
	// Sites are where scenarios are played, one at a time on each.
	Sites []Site

	// Seed, unless it is 0, is for the order of the scenarios. Skip is how many are left out at the
	// begin, Part how many are played then; 0 is all.
	Seed int64
	Skip int
	Part int

	// Only chooses scenarios by their names. Nil is all.
	Only *regexp.Regexp

	// FailFast ends the run at its first violation.
	FailFast bool

	// OnProgress is called after each scenario, with how many violations there were.
	OnProgress func(done, of, violations int)
}

// Report is what a run has done and found.
type Report struct {
	Requests  map[string]int // of the scenario without faults, by operation
	Faults    map[string]int // scenarios played, by what happens at their request
	Scenarios int            // played
	Of        int            // scenarios of the table
	LeftOut   []string       // requests that are not tried late, for they can't be fenced

	Elapsed    time.Duration
	Violations []Violation // by scenario
}

// Violation is a promise that was broken.
type Violation struct {
	Scenario string   // Options.Only plays it again
	What     string   // expected, and found
	Trail    []string // of what was done
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: %s\n%s", v.Scenario, v.What, strings.Join(v.Trail, "\n"))
}

// String tells the counts in some lines.
func (r *Report) String() string {
	var b strings.Builder
	all := 0
	for _, n := range r.Requests {
		all += n
	}
	fmt.Fprintf(&b, "%d requests:", all)
	for _, op := range slices.Sorted(maps.Keys(r.Requests)) {
		fmt.Fprintf(&b, " %s %d", op, r.Requests[op])
	}
	fmt.Fprintf(&b, "\n%d of %d scenarios in %.1f s, with %d faults:", r.Scenarios, r.Of, r.Elapsed.Seconds(), len(r.Faults))
	for _, f := range slices.Sorted(maps.Keys(r.Faults)) {
		fmt.Fprintf(&b, " %s %d;", f, r.Faults[f])
	}
	fmt.Fprintf(&b, "\nnot tried late: %q\n%d violations", r.LeftOut, len(r.Violations))
	return b.String()
}

// trial is a request and what happens to it.
type trial struct {
	request
	fault   Fault
	passes  bool // the client gets over it: no operation fails
	killed  bool // all processes are killed there
	freezes bool // all processes stop there, and go on later with what they were at
	carries bool // what fails is not handed over again: it comes with the next commit
	wakes   when // when what is held back, or frozen, goes on

	// Another process that acts right before the request, or, after a kill, before the
	// later-th request of the process that follows. Nil: none does.
	between func(*play)
	later   int

	takes bool   // another process takes the channel over
	drops bool   // and drops it
	what  string // the name of all of that
}

// when says at what moment something goes on.
type when string

const (
	atTheEnd     when = "at the end"
	afterLoad    when = "after the load" // by the process that follows
	beforeCommit when = "before the next commit"
	afterDrops   when = "after the drops" // of all channels, in the end
)

func (t *trial) String() string { return t.request.String() + "/" + t.what }

// resumed is within how many requests a new process has loaded its channels and archived what
// the one before it had begun.
const resumed = 40

// unfenced are the writes that nothing can keep from arriving late: retrieval hints have no
// holder.
var unfenced = []string{"SetHints", "DeleteHints", "hints.BatchWriteItem"}

// trials returns what can happen to a request of a step that another follows.
func trials(r request, st, next *step, groups []Group) (all []*trial) {
	add := func(t trial) {
		t.request = r
		all = append(all, &t)
	}
	carries := st.change != nil && next.stores && !next.drop && next.channel == st.channel
	fenced := !slices.Contains(unfenced, r.op)
	fault := func(f Fault, g Group) {
		switch {
		case f != Late:
			add(trial{fault: f, passes: g.Passes, what: string(f)})
			if g.Leaves {
				add(trial{fault: f, killed: true, what: string(f) + "/killed"})
			}
			if carries && (f == Refuse || f == Lose) {
				add(trial{fault: f, carries: true, what: string(f) + ", carried on"})
			}
		case fenced:
			for _, w := range []when{atTheEnd, beforeCommit} {
				add(trial{fault: f, wakes: w, what: "late, done " + string(w)})
			}
			for _, w := range []when{afterLoad, atTheEnd, afterDrops} {
				add(trial{fault: f, killed: true, wakes: w, what: "late, done " + string(w) + "/killed"})
			}
		}
	}
	for _, g := range groups {
		for _, f := range g.Faults {
			fault(f, g)
		}
	}
	if fenced && !st.blind {
		for _, w := range []when{afterLoad, atTheEnd, afterDrops} {
			claims := w == afterLoad // a load that goes on takes the channel from the process that follows
			add(trial{freezes: true, takes: claims, wakes: w, what: "frozen until " + string(w)})
			add(trial{freezes: true, takes: claims, fault: Lose, wakes: w, what: "lost/frozen until " + string(w)})
		}
	}
	for _, actor := range []trial{
		{between: sweepBetween, what: "sweep"},
		{between: takeBetween, takes: true, what: "takeover"},
		{between: dropBetween, takes: true, drops: true, what: "drop"},
	} {
		what := actor.what
		actor.what = "between/" + what
		add(actor)
		if r.op != "AddSegment" {
			continue
		}
		// A segment that is begun: who finds it goes on with it, and isn't alone.
		for actor.later = range resumed {
			actor.later++
			actor.fault, actor.killed = Lose, true
			actor.what = fmt.Sprintf("lost/killed/between, %d later/%s", actor.later, what)
			add(actor)
		}
	}
	return all
}

// Run counts the requests of the scenario, and plays it once for each of them and each thing
// that can happen to it. An error is about the run itself; what it has found wrong is in
// the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	if len(o.Sites) == 0 {
		return nil, errors.New("ordeal: no site")
	}
	r := &runner{o: o, began: time.Now(), report: &Report{Faults: map[string]int{}}}
	defer func() { r.report.Elapsed = time.Since(r.began) }()
	if !r.clean(ctx) {
		return r.report, nil
	}
	all := r.table()
	err := r.play(ctx, all)
	slices.SortFunc(r.report.Violations, func(x, y Violation) int { return cmp.Compare(x.Scenario, y.Scenario) })
	return r.report, err
}

type runner struct {
	o     Options
	began time.Time

	mu     sync.Mutex // protects what follows
	names  int
	where  map[request]int
	report *Report
	ended  bool
}

// namespace returns one that no other play has, of this run or another.
func (r *runner) namespace() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names++
	return fmt.Sprintf("ordeal-%x-%d", r.began.UnixNano(), r.names)
}

// one plays a trial, or, nil, the scenario without faults.
func (r *runner) one(ctx context.Context, site Site, t *trial) *play {
	p := newPlay(ctx, site, r.namespace(), t)
	p.run()
	return p
}

func (r *runner) violated(name string, p *play) {
	for _, what := range p.violations {
		r.report.Violations = append(r.report.Violations, Violation{name, what, p.trail})
	}
}

// clean counts the requests of two runs without faults.
func (r *runner) clean(ctx context.Context) bool {
	for i := range 2 {
		p := r.one(ctx, r.o.Sites[0], nil)
		if len(p.violations) == 0 && i > 0 && !maps.Equal(p.count, r.report.Requests) {
			_ = p.violate("two runs make different requests: %v and %v", r.report.Requests, p.count)
		}
		r.report.Requests, r.where = p.count, p.where
		if r.violated("clean", p); len(p.violations) > 0 {
			return false
		}
	}
	return true
}

// table returns the scenarios to play.
func (r *runner) table() (all []*trial) {
	steps := scenario()
	for _, op := range slices.Sorted(maps.Keys(r.report.Requests)) {
		faults, of := groups(r.o.Sites[0], op), r.report.Requests[op]
		for n := range of {
			request := request{op, n + 1}
			i := r.where[request]
			all = append(all, trials(request, &steps[i], &steps[min(i+1, len(steps)-1)], at(faults, n, of))...)
		}
		if slices.Contains(unfenced, op) {
			r.report.LeftOut = append(r.report.LeftOut, op)
		}
	}
	r.report.Of = len(all)
	if r.o.Only != nil {
		all = slices.DeleteFunc(all, func(t *trial) bool { return !r.o.Only.MatchString(t.String()) })
	}
	if r.o.Seed != 0 {
		random := rand.New(rand.NewSource(r.o.Seed)) //nolint:gosec // a seed makes it reproducible
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	all = all[min(r.o.Skip, len(all)):]
	if r.o.Part > 0 {
		all = all[:min(r.o.Part, len(all))]
	}
	return all
}

func (r *runner) play(ctx context.Context, all []*trial) error {
	next := make(chan *trial)
	var sites sync.WaitGroup
	for _, site := range r.o.Sites {
		sites.Go(func() {
			for t := range next {
				r.played(t, r.one(ctx, site, t), len(all))
			}
		})
	}
	for _, t := range all {
		if r.over() || ctx.Err() != nil {
			break
		}
		next <- t
	}
	close(next)
	sites.Wait()
	return ctx.Err()
}

var numbers = regexp.MustCompile(`\b[0-9]+\b`)

func (r *runner) over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

func (r *runner) played(t *trial, p *play, of int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Scenarios++
	r.report.Faults[numbers.ReplaceAllString(t.what, "n")]++
	r.violated(t.String(), p)
	r.ended = r.ended || r.o.FailFast && len(p.violations) > 0
	if r.o.OnProgress != nil {
		r.o.OnProgress(r.report.Scenarios, of, len(r.report.Violations))
	}
}
