package storetest

import (
	"context"
	"iter"

	"github.com/sdsaws/sdsaws/store"
)

// read runs a read as its fault says.
func (f *Faulty) read(ctx context.Context, op string, read func() error) error {
	fault, err := f.beforeRead(ctx, op)
	if err != nil {
		return err
	}
	return lose(fault, read())
}

// beforeRead counts a read, and returns what happens to it, and the error that it fails with
// before it is done.
func (f *Faulty) beforeRead(ctx context.Context, op string) (Fault, error) {
	f.mu.Lock()
	f.reads++
	n := f.reads
	f.mu.Unlock()
	var fault Fault
	if f.ReadHook != nil {
		fault = f.ReadHook(op, n)
	}
	if fault.Hold != nil {
		select {
		case <-fault.Hold:
		case <-ctx.Done():
			return fault, ctx.Err()
		}
	}
	return fault, fault.Refuse
}

// list runs a read that yields, as its fault says.
func list[T any](ctx context.Context, f *Faulty, op string, all iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		fault, err := f.beforeRead(ctx, op)
		if err != nil {
			yield(none, err)
			return
		}
		left := -1 // no end
		if fault.Part != nil {
			left = 1
		}
		for v, err := range all {
			if left == 0 {
				break
			}
			left--
			if !yield(v, err) {
				return
			}
		}
		if fault.Part != nil {
			yield(none, fault.Part)
		} else if fault.Lose != nil {
			yield(none, fault.Lose)
		}
	}
}

func (l *faultyLog) Load(
	ctx context.Context, key store.Key, from uint64,
) (head *store.Head, all []store.Message, err error) {
	err = l.faulty.read(ctx, "Load", func() error { head, all, err = l.Log.Load(ctx, key, from); return err })
	return head, all, err
}

func (l *faultyLog) Head(ctx context.Context, key store.Key) (head *store.Head, err error) {
	err = l.faulty.read(ctx, "Head", func() error { head, err = l.Log.Head(ctx, key); return err })
	return head, err
}

func (l *faultyLog) Messages(
	ctx context.Context, key store.Key, offsets []uint64,
) (all []store.Message, err error) {
	err = l.faulty.read(ctx, "Messages", func() error { all, err = l.Log.Messages(ctx, key, offsets); return err })
	return all, err
}

func (l *faultyLog) Page(
	ctx context.Context, key store.Key, from, to uint64,
) (page []store.Message, next uint64, err error) {
	err = l.faulty.read(ctx, "Page", func() error { page, next, err = l.Log.Page(ctx, key, from, to); return err })
	return page, next, err
}

func (l *faultyLog) Find(
	ctx context.Context, key store.Key, id string,
) (head *store.Head, all []store.Message, err error) {
	err = l.faulty.read(ctx, "Find", func() error { head, all, err = l.Log.Find(ctx, key, id); return err })
	return head, all, err
}

func (l *faultyLog) Segments(
	ctx context.Context, key store.Key, from uint64, limit int,
) (all []store.Segment, err error) {
	err = l.faulty.read(ctx, "Segments", func() error { all, err = l.Log.Segments(ctx, key, from, limit); return err })
	return all, err
}

func (l *faultyLog) LastSegment(
	ctx context.Context, key store.Key, below uint64,
) (last *store.Segment, err error) {
	err = l.faulty.read(ctx, "LastSegment", func() error { last, err = l.Log.LastSegment(ctx, key, below); return err })
	return last, err
}

func (l *faultyLog) Channels(ctx context.Context, namespace string) iter.Seq2[string, error] {
	return list(ctx, l.faulty, "Channels", l.Log.Channels(ctx, namespace))
}

func (l *faultyLog) Stored(ctx context.Context, namespace string) iter.Seq2[string, error] {
	return list(ctx, l.faulty, "Stored", l.Log.Stored(ctx, namespace))
}

func (a *faultyArchive) Get(ctx context.Context, o store.Object) (body []byte, err error) {
	err = a.faulty.read(ctx, "Archive.Get", func() error { body, err = a.Archive.Get(ctx, o); return err })
	return body, err
}

func (a *faultyArchive) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return list(ctx, a.faulty, "Archive.List", a.Archive.List(ctx, prefix))
}

func (h *faultyHints) Hints(ctx context.Context, namespace string, ids []string) (all []store.Hint, err error) {
	err = h.faulty.read(ctx, "Hints", func() error { all, err = h.hints.Hints(ctx, namespace, ids); return err })
	return all, err
}
