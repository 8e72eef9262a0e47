// Package sdsaws keeps the channels of SDS participants on AWS: snapshot and history of
// a channel as one pair in DynamoDB, retrieval hints in a table of their own, and in S3,
// as Parquet, the history that the protocol has evicted.
//
// An [Adapter] is an sds.Persistence over any backend of package store. [Open] makes one
// over DynamoDB and S3; package embedded has a backend for one machine without a cloud.
//
// # Who holds a channel
//
// Loading a channel claims it: from then on the commits of whoever held it before fail
// with sds.ErrFenced and change nothing, until it loads the channel itself. A first
// write without a load loads, and so claims, by itself. Two processes that work on one
// channel at the same time therefore fence each other; arrange for one, for example by
// sending a channel's work through a queue with one consumer a channel.
package sdsaws

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// Backend is where an [Adapter] keeps things.
type Backend struct {
	Log     store.Log
	Hints   store.Hints
	Archive store.Archive // evicted history, and what is too large for the log
}

// Adapter is an sds.Persistence over a [Backend]. It is safe for
// concurrent use; operations on one channel take effect in the order in which they are
// called.
//
// Its memory is bounded: docs/design.md, section "Overload", has what by what. In short,
// Options.MaxPending bounds accepted work, which is there once more, compressed, while it is
// being written. For each channel it has seen the adapter keeps what lies between the messages
// of the snapshot, the envelopes of some of these, and about 80 bytes a message of the history,
// until Release; some 500 bytes and the id of a channel stay as long as the adapter. 64 MiB of the latest
// messages and snapshots, 16,384 hints and 10,000 names of objects to delete are kept over all channels. Archiving
// takes some 100 MB more while it runs, for one segment at a time. Goroutines run only
// while something is written, at most one a channel, and a second longer; Close waits for them.
type Adapter struct {
	log     store.Log
	archive store.Archive
	o       Options
	codec   record.Codec
	writer  string
	secret  [32]byte // keys the hashes of message ids
	hints   hintBuffer

	work context.Context // what commits run on: it ends with Close, not with a caller
	stop context.CancelFunc
	runs sync.WaitGroup // the goroutines that work
	idle chan func()    // work for one of them that has none

	places    places
	frames    frames
	archiving chan struct{} // of capacity 1: held by who archives in the background

	pending atomic.Int64 // bytes of accepted work
	trashed atomic.Int64 // objects in the channels' trash
	relief  relief

	closed atomic.Bool

	mu       sync.Mutex // protects channels; their own locks are taken without it
	channels map[string]*channel
}

var (
	_ sds.Persistence        = (*Adapter)(nil)
	_ sds.EncodedPersistence = (*Adapter)(nil)
)

// New returns an adapter over a backend. It makes no request and starts nothing.
func New(b Backend, o *Options) (*Adapter, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if b.Log == nil || b.Hints == nil || b.Archive == nil {
		return nil, fmt.Errorf("sdsaws: new: %w: a Backend without Log, Hints or Archive", sds.ErrInvalidArgument)
	}
	a := &Adapter{log: b.Log, archive: b.Archive, o: opts, channels: map[string]*channel{},
		archiving: make(chan struct{}, 1), idle: make(chan func())}
	_, _ = rand.Read(a.secret[:]) // never fails
	var id [8]byte
	_, _ = rand.Read(id[:])
	a.writer = opts.Writer + "-" + hex.EncodeToString(id[:])
	a.work, a.stop = context.WithCancel(context.Background())
	a.frames.clock = opts.Clock
	a.hints.init(a, b.Hints)
	a.places.init(opts.MaxInFlight)
	opts.Telemetry.join(a)
	return a, nil
}

// SaveChannelMeta accepts meta as the channel's snapshot. It is stored in one commit with
// the UpdateHistory that follows; without one it goes out before the next operation on
// the channel does, with Flush or Close, or within Options.Lag. A snapshot that equals
// the stored one costs no request.
func (a *Adapter) SaveChannelMeta(ctx context.Context, channelID string, meta *sds.ChannelMeta) error {
	b, err := encodeMeta(meta)
	if err != nil {
		return &sds.ChannelError{Op: "save", Channel: channelID, Err: err}
	}
	return a.SaveEncodedMeta(ctx, channelID, b)
}

// SaveEncodedMeta is SaveChannelMeta with an encoded sds.ChannelMeta.
func (a *Adapter) SaveEncodedMeta(ctx context.Context, channelID string, meta []byte) error {
	return a.accept(ctx, "save", channelID, meta, nil, false)
}

