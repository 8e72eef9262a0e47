package sdsaws

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// transfers is how many objects a channel reads or writes at once.
const transfers = 8

// The name of a value tells which commit it was made for and which one came before, so
// that a reader can tell garbage from what is about to be committed.
func valueName(prev, id store.CommitID, n int) string { return fmt.Sprintf("%v-%v-%d", prev, id, n) }

// madeAfter reports whether a value was made for a commit that follows prev.
func madeAfter(name string, prev store.CommitID) bool {
	return strings.HasPrefix(name, prev.String()+"-")
}

func (r ref) valueObject(v *record.Value) store.Object {
	return store.Object{Name: record.Folder(record.Values, r.key) + v.Name, Version: v.Version, Size: v.Size}
}

// forEach calls f for each index below n, several at once, and returns the first error.
func forEach(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	places := make(chan struct{}, transfers)
	for i := range n {
		places <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-places }()
			if err := f(ctx, i); err != nil {
				stop(err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// upload puts what is too large for its item into the archive. What it has put is in
// d.uploaded, also when it fails.
func (ch *channel) upload(ctx context.Context, d *draft) (err error) {
	n := len(d.large)
	if d.skeleton != nil {
		n++
	}
	if n == 0 {
		return nil
	}
	defer func() {
		if err == nil {
			d.large, d.skeleton = nil, nil // they are there
		}
	}()
	bodies := make([][]byte, n)
	for i := range bodies {
		if i < len(d.large) {
			bodies[i] = d.large[i].packed
		} else {
			bodies[i] = d.skeleton
		}
	}
	var mu sync.Mutex
	err = forEach(ctx, n, func(ctx context.Context, i int) error {
		packed := bodies[i]
		name := valueName(d.base.head.CommitID, d.id, i)
		o, err := ch.a.archive.Put(ctx, record.Folder(record.Values, ch.key)+name, packed)
		if err != nil {
			return fmt.Errorf("value %s: %w", name, err)
		}
		mu.Lock()
		defer mu.Unlock()
		d.uploaded = append(d.uploaded, o)
		v := record.NewValue(name, o.Version, packed)
		if i < len(d.large) {
			d.messages[d.large[i].index].Body = record.ValueMessage(d.large[i].term, v)
		} else {
			d.snapshot.value, d.record.Value = v, v
		}
		return nil
	})
	return err
}

// fetchValue reads a value.
func (r ref) fetchValue(ctx context.Context, v *record.Value) ([]byte, error) {
	b, err := r.a.archive.Get(ctx, r.valueObject(v))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, fmt.Errorf("%w: value %s: %w", sds.ErrIncomplete, v.Name, err)
	case errors.Is(err, store.ErrSize):
		return nil, fmt.Errorf("value %s: %w: %w", v.Name, sds.ErrCorrupt, err)
	case err != nil:
		return nil, fmt.Errorf("value %s: %w", v.Name, err)
	}
	if err := v.Check(b); err != nil {
		return nil, fmt.Errorf("value %s: %w", v.Name, contract(err))
	}
	return b, nil
}

// inlined puts what the messages refer to in its place.
func (r ref) inlined(ctx context.Context, messages []store.Message) error {
	type reference struct {
		index int
		value *record.Value
	}
	var all []reference
	for i := range messages {
		v, err := record.MessageValue(messages[i].Body)
		if err != nil {
			return r.fail("read", itemName(messages[i].Offset), contract(err))
		}
		if v != nil {
			all = append(all, reference{i, v})
		}
	}
	return forEach(ctx, len(all), func(ctx context.Context, i int) error {
		m := &messages[all[i].index]
		packed, err := r.fetchValue(ctx, all[i].value)
		if err != nil {
			return r.fail("read", itemName(m.Offset), err)
		}
		m.Body = record.Inline(m.Body, packed)
		return nil
	})
}

func itemName(offset uint64) string { return fmt.Sprintf("message at offset %d", offset) }

// trash is objects that nothing refers to any more. It is under the channel's mu.
type trash struct {
	objects []store.Object
	running chan struct{} // closed when the deletion under way ends; nil: there is none
	retryAt time.Time     // not before, after a failure
}

const (
	maxTrash   = 10_000 // objects over all channels, in some 2 MB; the rest is left to a sweep
	trashPause = time.Minute
)

// discard notes objects that nothing refers to any more. They are deleted when there is
// nothing else to do; a sweep finds what then stays.
func (ch *channel) discard(objects ...store.Object) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.keepTrash(objects)
}

// keepTrash notes as many of the objects as may be. ch.mu is held.
func (ch *channel) keepTrash(objects []store.Object) {
	n := int64(len(objects))
	room := maxTrash - ch.a.trashed.Add(n) + n // others may be here too
	left := n - max(0, min(n, room))
	ch.a.trashed.Add(-left)
	ch.trash.objects = append(ch.trash.objects, objects[:n-left]...)
}

func (ch *channel) hasTrash() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return len(ch.trash.objects) > 0
}

// emptyTrash deletes what was discarded. It needs no turn, so that commits go on.
func (ch *channel) emptyTrash(ctx context.Context) {
	ch.mu.Lock()
	t := &ch.trash
	objects := t.objects
	if len(objects) == 0 || t.running != nil || ch.a.o.Clock.Now().Before(t.retryAt) {
		ch.mu.Unlock()
		return
	}
	t.objects, t.running = nil, make(chan struct{})
	ch.a.trashed.Add(-int64(len(objects)))
	ch.mu.Unlock()
	err := ch.a.archive.Delete(ctx, objects...)
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if err != nil {
		t.retryAt = ch.a.o.Clock.Now().Add(trashPause)
		ch.keepTrash(objects)
	}
	close(t.running)
	t.running = nil
}
