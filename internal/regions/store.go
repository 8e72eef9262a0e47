package regions

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/sdsaws/sdsaws/store"
)

var (
	_ store.Log     = (*Region)(nil)
	_ store.Hints   = (*Region)(nil)
	_ store.Archive = (*Bucket)(nil)
)

var background = context.Background()

func sorted(places iter.Seq[place]) []place {
	return slices.SortedFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.key.Channel, b.key.Channel),
			cmp.Compare(a.offset, b.offset), cmp.Compare(a.name, b.name))
	})
}

// request locks the world for a request and lets things arrive before it, perhaps.
func (r *Region) request() (done func()) {
	r.world.mu.Lock()
	r.step()
	return r.world.mu.Unlock
}

// MaxMessages is how many messages a commit holds, few, so that larger updates are staged.
const MaxMessages = 4

// Limits are DynamoDB's but for MaxMessages.
func (r *Region) Limits(store.Key) store.Limits {
	return store.Limits{Messages: MaxMessages, HeadBytes: 400 << 10, MessageBytes: 400 << 10, CommitBytes: 4 << 20}
}

// Load implements store.Log.
func (r *Region) Load(ctx context.Context, key store.Key, from uint64) (*store.Head, []store.Message, error) {
	defer r.request()()
	return r.table.Load(ctx, key, from)
}

// Head implements store.Log.
func (r *Region) Head(ctx context.Context, key store.Key) (*store.Head, error) {
	defer r.request()()
	return r.table.Head(ctx, key)
}

// Peek returns the head of a channel in this region; nothing arrives before it.
func (r *Region) Peek(key store.Key) (*store.Head, error) {
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	return r.table.Head(background, key)
}

// Messages implements store.Log.
func (r *Region) Messages(ctx context.Context, key store.Key, offsets []uint64) ([]store.Message, error) {
	defer r.request()()
	return r.table.Messages(ctx, key, offsets)
}

func places(key store.Key, messages []store.Message) []place {
	var all []place
	for _, m := range messages {
		all = append(all, place{kind: messageItem, key: key, offset: m.Offset})
	}
	return all
}

// Commit implements store.Log.
func (r *Region) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	defer r.request()()
	return r.write(key, func() error {
		err := r.table.Commit(ctx, key, prev, head, messages)
		r.note(err, key, prev, head)
		return err
	}, places(key, messages)...)
}

// note tells who wants to know that a head was written.
func (r *Region) note(err error, key store.Key, prev store.CommitID, head store.Head) {
	if err == nil && r.world.noted != nil {
		r.world.noted(key, prev, head)
	}
}

// Claim implements store.Log.
func (r *Region) Claim(ctx context.Context, key store.Key, prev store.CommitID, claim store.Claim) error {
	defer r.request()()
	return r.write(key, func() error {
		err := r.table.Claim(ctx, key, prev, claim)
		if err == nil {
			head, _ := r.table.Head(ctx, key)
			r.note(nil, key, prev, *head)
		}
		return err
	})
}

// Delete implements store.Log.
func (r *Region) Delete(ctx context.Context, key store.Key, from, to uint64) error {
	defer r.request()()
	return r.write(key, func() error { return r.table.Delete(ctx, key, from, to) })
}

// Stage implements store.Log.
func (r *Region) Stage(ctx context.Context, key store.Key, prev store.CommitID, messages []store.Message) error {
	defer r.request()()
	return r.write(key, func() error { return r.table.Stage(ctx, key, prev, messages) }, places(key, messages)...)
}

// Unstage implements store.Log.
func (r *Region) Unstage(ctx context.Context, key store.Key) error {
	defer r.request()()
	return r.write(key, func() error { return r.table.Unstage(ctx, key) })
}

// Page implements store.Log.
func (r *Region) Page(ctx context.Context, key store.Key, from, to uint64) ([]store.Message, uint64, error) {
	defer r.request()()
	return r.table.Page(ctx, key, from, to)
}

// Find implements store.Log.
func (r *Region) Find(ctx context.Context, key store.Key, id string) (*store.Head, []store.Message, error) {
	defer r.request()()
	return r.table.Find(ctx, key, id)
}

// AddSegment implements store.Log.
func (r *Region) AddSegment(ctx context.Context, key store.Key, origin uint64, s store.Segment) error {
	defer r.request()()
	return r.write(key, func() error { return r.table.AddSegment(ctx, key, origin, s) })
}