// UpdateHistory commits the update, together with the snapshot that was saved right
// before. With Options.Durability Committed it returns when both are stored; with
// Accepted at once. Appends take effect in their order, then evicts.
//
// An error means that the pair is not known to be stored; but for sds.ErrFenced,
// sds.ErrForked, sds.ErrElsewhere, sds.ErrTooLarge, sds.ErrOverloaded and refused arguments it stays accepted and goes
// out with the next commit. Handing it over again is harmless.
func (a *Adapter) UpdateHistory(ctx context.Context, channelID string, u *sds.HistoryUpdate) error {
	e, err := encodeUpdate(u)
	if err != nil {
		return &sds.ChannelError{Op: "update", Channel: channelID, Err: err}
	}
	return a.UpdateEncodedHistory(ctx, channelID, e)
}

// UpdateEncodedHistory is UpdateHistory with encoded messages.
func (a *Adapter) UpdateEncodedHistory(ctx context.Context, channelID string, u sds.EncodedHistoryUpdate) error {
	return a.accept(ctx, "update", channelID, nil, &u, a.o.Durability == Committed)
}

// Commit stores snapshot and update as one pair, durable when it returns nil whatever
// Options.Durability says. Errors are as with UpdateHistory.
func (a *Adapter) Commit(ctx context.Context, channelID string, meta *sds.ChannelMeta, u *sds.HistoryUpdate) error {
	b, err := encodeMeta(meta)
	if err != nil {
		return &sds.ChannelError{Op: "commit", Channel: channelID, Err: err}
	}
	e, err := encodeUpdate(u)
	if err != nil {
		return &sds.ChannelError{Op: "commit", Channel: channelID, Err: err}
	}
	return a.CommitEncoded(ctx, channelID, b, e)
}

// CommitEncoded is Commit with an encoded snapshot and messages.
func (a *Adapter) CommitEncoded(ctx context.Context, channelID string, meta []byte, u sds.EncodedHistoryUpdate) error {
	return a.accept(ctx, "commit", channelID, meta, &u, true)
}

func (a *Adapter) accept(
	ctx context.Context, op, channelID string, meta []byte, u *sds.EncodedHistoryUpdate, wait bool,
) error {
	fail := func(err error) error {
		if err == nil {
			return nil
		}
		if known := (*sds.ChannelError)(nil); errors.As(err, &known) {
			return err
		}
		return &sds.ChannelError{Op: op, Channel: channelID, Err: err}
	}
	ch, err := a.channel(ctx, channelID)
	if err != nil {
		return fail(err)
	}
	k := ch.known()
	var s *saved
	if op != "update" {
		if s, err = a.snapshot(meta, k); err != nil {
			return fail(err)
		}
		k = &known{all: s.messages}
	}
	var packed *update
	if u != nil {
		if packed, err = a.update(*u, k); err != nil {
			return fail(err)
		}
	}
	if !wait {
		_, err = ch.accept(s, packed, nil)
		return fail(err)
	}
	done := make(chan error, 1)
	mine, err := ch.accept(s, packed, done)
	if err != nil {
		return fail(err)
	}
	if mine {
		ch.serve(ctx)
	}
	return fail(await(ctx, done))
}

// LoadChannel returns the channel as the last commit left it, and claims it (see the
// package comment). What this adapter had accepted is stored first. An unknown channel
// is empty data. Errors are sds.ErrIncomplete, sds.ErrCorrupt,
// sds.ErrUnsupportedFormat and sds.ErrSchemaVersion, which name the item; with several
// regions sds.ErrElsewhere and sds.ErrForked; or the backend's. Stored data is as it was then. It takes two requests, and one more for each
// further MB of history.
func (a *Adapter) LoadChannel(ctx context.Context, channelID string) (*sds.ChannelData, error) {
	e, err := a.LoadEncodedChannel(ctx, channelID)
	if err != nil {
		return nil, err
	}
	d := &sds.ChannelData{MessageHistory: make([]sds.Message, len(e.Messages))}
	err = d.Meta.UnmarshalBinary(e.Meta)
	for i := range e.Messages {
		if err == nil {
			err = d.MessageHistory[i].UnmarshalBinary(e.Messages[i])
		}
	}
	if err != nil {
		return nil, &sds.ChannelError{Op: "load", Channel: channelID, Err: contract(err)}
	}
	return d, nil
}

// LoadEncodedChannel is LoadChannel without decoding: the bytes are those that were
// handed over.
func (a *Adapter) LoadEncodedChannel(ctx context.Context, channelID string) (sds.EncodedChannelData, error) {
	none := sds.EncodedChannelData{}
	ch, err := a.channel(ctx, channelID)
	if err != nil {
		return none, &sds.ChannelError{Op: "load", Channel: channelID, Err: err}
	}
	if err := ch.flush(ctx); err != nil && !ch.mustLoad() {
		return none, err
	}
	if err := ch.take(ctx); err != nil {
		return none, ch.fail("load", "", err)
	}
	defer ch.release()
	if err := ch.resolve(ctx); err != nil && !ch.mustLoad() {
		return none, err
	}
	if ch.mustLoad() {
		// Accepted from a state that this load replaces.
		ch.mu.Lock()
		ch.abandon(ch.fail("commit", "", sds.ErrFenced))
		ch.mu.Unlock()
	}
	return ch.load(ctx)
}

