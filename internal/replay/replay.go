// Package replay plays recorded traffic against a backend and holds what it loads
// against what was recorded.
package replay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/handclock"
	"github.com/sdsaws/sdsaws/internal/trace"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// Options say how a trace is played.
type Options struct {
	Namespace  string // before each participant's own
	Durability sdsaws.Durability
	Rate       float64       // saves a second and channel, on a virtual clock; accepted mode
	Lag        time.Duration // of the adapters

	// New refuses a participant's namespace that has channels: its loads would give what an earlier
	// replay has left, and its holders would be fenced.
	New bool

	// Of the adapters; 0: their defaults.
	ArchiveMessages, InlineBytes, GroupSize int

	// OnOperation is called before each operation.
	OnOperation func(trace.Op)

	// OnPlayed is called when all is played and archived, before that is checked.
	OnPlayed func(*Result)

	// OnLoad is called after each load with what it gave and, when that is not what was
	// recorded, what is wrong.
	OnLoad func(op trace.Op, got sds.EncodedChannelData, wrong string)
}

// Result is what came of a trace. Its JSON is documented by sdsaws replay --help.
type Result struct {
	Trace           string         `json:"trace"`
	Operations      int            `json:"operations"`
	Loads           int            `json:"loads"`
	LoadsMatched    int            `json:"loads_matched"`
	Mismatches      []Mismatch     `json:"mismatches"`
	Saves           int            `json:"saves"`
	SavesSkipped    int            `json:"saves_skipped"` // saves that no commit was sent for
	Appended        int            `json:"appended"`
	Evicted         int            `json:"evicted"`
	ArchiveExpected int            `json:"archive_expected"`
	ArchiveMatched  int            `json:"archive_matched"`
	ArchiveSurplus  int            `json:"archive_surplus"`
	Segments        int            `json:"segments"`
	HintsSet        int            `json:"hints_set"`
	HintsWritten    int            `json:"hints_written"`
	Requests        map[string]int `json:"requests"`
	WriteUnits      WriteUnits     `json:"write_units"`
	ReadUnits       int            `json:"read_units"`
	S3Puts          int            `json:"s3_puts"`
	S3Gets          int            `json:"s3_gets"`
	StoredBytes     int64          `json:"stored_bytes"`
	ArchivedBytes   int64          `json:"archived_bytes"`
	ArchiveSeconds  float64        `json:"archive_seconds"` // of Seconds, for what was evicted last
	Seconds         float64        `json:"seconds"`
}

// Wrong says what isn't as it must be; empty: nothing.
func (r *Result) Wrong() string {
	switch {
	case r.Loads == 0:
		return "the trace has no loadChannel, so nothing was checked"
	case r.LoadsMatched != r.Loads:
		return fmt.Sprintf("%d of %d loads gave something else", r.Loads-r.LoadsMatched, r.Loads)
	case r.ArchiveMatched != r.ArchiveExpected || r.ArchiveSurplus > 0:
		return fmt.Sprintf("the archive has %d of %d evicted messages, and %d others",
			r.ArchiveMatched, r.ArchiveExpected, r.ArchiveSurplus)
	case len(r.Mismatches) > 0:
		return r.Mismatches[0].What
	}
	return ""
}

// WriteUnits are DynamoDB's, by what they were spent for.
type WriteUnits struct {
	Commits   int `json:"commits"`
	Claims    int `json:"claims"`
	Deletes   int `json:"deletes"`
	Manifests int `json:"manifests"`
	Hints     int `json:"hints"`
}

// Mismatch is a load that gave something else than was recorded, or, at the end, a reader.
type Mismatch struct {
	N           int    `json:"n"` // of the operation in its trace; 0: at the end
	Participant string `json:"participant"`
	Channel     string `json:"channel"`
	What        string `json:"what"`
}

// Backend is where a trace is played to.
type Backend interface {
	store.Log
	store.Hints
	Archive() store.Archive
	// Size returns how many bytes are stored of a channel, but for its archive.
	Size(ctx context.Context, key store.Key) (int64, error)
}