// ReplaceSegment implements store.Log.
func (r *Region) ReplaceSegment(ctx context.Context, key store.Key, s store.Segment) error {
	defer r.request()()
	return r.write(key, func() error { return r.table.ReplaceSegment(ctx, key, s) },
		place{kind: segmentItem, key: key, offset: s.From})
}

// Segments implements store.Log.
func (r *Region) Segments(ctx context.Context, key store.Key, from uint64, limit int) ([]store.Segment, error) {
	defer r.request()()
	return r.table.Segments(ctx, key, from, limit)
}

// LastSegment implements store.Log.
func (r *Region) LastSegment(ctx context.Context, key store.Key, below uint64) (*store.Segment, error) {
	defer r.request()()
	return r.table.LastSegment(ctx, key, below)
}

// DeleteSegments implements store.Log.
func (r *Region) DeleteSegments(ctx context.Context, key store.Key, below uint64) error {
	defer r.request()()
	return r.write(key, func() error { return r.table.DeleteSegments(ctx, key, below) })
}

// Channels implements store.Log.
func (r *Region) Channels(ctx context.Context, namespace string) iter.Seq2[string, error] {
	return r.table.Channels(ctx, namespace)
}

// Stored implements store.Log.
func (r *Region) Stored(ctx context.Context, namespace string) iter.Seq2[string, error] {
	return r.table.Stored(ctx, namespace)
}

// HintLimit implements store.Hints.
func (r *Region) HintLimit(namespace string) int { return r.table.HintLimit(namespace) }

// SetHints implements store.Hints. Hints are not replicated here: no claim or head is about
// them.
func (r *Region) SetHints(ctx context.Context, namespace string, hints []store.Hint, ttl time.Duration) error {
	return r.table.SetHints(ctx, namespace, hints, ttl)
}

// Hints implements store.Hints.
func (r *Region) Hints(ctx context.Context, namespace string, ids []string) ([]store.Hint, error) {
	return r.table.Hints(ctx, namespace, ids)
}

// DeleteHints implements store.Hints.
func (r *Region) DeleteHints(ctx context.Context, namespace string, ids []string) error {
	return r.table.DeleteHints(ctx, namespace, ids)
}

// Bucket is a region's replica of the bucket. It keeps no versions. As with S3, what is
// deleted for good in one region stays in the others.
type Bucket struct{ r *Region }

// Archive returns the region's bucket.
func (r *Region) Archive() *Bucket { return &Bucket{r} }

// CopyFrom puts what another region's bucket has and this one has not, as S3 Batch Replication
// does: what was deleted here for good doesn't come back by itself.
func (b *Bucket) CopyFrom(other *Bucket) {
	b.r.world.mu.Lock()
	defer b.r.world.mu.Unlock()
	for o, err := range other.r.bucket.List(background, "") {
		body, failed := other.r.bucket.Get(background, o)
		if err = errors.Join(err, failed); err == nil {
			_, err = b.r.bucket.Put(background, o.Name, body)
		}
		if err != nil && !errors.Is(err, store.ErrExists) { // what is here stays
			panic(err)
		}
	}
}

// Put implements store.Archive.
func (b *Bucket) Put(ctx context.Context, name string, body []byte) (store.Object, error) {
	defer b.r.request()()
	o, err := b.r.bucket.Put(ctx, name, body)
	if err == nil {
		w := b.r.world
		w.writes++
		w.now++
		b.r.send(Change{place{kind: object, name: name}, w.now, slices.Clone(body)})
	}
	return o, err
}

// Get implements store.Archive.
func (b *Bucket) Get(ctx context.Context, o store.Object) ([]byte, error) {
	b.r.world.mu.Lock() // and nothing arrives: several come at once, in no certain order
	defer b.r.world.mu.Unlock()
	return b.r.bucket.Get(ctx, o)
}

// List implements store.Archive.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return b.r.bucket.List(ctx, prefix)
}

// Delete implements store.Archive.
func (b *Bucket) Delete(ctx context.Context, objects ...store.Object) error {
	b.r.world.mu.Lock() // and nothing arrives: it can be when nobody waits for it
	defer b.r.world.mu.Unlock()
	for _, o := range objects {
		if _, err := b.r.bucket.Get(ctx, o); errors.Is(err, store.ErrNotFound) {
			continue
		}
		b.r.world.writes++
	}
	return b.r.bucket.Delete(ctx, objects...)
}
