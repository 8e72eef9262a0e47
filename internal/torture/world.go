// Package torture lets several adapters work on the same channels at random, with crashes,
// takeovers, faults of requests and a clock that jumps, and holds all that they return, and all
// that is stored in the end, against a model in memory.
package torture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pgregory.net/rapid"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/ordeal"
	"github.com/sdsaws/sdsaws/sds"
)

// Violation says what a run has done or left that the contract doesn't allow.
type Violation struct {
	What   string // without what differs from run to run
	Detail string
	Trail  []string // all that was done before
}

func (v *Violation) Error() string {
	text := ""
	for _, s := range v.Trail {
		text += "\n  " + s
	}
	return fmt.Sprintf("%s: %s%s", v.What, v.Detail, text)
}

// Counts is what runs have done.
type Counts struct {
	Runs, Operations, Faults, Crashes, Claims, Fenced, Failed atomic.Int64
}

func (c *Counts) String() string {
	return fmt.Sprintf("torture: runs %d, operations %d, violations 0; faults %d, failed operations %d, crashes %d, claims %d, fenced %d",
		c.Runs.Load(), c.Operations.Load(), c.Faults.Load(), c.Failed.Load(), c.Crashes.Load(), c.Claims.Load(), c.Fenced.Load())
}

// Options say where and how a run is played.
type Options struct {
	// Open returns a site, whose Stored isn't called, and a namespace that nothing is stored of, nor of
	// one that begins with it. Its hints expire by now, or never. It is called once a run, in the
	// run's goroutine.
	Open func(now func() time.Time) (site ordeal.Site, namespace string, err error)

	Counts *Counts // added to
}

// Two channels of two namespaces, which begin alike.
var (
	channelIDs = []string{"general", "general/\x00"}
	namespaces = []string{"", "-2"}
)

const hintTTL = 10 * time.Hour

// world is one run.
type world struct {
	o        Options
	ctx      context.Context
	site     ordeal.Site
	clock    *clock
	channels []*channel
	hints    map[string]*hints    // by namespace
	hintAt   map[string]time.Time // when what is stored was set, at the earliest, by namespace and id
	ttl      time.Duration
	prefix   string // of namespaces

	processes []*process
	made      int // messages and snapshots
	idle      idleness
	moves     int   // counts when timers can have written hints
	err       error // the first violation
	trail     []string

	mu   sync.Mutex // protects what follows: requests come from any goroutine
	plan plan
	hit  bool // a fault was injected since the last call began
}

// plan is the fault of a call.
type plan struct {
	of     *process
	after  int // requests that pass before it
	kind   int
	outage bool // all requests from then on
}

// process is an adapter, and what the model knows of it.
type process struct {
	w         *world
	slot      int
	namespace string
	accepted  bool // Options.Durability is Accepted
	a         *sdsaws.Adapter
	views     map[*channel]*view
	waiting   map[string]waiting // hints that may not be stored yet
	wrote     map[string]string  // hints that it has written
	dead      atomic.Bool
	toldLost  map[string]bool // by OnFenced; under w.mu
	spurious  bool            // a condition failed for nothing; under w.mu
}

// waiting is a hint that was set when time had passed so often.
type waiting struct {
	value string
	at    int
	since time.Time
}

func (p *process) String() string { return fmt.Sprintf("process %d", p.slot) }

// Play plays one run that t draws, and returns the first [Violation], or what kept it from
// being played.
func Play(t *rapid.T, o Options) error {
	w := &world{o: o, ctx: context.Background(), clock: newClock(), hints: map[string]*hints{}, hintAt: map[string]time.Time{}}
	site, prefix, err := o.Open(w.clock.Now)
	if err != nil {
		return err
	}
	w.site, w.prefix = site, prefix
	o.Counts.Runs.Add(1)
	defer w.end()
	if rapid.Bool().Draw(t, "hints expire") {
		w.ttl = hintTTL
	}
	for _, ns := range namespaces {
		w.hints[prefix+ns] = &hints{values: map[string]map[string]bool{}, unsure: map[string]bool{}}
		for _, id := range channelIDs {
			w.channels = append(w.channels, &channel{namespace: prefix + ns, id: id, possible: []*state{empty}})
		}
	}
	for i, ns := range []int{0, 0, 0, 1, 1} { // three of one namespace fight more than two
		w.processes = append(w.processes, nil)
		w.start(t, i, prefix+namespaces[ns])
	}
	w.repeat(t)
	if w.err == nil {
		w.judge()
	}
	return w.err
}

// repeat plays actions until one has shown a violation.
func (w *world) repeat(t *rapid.T) {
	actions := map[string]func(*rapid.T){
		"commit": w.commit, "commit again": w.commit, "pair": w.pair, "pair again": w.pair, "save": w.save, "update": w.update,
		"load": w.load, "take over": w.load, "drop": w.drop, "hint": w.hint, "flush": w.flush, "archive": w.archive,
		"sweep": w.sweep, "history": w.readHistory, "message": w.readMessage, "hints": w.readHints, "check": w.check,
		"crash": w.crash, "close": w.close, "time passes": w.pass, "the clock is set": w.setClock, "late requests": w.release,
	}
	for name, act := range actions {
		actions[name] = func(t *rapid.T) {
			if w.err == nil {
				w.o.Counts.Operations.Add(1)
				act(t)
			}
		}
	}
	t.Repeat(actions)
}

// end leaves nothing behind that runs.
func (w *world) end() {
	for _, p := range w.processes {
		w.kill(p)
	}
	w.released()
}