// Channel is a participant's channel that a trace has played.
type Channel struct {
	Participant string
	Key         store.Key
}

// Player plays operations one by one. Operations of one participant and channel go to one
// adapter, until a recorded loadChannel: it stands for a crash, and a new one loads.
type Player struct {
	o       Options
	backend *counted
	result  Result
	actors  map[actorKey]*actor
	order   []actorKey
	hinters map[string]*actor
	unsaved map[string]*actor // by participant: its last operation was a save there
	met     map[string]bool   // participants

	model     trace.Model
	abandoned []*actor // by crashes
}

type actorKey struct{ participant, channel string }

type actor struct {
	adapter *sdsaws.Adapter
	clock   *handclock.Clock
}

// counted counts what reaches a backend.
type counted struct {
	Backend
	commits int // of existing channels: creating one is part of its load
	hints   int
	objects countedArchive
}

func (c *counted) Archive() store.Archive { return &c.objects }

// countedArchive counts calls, as far as a backend doesn't count its requests itself.
type countedArchive struct {
	store.Archive
	puts, gets atomic.Int64
}

func (c *countedArchive) Put(ctx context.Context, name string, body []byte) (store.Object, error) {
	c.puts.Add(1)
	return c.Archive.Put(ctx, name, body)
}

func (c *countedArchive) Get(ctx context.Context, o store.Object) ([]byte, error) {
	c.gets.Add(1)
	return c.Archive.Get(ctx, o)
}

func (c *counted) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	if prev != (store.CommitID{}) {
		c.commits++
	}
	return c.Backend.Commit(ctx, key, prev, head, messages)
}

func (c *counted) SetHints(ctx context.Context, namespace string, hints []store.Hint, ttl time.Duration) error {
	c.hints += len(hints)
	return c.Backend.SetHints(ctx, namespace, hints, ttl)
}

// NewPlayer returns a player of a trace with the given name.
func NewPlayer(name string, b Backend, o Options) *Player {
	return &Player{
		o:       o,
		backend: &counted{Backend: b, objects: countedArchive{Archive: b.Archive()}},
		result:  Result{Trace: name, Mismatches: []Mismatch{}, Requests: map[string]int{}},
		actors:  map[actorKey]*actor{},
		hinters: map[string]*actor{},
		unsaved: map[string]*actor{},
		met:     map[string]bool{},
	}
}

// Run plays a whole trace.
func (p *Player) Run(ctx context.Context, r *trace.Reader) (Result, error) {
	start := time.Now()
	for {
		op, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = p.Play(ctx, op)
		}
		if err != nil {
			return p.result, err
		}
	}
	err := p.Finish(ctx)
	p.result.Seconds = time.Since(start).Seconds()
	return p.result, err
}

// namespace returns the namespace of a participant.
func (o *Options) namespace(participant string) string {
	ns := o.Namespace + "/" + participant
	if store.CheckNamespace(ns) == nil {
		return ns
	}
	sum := sha256.Sum256([]byte(participant))
	return o.Namespace + "/sha256-" + hex.EncodeToString(sum[:])
}

func (p *Player) open(participant string) (*actor, error) {
	c := handclock.New()
	a, err := sdsaws.New(sdsaws.Backend{Log: p.backend, Hints: p.backend, Archive: p.backend.Archive()}, &sdsaws.Options{
		Namespace:  p.o.namespace(participant),
		Durability: p.o.Durability,
		Lag:        p.o.Lag,
		Clock:      c,

		ArchiveMessages: p.o.ArchiveMessages,
		InlineBytes:     p.o.InlineBytes,
		GroupSize:       p.o.GroupSize,
	})
	return &actor{a, c}, err
}

func (p *Player) actor(k actorKey) (*actor, error) {
	a := p.actors[k]
	if a == nil {
		var err error
		if a, err = p.open(k.participant); err != nil {
			return nil, err
		}
		p.actors[k] = a
		p.order = append(p.order, k)
	}
	return a, nil
}

