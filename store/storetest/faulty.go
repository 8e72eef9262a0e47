package storetest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/sdsaws/sdsaws/store"
)

// Fault is what happens to one request. The zero Fault is none.
type Fault struct {
	// Refuse is returned instead of doing the request.
	Refuse error

	// Lose is returned after the request was done, whatever came of it: a lost reply.
	Lose error

	// Part is returned after a part was done of what consists of several writes: Delete,
	// DeleteSegments, Unstage, SetHints, DeleteHints, Archive.Delete. Archive.List, Channels
	// and Stored yield a part before it. What is all or nothing is refused with it.
	Part error

	// Conflict lets a conditional write fail although nothing stands against it: nothing
	// is written, and the error is a *store.ConflictError with the head that is stored.
	Conflict bool

	// Twice does a write two times, and returns what came of the second: a reply that was
	// lost, and a retry that the caller doesn't know of.
	Twice bool

	// Hold delays the request until it is closed. When the caller's context ends before, the
	// caller gets that context's error, and a write is still done when Hold is
	// closed: a request that comes late.
	Hold <-chan struct{}

	// Late is returned at once for a write that is done when Hold is closed.
	Late error
}

// Faulty injects faults into the requests of the logs, hints and archives that it wraps.
type Faulty struct {
	// Hook says what happens to a write: op is the name of the method, with "Archive."
	// before it for those of an archive; n counts all writes from 1. It may be called by
	// several goroutines at once. Nil is no fault.
	Hook func(op string, n int) Fault

	// ReadHook is Hook for reads; n counts all reads from 1.
	ReadHook func(op string, n int) Fault

	mu            sync.Mutex // protects the counts
	writes, reads int

	held sync.WaitGroup
}

// At returns a Hook that has one fault, at the n-th request.
func At(n int, f Fault) func(op string, n int) Fault {
	return func(_ string, i int) Fault {
		if i == n {
			return f
		}
		return Fault{}
	}
}

// Log returns l with faults.
func (f *Faulty) Log(l store.Log) store.Log { return &faultyLog{l, f} }

// Hints returns h with faults.
func (f *Faulty) Hints(h store.Hints) store.Hints { return &faultyHints{h, f} }

// Archive returns a with faults.
func (f *Faulty) Archive(a store.Archive) store.Archive { return &faultyArchive{a, f} }

// Writes returns how many writes there were.
func (f *Faulty) Writes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes
}

// Reads returns how many reads there were.
func (f *Faulty) Reads() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}

// Wait waits until every held write is done. Their Hold must have been closed, or be
// closed meanwhile.
func (f *Faulty) Wait() { f.held.Wait() }

// write is a write by its ways of being done. It must own what it uses.
type write struct {
	op       string
	all      func(context.Context) error
	part     func(context.Context) error // nil: it is all or nothing
	conflict func(context.Context) error // nil: it is unconditional
}

// do runs a write as its fault says.
func (f *Faulty) do(ctx context.Context, w write) error {
	f.mu.Lock()
	f.writes++
	n := f.writes
	f.mu.Unlock()
	var fault Fault
	if f.Hook != nil {
		fault = f.Hook(w.op, n)
	}
	switch {
	case fault.Refuse != nil:
		return fault.Refuse
	case fault.Part != nil:
		if w.part != nil {
			_ = w.part(ctx) // the error is that of what was left
		}
		return fault.Part
	case fault.Conflict && w.conflict != nil:
		return w.conflict(ctx)
	case fault.Hold != nil:
		return f.hold(ctx, fault, w.all)
	case fault.Twice:
		_ = w.all(ctx) // its outcome is what is lost
	}
	return lose(fault, w.all(ctx))
}

func lose(fault Fault, err error) error {
	if fault.Lose != nil {
		return fault.Lose
	}
	return err
}