// released does what is late.
func (w *world) released() {
	w.site.Release()
	w.idle = idleness{}
	w.settle()
}

// settle waits for what goes on in the background, then notes what it has shown.
func (w *world) settle() {
	w.idle.await()
	w.mu.Lock()
	w.plan = plan{}
	w.mu.Unlock()
	for _, p := range w.processes {
		if p != nil {
			w.absorb(p)
		}
	}
}

// absorb notes the channels that a process was told to have lost.
func (w *world) absorb(p *process) {
	w.mu.Lock()
	lost, spurious := p.toldLost, p.spurious
	p.toldLost, p.spurious = map[string]bool{}, false
	w.mu.Unlock()
	for c, v := range p.views {
		v.mayBeFenced = v.mayBeFenced || spurious
		if !lost[c.id] || p.dead.Load() {
			continue
		}
		w.o.Counts.Fenced.Add(1)
		w.say("%s is told that %s is lost", p, c)
		if v.chain != nil && !v.mayBeFenced && !v.mustBeFenced {
			w.violate("fenced although nobody has claimed the channel", "%s, %s", p, c)
		}
		*v = view{fenced: true}
	}
}

func (w *world) say(format string, x ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trail = append(w.trail, fmt.Sprintf(format, x...))
}

func (w *world) violate(what, format string, x ...any) {
	if w.err == nil {
		w.err = &Violation{what, fmt.Sprintf(format, x...), w.trail}
	}
}

// start puts a new process into a slot.
func (w *world) start(t *rapid.T, slot int, namespace string) {
	p := &process{w: w, slot: slot, namespace: namespace, views: map[*channel]*view{}, waiting: map[string]waiting{},
		wrote: map[string]string{}, toldLost: map[string]bool{}}
	o := &sdsaws.Options{
		Namespace:       namespace,
		Clock:           clockOf{w.clock, p},
		HintTTL:         w.ttl,
		InlineBytes:     rapid.SampledFrom([]int{300, 20_000}).Draw(t, "inline bytes"),
		GroupSize:       rapid.SampledFrom([]int{1, 3, 16}).Draw(t, "group size"),
		ArchiveMessages: rapid.SampledFrom([]int{3, 50}).Draw(t, "archive messages"),
		OnFenced: func(id string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			p.toldLost[id] = true
		},
	}
	if p.accepted = rapid.Bool().Draw(t, "accepted"); p.accepted {
		o.Durability = sdsaws.Accepted
	}
	var err error
	if p.a, err = sdsaws.New(w.site.Backend(func(op string) ordeal.Fault { return w.decide(p, op) }), o); err != nil {
		panic(err) // the options are good
	}
	for _, c := range w.channels {
		if c.namespace == namespace {
			p.views[c] = &view{}
		}
	}
	w.processes[slot] = p
}

// kill ends a process where it is.
func (w *world) kill(p *process) {
	p.dead.Store(true)
	w.clock.stop(p)
	w.settle()
}

// undelayed are operations without a holder: one that came late could undo a later call.
var undelayed = []string{"SetHints", "DeleteHints", "BatchWriteItem"}

// decide says what happens to a request.
func (w *world) decide(p *process, op string) ordeal.Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.dead.Load() {
		return ordeal.Refuse
	}
	if w.plan.of != p {
		return ordeal.None
	}
	if w.plan.after--; w.plan.after >= 0 || w.plan.after < -1 && !w.plan.outage {
		return ordeal.None
	}
	faults := []ordeal.Fault{ordeal.Refuse, ordeal.Lose}
	if !w.plan.outage {
		faults = slices.DeleteFunc(w.site.Faults(op), func(f ordeal.Fault) bool {
			return f == ordeal.Late && slices.Contains(undelayed, op)
		})
	}
	f := faults[w.plan.kind%len(faults)]
	w.hit = true
	w.o.Counts.Faults.Add(1)
	switch f {
	case ordeal.Refuse, ordeal.Lose, ordeal.Late, ordeal.Part, ordeal.Twice:
	default:
		p.spurious = true // its condition may have failed
	}
	w.trail = append(w.trail, fmt.Sprintf("   %s of %s is %s", op, p, f))
	return f
}

// faulty draws the fault of a call of a process.
func (w *world) faulty(t *rapid.T, p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hit = false
	w.plan = plan{}
	if rapid.Bool().Draw(t, "fault") {
		w.plan = plan{of: p, after: rapid.IntRange(0, 5).Draw(t, "requests before"), kind: 8*even(t, "kind") + even(t, "kind"),
			outage: even(t, "outage") == 0}
	}
}

// even draws a number from 0 to 7, each as often: rapid's others are more often small.
func even(t *rapid.T, label string) (n int) {
	for range 3 {
		n *= 2
		if rapid.Bool().Draw(t, label) {
			n++
		}
	}
	return n
}

// outage is faulty for calls whose requests come in any order.
func (w *world) outage(t *rapid.T, p *process) {
	w.faulty(t, p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plan.after, w.plan.outage = 0, true
}

// sound lets the next call have no fault.
func (w *world) sound() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plan, w.hit = plan{}, false
}

// explained checks that a call only fails when there is a reason.
func (w *world) explained(err error, what string, p *process, c *channel) {
	w.mu.Lock()
	hit := w.hit
	w.mu.Unlock()
	if err == nil {
		return
	}
	w.o.Counts.Failed.Add(1)
	if !hit || errors.Is(err, sds.ErrCorrupt) || errors.Is(err, sds.ErrIncomplete) || errors.Is(err, sds.ErrForked) {
		w.violate(what+" fails without a reason", "%s, %s: %v", p, c, err)
	}
}