func (p *Player) hinter(participant string) (*actor, error) {
	a := p.hinters[participant]
	if a == nil {
		var err error
		if a, err = p.open(participant); err != nil {
			return nil, err
		}
		p.hinters[participant] = a
	}
	return a, nil
}

// Play plays one operation.
func (p *Player) Play(ctx context.Context, op trace.Op) error {
	if p.o.OnOperation != nil {
		p.o.OnOperation(op)
	}
	p.result.Operations++
	err := p.meet(ctx, op.Participant)
	if err == nil {
		err = p.settle(ctx, op)
	}
	if err == nil {
		err = p.play(ctx, op)
	}
	if err == nil {
		err = p.model.Apply(op)
	}
	if err != nil {
		return fmt.Errorf("operation %d (%s): %w", op.N, op.Kind, err)
	}
	return nil
}

// meet looks at a participant's namespace when it comes for the first time.
func (p *Player) meet(ctx context.Context, participant string) error {
	if !p.o.New || p.met[participant] {
		return nil
	}
	p.met[participant] = true
	ns := p.o.namespace(participant)
	for _, err := range p.backend.Channels(ctx, ns) {
		if err == nil {
			err = fmt.Errorf("%w: %q", ErrNotNew, ns)
		}
		return err
	}
	return nil
}

// ErrNotNew says that something was stored in a participant's namespace before.
var ErrNotNew = errors.New("the namespace has channels already, choose another one")

// settle commits a save that this operation does not complete: in committed mode saves
// never merge.
func (p *Player) settle(ctx context.Context, op trace.Op) error {
	a := p.unsaved[op.Participant]
	delete(p.unsaved, op.Participant)
	pair := op.Kind == trace.UpdateHistory && a == p.actors[actorKey{op.Participant, op.Channel}]
	if a == nil || pair || p.o.Durability != sdsaws.Committed {
		return nil
	}
	return a.adapter.Flush(ctx)
}

func (p *Player) play(ctx context.Context, op trace.Op) error {
	key := actorKey{op.Participant, op.Channel}
	switch op.Kind {
	case trace.LoadChannel:
		return p.load(ctx, key, op)
	case trace.SetRetrievalHint:
		p.result.HintsSet++
		a, err := p.hinter(op.Participant)
		if err == nil {
			err = a.adapter.SetRetrievalHint(ctx, op.MessageID, op.Hint)
			a.clock.Advance(0)
		}
		return err
	}
	a, err := p.actor(key)
	if err != nil {
		return err
	}
	switch op.Kind {
	case trace.SaveChannelMeta:
		p.tick(a, op.Participant)
		p.result.Saves++
		p.unsaved[op.Participant] = a
		err = a.adapter.SaveEncodedMeta(ctx, op.Channel, op.Meta)
	case trace.UpdateHistory:
		p.result.Appended += len(op.Append)
		p.result.Evicted += len(op.Evict)
		err = a.adapter.UpdateEncodedHistory(ctx, op.Channel,
			sds.EncodedHistoryUpdate{Append: op.Append, Evict: op.Evict})
	case trace.DropChannel:
		err = p.drop(ctx, a, op)
	default:
		err = fmt.Errorf("unknown operation %q", op.Kind)
	}
	a.clock.Advance(0)
	return err
}

// tick lets the time between two saves go by.
func (p *Player) tick(a *actor, participant string) {
	if p.o.Durability != sdsaws.Accepted {
		return
	}
	step := time.Duration(float64(time.Second) / p.o.Rate)
	a.clock.Advance(step)
	if h := p.hinters[participant]; h != nil {
		h.clock.Advance(step)
	}
}

// drop drops a channel, and then has the participant's hints set by a new adapter: the
// old one remembers hints that the drop may have removed.
func (p *Player) drop(ctx context.Context, a *actor, op trace.Op) error {
	if h := p.hinters[op.Participant]; h != nil {
		delete(p.hinters, op.Participant)
		if err := h.adapter.Close(ctx); err != nil {
			return err
		}
	}
	return a.adapter.DropChannel(ctx, op.Channel)
}

