package sdsaws_test

import (
	"context"
	"iter"
	"time"

	"github.com/sdsaws/sdsaws/store"
	"github.com/sdsaws/sdsaws/store/storetest"
)

// Each request goes through do, under a name of its own.

func (m *memory) Load(
	ctx context.Context, key store.Key, from uint64,
) (h *store.Head, all []store.Message, err error) {
	err = m.do(ctx, "load", func(ctx context.Context) error { h, all, err = m.Memory.Load(ctx, key, from); return err })
	return h, all, err
}

func (m *memory) Head(ctx context.Context, key store.Key) (h *store.Head, err error) {
	err = m.do(ctx, "head", func(ctx context.Context) error { h, err = m.Memory.Head(ctx, key); return err })
	return h, err
}

func (m *memory) Messages(ctx context.Context, key store.Key, offsets []uint64) (all []store.Message, err error) {
	err = m.do(ctx, "messages", func(ctx context.Context) error {
		all, err = m.Memory.Messages(ctx, key, offsets)
		return err
	})
	return all, err
}

func (m *memory) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, h store.Head, all []store.Message,
) error {
	return m.do(ctx, "commit", func(ctx context.Context) error { return m.Memory.Commit(ctx, key, prev, h, all) })
}

func (m *memory) Stage(ctx context.Context, key store.Key, prev store.CommitID, all []store.Message) error {
	return m.do(ctx, "stage", func(ctx context.Context) error { return m.Memory.Stage(ctx, key, prev, all) })
}

func (m *memory) Unstage(ctx context.Context, key store.Key) error {
	return m.do(ctx, "unstage", func(ctx context.Context) error { return m.Memory.Unstage(ctx, key) })
}

func (m *memory) Claim(ctx context.Context, key store.Key, prev store.CommitID, c store.Claim) error {
	return m.do(ctx, "claim", func(ctx context.Context) error { return m.Memory.Claim(ctx, key, prev, c) })
}

func (m *memory) Delete(ctx context.Context, key store.Key, from, to uint64) error {
	return m.do(ctx, "delete", func(ctx context.Context) error { return m.Memory.Delete(ctx, key, from, to) })
}

func (m *memory) Page(
	ctx context.Context, key store.Key, from, to uint64,
) (all []store.Message, next uint64, err error) {
	err = m.do(ctx, "page", func(ctx context.Context) error {
		all, next, err = m.Memory.Page(ctx, key, from, to)
		return err
	})
	return all, next, err
}

func (m *memory) Find(ctx context.Context, key store.Key, id string) (h *store.Head, all []store.Message, err error) {
	err = m.do(ctx, "find", func(ctx context.Context) error { h, all, err = m.Memory.Find(ctx, key, id); return err })
	return h, all, err
}

func (m *memory) AddSegment(ctx context.Context, key store.Key, origin uint64, s store.Segment) error {
	return m.do(ctx, "add segment", func(ctx context.Context) error { return m.Memory.AddSegment(ctx, key, origin, s) })
}

func (m *memory) ReplaceSegment(ctx context.Context, key store.Key, s store.Segment) error {
	return m.do(ctx, "replace segment", func(ctx context.Context) error { return m.Memory.ReplaceSegment(ctx, key, s) })
}

func (m *memory) Segments(
	ctx context.Context, key store.Key, from uint64, limit int,
) (all []store.Segment, err error) {
	err = m.do(ctx, "segments", func(ctx context.Context) error {
		all, err = m.Memory.Segments(ctx, key, from, limit)
		return err
	})
	return all, err
}

func (m *memory) LastSegment(ctx context.Context, key store.Key, below uint64) (last *store.Segment, err error) {
	err = m.do(ctx, "last segment", func(ctx context.Context) error {
		last, err = m.Memory.LastSegment(ctx, key, below)
		return err
	})
	return last, err
}

func (m *memory) DeleteSegments(ctx context.Context, key store.Key, below uint64) error {
	return m.do(ctx, "delete segments", func(ctx context.Context) error {
		return m.Memory.DeleteSegments(ctx, key, below)
	})
}

func (m *memory) SetHints(ctx context.Context, ns string, hints []store.Hint, ttl time.Duration) error {
	return m.do(ctx, "hints", func(ctx context.Context) error { return m.Memory.SetHints(ctx, ns, hints, ttl) })
}

func (m *memory) DeleteHints(ctx context.Context, ns string, ids []string) error {
	return m.do(ctx, "delete hints", func(ctx context.Context) error { return m.Memory.DeleteHints(ctx, ns, ids) })
}

// memoryArchive is the archive of a memory.
type memoryArchive struct {
	storetest.MemoryArchive
	memory *memory
}

func (a *memoryArchive) Put(ctx context.Context, name string, body []byte) (o store.Object, err error) {
	err = a.memory.do(ctx, "put", func(ctx context.Context) error {
		o, err = a.MemoryArchive.Put(ctx, name, body)
		return err
	})
	return o, err
}

func (a *memoryArchive) Get(ctx context.Context, o store.Object) (body []byte, err error) {
	err = a.memory.do(ctx, "get", func(ctx context.Context) error { body, err = a.MemoryArchive.Get(ctx, o); return err })
	return body, err
}

func (a *memoryArchive) Delete(ctx context.Context, objects ...store.Object) error {
	return a.memory.do(ctx, "remove", func(ctx context.Context) error { return a.MemoryArchive.Delete(ctx, objects...) })
}

func (a *memoryArchive) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		if err := a.memory.do(ctx, "list", context.Context.Err); err != nil {
			yield(store.Object{}, err)
			return
		}
		for o, err := range a.MemoryArchive.List(ctx, prefix) {
			if !yield(o, err) {
				return
			}
		}
	}
}