func (f *Faulty) hold(ctx context.Context, fault Fault, write func(context.Context) error) error {
	done := make(chan error, 1)
	f.held.Go(func() {
		<-fault.Hold
		done <- write(context.WithoutCancel(ctx))
	})
	if fault.Late != nil {
		return fault.Late
	}
	select {
	case err := <-done:
		return lose(fault, err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

type faultyLog struct {
	store.Log
	faulty *Faulty
}

func (l *faultyLog) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	// A held write outlives this call, and so must not use what is the caller's.
	head, messages = *copyHead(&head), copyMessages(messages)
	return l.faulty.do(ctx, write{op: "Commit", conflict: l.conflict(key), all: func(ctx context.Context) error {
		return l.Log.Commit(ctx, key, prev, head, messages)
	}})
}

// conflict returns what fails as a condition on the head of a channel does.
func (l *faultyLog) conflict(key store.Key) func(context.Context) error {
	return func(ctx context.Context) error {
		head, err := l.Log.Head(ctx, key)
		if err != nil {
			return err
		}
		return &store.ConflictError{Current: head}
	}
}

func (l *faultyLog) Claim(ctx context.Context, key store.Key, prev store.CommitID, c store.Claim) error {
	return l.faulty.do(ctx, write{op: "Claim", conflict: l.conflict(key), all: func(ctx context.Context) error {
		return l.Log.Claim(ctx, key, prev, c)
	}})
}

func (l *faultyLog) Delete(ctx context.Context, key store.Key, from, to uint64) error {
	return l.faulty.do(ctx, write{
		op:   "Delete",
		all:  func(ctx context.Context) error { return l.Log.Delete(ctx, key, from, to) },
		part: func(ctx context.Context) error { return l.Log.Delete(ctx, key, from+(to-from)/2, to) },
	})
}

func copyMessages(messages []store.Message) []store.Message {
	messages = slices.Clone(messages)
	for i := range messages {
		messages[i] = copyMessage(messages[i])
	}
	return messages
}

func (l *faultyLog) Stage(ctx context.Context, key store.Key, prev store.CommitID, messages []store.Message) error {
	messages = copyMessages(messages)
	return l.faulty.do(ctx, write{op: "Stage", conflict: l.conflict(key), all: func(ctx context.Context) error {
		return l.Log.Stage(ctx, key, prev, messages)
	}})
}

func (l *faultyLog) Unstage(ctx context.Context, key store.Key) error {
	return l.faulty.do(ctx, write{
		op:   "Unstage",
		all:  func(ctx context.Context) error { return l.Log.Unstage(ctx, key) },
		part: func(ctx context.Context) error { return l.unstageOne(ctx, key) },
	})
}

// unstageOne removes one of the messages that Unstage removes.
func (l *faultyLog) unstageOne(ctx context.Context, key store.Key) error {
	head, err := l.Log.Head(ctx, key)
	if err != nil || head == nil {
		return err
	}
	page, _, err := l.Log.Page(ctx, key, head.Next, math.MaxInt64)
	for _, m := range page {
		if m.Staged != (store.CommitID{}) && m.Staged != head.CommitID {
			return l.Log.Delete(ctx, key, m.Offset, m.Offset+1)
		}
	}
	return err
}

func (l *faultyLog) AddSegment(ctx context.Context, key store.Key, origin uint64, s store.Segment) error {
	s = copySegment(s)
	return l.faulty.do(ctx, write{op: "AddSegment", conflict: l.conflict(key), all: func(ctx context.Context) error {
		return l.Log.AddSegment(ctx, key, origin, s)
	}})
}

func (l *faultyLog) ReplaceSegment(ctx context.Context, key store.Key, s store.Segment) error {
	s = copySegment(s)
	return l.faulty.do(ctx, write{op: "ReplaceSegment", all: func(ctx context.Context) error {
		return l.Log.ReplaceSegment(ctx, key, s)
	}})
}

func (l *faultyLog) DeleteSegments(ctx context.Context, key store.Key, below uint64) error {
	return l.faulty.do(ctx, write{
		op:  "DeleteSegments",
		all: func(ctx context.Context) error { return l.Log.DeleteSegments(ctx, key, below) },
		part: func(ctx context.Context) error {
			all, err := l.Log.Segments(ctx, key, 0, math.MaxInt32)
			if err != nil || len(all) == 0 {
				return err
			}
			return l.Log.DeleteSegments(ctx, key, min(below, all[len(all)/2].From+1))
		},
	})
}

type faultyArchive struct {
	store.Archive
	faulty *Faulty
}

func (a *faultyArchive) Put(ctx context.Context, name string, body []byte) (store.Object, error) {
	body = bytes.Clone(body)
	o := store.Object{Name: name, Size: int64(len(body))}
	var mu sync.Mutex // a held write sets stored whenever it is done
	var stored store.Object
	err := a.faulty.do(ctx, write{op: "Archive.Put", all: func(ctx context.Context) error {
		put, err := a.Archive.Put(ctx, name, body)
		mu.Lock()
		defer mu.Unlock()
		stored = put
		return err
	}})
	mu.Lock()
	defer mu.Unlock()
	if err == nil || errors.Is(err, store.ErrExists) { // else the write may be under way
		o = stored
	}
	return o, err
}

func (a *faultyArchive) Delete(ctx context.Context, objects ...store.Object) error {
	objects = slices.Clone(objects)
	return a.faulty.do(ctx, write{
		op:   "Archive.Delete",
		all:  func(ctx context.Context) error { return a.Archive.Delete(ctx, objects...) },
		part: func(ctx context.Context) error { return a.Archive.Delete(ctx, objects[:(len(objects)+1)/2]...) },
	})
}

// The interface is no embedded field: that would be named as its method Hints.
type faultyHints struct {
	hints  store.Hints
	faulty *Faulty
}

func (h *faultyHints) HintLimit(namespace string) int { return h.hints.HintLimit(namespace) }

func (h *faultyHints) SetHints(ctx context.Context, namespace string, hints []store.Hint, ttl time.Duration) error {
	hints = slices.Clone(hints)
	for i := range hints {
		hints[i].Value = bytes.Clone(hints[i].Value)
	}
	return h.faulty.do(ctx, write{
		op:  "SetHints",
		all: func(ctx context.Context) error { return h.hints.SetHints(ctx, namespace, hints, ttl) },
		part: func(ctx context.Context) error {
			return h.hints.SetHints(ctx, namespace, hints[:(len(hints)+1)/2], ttl)
		},
	})
}

func (h *faultyHints) DeleteHints(ctx context.Context, namespace string, ids []string) error {
	ids = slices.Clone(ids)
	return h.faulty.do(ctx, write{
		op:   "DeleteHints",
		all:  func(ctx context.Context) error { return h.hints.DeleteHints(ctx, namespace, ids) },
		part: func(ctx context.Context) error { return h.hints.DeleteHints(ctx, namespace, ids[:(len(ids)+1)/2]) },
	})
}