// load abandons the channel's adapter and loads with a new one.
func (p *Player) load(ctx context.Context, key actorKey, op trace.Op) error {
	if old := p.actors[key]; old != nil {
		if p.o.Durability == sdsaws.Accepted {
			if err := old.adapter.Flush(ctx); err != nil {
				return err
			}
		}
		fresh, err := p.open(key.participant)
		if err != nil {
			return err
		}
		p.abandoned = append(p.abandoned, old)
		p.actors[key] = fresh
	}
	a, err := p.actor(key)
	if err != nil {
		return err
	}
	p.result.Loads++
	got, err := a.adapter.LoadEncodedChannel(ctx, op.Channel)
	what := ""
	switch {
	case ctx.Err() != nil:
		return err
	case err != nil:
		what = err.Error()
	default:
		what = difference(got, op)
	}
	if p.o.OnLoad != nil {
		p.o.OnLoad(op, got, what)
	}
	if what == "" {
		p.result.LoadsMatched++
		return nil
	}
	p.mismatch(op.N, key, what)
	return nil
}

func (p *Player) mismatch(n int, k actorKey, what string) {
	p.result.Mismatches = append(p.result.Mismatches, Mismatch{
		N: n, Participant: escaped(k.participant), Channel: escaped(k.channel), What: what})
}

// escaped returns an id as the command line shows it in JSON.
func escaped(id string) string {
	quoted := strconv.Quote(id)
	return quoted[1 : len(quoted)-1]
}

func difference(got sds.EncodedChannelData, want trace.Op) string {
	meta := sha256.Sum256(got.Meta)
	history := sha256.New()
	for _, m := range got.Messages {
		history.Write(m)
	}
	switch {
	case len(got.Messages) != want.Messages:
		return fmt.Sprintf("%d messages instead of %d", len(got.Messages), want.Messages)
	case hex.EncodeToString(meta[:]) != want.MetaSHA256:
		return "another snapshot"
	case hex.EncodeToString(history.Sum(nil)) != want.HistorySHA256:
		return "another history"
	}
	return ""
}

// Finish stores what is still waiting, archives all that was evicted, holds the archive
// against the trace and completes the result.
func (p *Player) Finish(ctx context.Context) error {
	for _, a := range p.abandoned { // for what they still do in the background
		if err := a.adapter.Close(ctx); err != nil {
			return err
		}
	}
	for _, k := range p.order {
		if err := p.actors[k].adapter.Flush(ctx); err != nil {
			return err
		}
	}
	p.result.SavesSkipped = max(0, p.result.Saves-p.backend.commits)
	for _, h := range p.hinters {
		if err := h.adapter.Close(ctx); err != nil {
			return err
		}
	}
	p.result.HintsWritten = p.backend.hints
	start := time.Now()
	for _, k := range p.order {
		if _, err := p.actors[k].adapter.Archive(ctx, k.channel); err != nil {
			return err
		}
	}
	p.result.ArchiveSeconds = time.Since(start).Seconds()
	p.result.S3Puts, p.result.S3Gets = int(p.backend.objects.puts.Load()), int(p.backend.objects.gets.Load())
	if p.o.OnPlayed != nil {
		p.o.OnPlayed(&p.result)
	}
	for _, k := range p.order {
		if err := p.checkArchive(ctx, k); err != nil {
			return err
		}
		if err := p.actors[k].adapter.Close(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Channels returns the channels that were played, in the order of their first operation.
func (p *Player) Channels() []Channel {
	all := make([]Channel, len(p.order))
	for i, k := range p.order {
		all[i] = Channel{k.participant, store.Key{Namespace: p.o.namespace(k.participant), Channel: k.channel}}
	}
	return all
}

// Result returns what has been counted so far.
func (p *Player) Result() *Result { return &p.result }