// DropChannel wipes the channel: with one write it becomes empty, then all that was
// stored of it is deleted: messages, archived segments and large values, in all their
// versions, and the retrieval hints of its messages, those in the buffers of its snapshot
// included, even where another channel knows the same ids. nil means that nothing of it is
// left but an empty head of some 200 bytes, which keeps delayed requests harmless. After an
// error drop it again, or let a sweep go on.
//
// What backups and replicas keep is theirs to expire: DynamoDB's point-in-time recovery, and
// noncurrent versions that were made by others.
func (a *Adapter) DropChannel(ctx context.Context, channelID string) error {
	ch, err := a.channel(ctx, channelID)
	if err != nil {
		return &sds.ChannelError{Op: "drop", Channel: channelID, Err: err}
	}
	if err := ch.flush(ctx); err != nil {
		return err
	}
	if err := a.hints.flush(ctx); err != nil {
		return ch.fail("drop", "", fmt.Errorf("nothing is dropped: %w", err))
	}
	if err := ch.takeSettled(ctx, "drop"); err != nil {
		return err
	}
	defer ch.release()
	if err := ch.stopArchiving(ctx); err != nil {
		return ch.fail("drop", "", err)
	}
	err = ch.drop(ctx)
	a.o.Telemetry.dropped(ctx, channelID, err)
	return err
}

// Flush returns nil when everything that was accepted before the call is stored, hints
// included. A channel that was fenced makes it fail until it is loaded. It also waits, as
// long as ctx lasts, for the archiving that is under way or due; that this fails is no
// error of Flush, for the history is safe in the log: see Options.OnArchiveLag.
func (a *Adapter) Flush(ctx context.Context) error {
	if err := a.check(ctx); err != nil {
		return fmt.Errorf("sdsaws: flush: %w", err)
	}
	return a.flush(ctx)
}

func (a *Adapter) flush(ctx context.Context) error {
	channels := a.known()
	slices.SortFunc(channels, func(x, y *channel) int { return compareIDs(x.id, y.id) })

	var mu sync.Mutex
	var errs []error
	var flushes sync.WaitGroup
	places := make(chan struct{}, 16) // at once
	for _, ch := range channels {
		places <- struct{}{}
		flushes.Go(func() {
			defer func() { <-places }()
			if err := ch.flush(ctx); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
				return
			}
			ch.awaitBackground(ctx)
		})
	}
	flushes.Wait()
	return errors.Join(append(errs, a.hints.flush(ctx))...)
}

// Close flushes, then ends the adapter: it waits for its goroutines, and every later
// operation returns sds.ErrClosed. When ctx ends first, writes under way are broken
// off, and the error says that something may not be stored. Closing again is no error.
func (a *Adapter) Close(ctx context.Context) error {
	if ctx == nil {
		return fmt.Errorf("sdsaws: close: %w: nil context", sds.ErrInvalidArgument)
	}
	if !a.closed.CompareAndSwap(false, true) {
		return nil
	}
	err := a.flush(ctx)
	for _, ch := range a.known() {
		ch.mu.Lock()
		ch.closed = true
		ch.stopTimer()
		ch.mu.Unlock()
	}
	a.hints.close()
	a.frames.close()
	a.stop()
	a.runs.Wait()
	a.o.Telemetry.leave(a)
	return err
}

// check refuses a call that can't be served.
func (a *Adapter) check(ctx context.Context) error {
	if ctx == nil {
		return fmt.Errorf("%w: nil context", sds.ErrInvalidArgument)
	}
	if a.closed.Load() {
		return sds.ErrClosed
	}
	return ctx.Err()
}

func (a *Adapter) checkChannel(ctx context.Context, id string) error {
	if err := a.check(ctx); err != nil {
		return err
	}
	if id == "" {
		return fmt.Errorf("%w: empty channel id", sds.ErrInvalidArgument)
	}
	return nil
}

func (a *Adapter) channel(ctx context.Context, id string) (*channel, error) {
	if err := a.checkChannel(ctx, id); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed.Load() {
		return nil, sds.ErrClosed
	}
	ch := a.channels[id]
	if ch == nil {
		ch = newChannel(a, id)
		a.channels[id] = ch
	}
	return ch, nil
}

// known returns the channels that were ever used.
func (a *Adapter) known() []*channel {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.channels))
}

// hash returns what stands for a message id in this adapter's memory.
func (a *Adapter) hash(id string) idHash {
	var room [128]byte // or an allocation for long ids
	sum := sha256.Sum256(append(append(room[:0], a.secret[:]...), id...))
	return idHash(sum[:])
}
