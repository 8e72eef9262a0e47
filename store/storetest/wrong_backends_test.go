package storetest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sdsaws/sdsaws/store"
)

// base is promoted to every wrong backend.
func (m *Memory) base() *Memory { return m }

// current returns the commit id of a head, zero when there is none.
func current(h *store.Head) store.CommitID {
	if h == nil {
		return store.CommitID{}
	}
	return h.CommitID
}

// force commits whatever the head is.
func force(ctx context.Context, m *Memory, key store.Key, head store.Head, messages []store.Message) error {
	for {
		h, err := m.Head(ctx, key)
		if err != nil {
			return err
		}
		err = m.Commit(ctx, key, current(h), head, messages)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

type ignoresCondition struct{ *Memory }

func (m *ignoresCondition) Commit(
	ctx context.Context, key store.Key, _ store.CommitID, head store.Head, messages []store.Message,
) error {
	return force(ctx, m.Memory, key, head, messages)
}

func (m *ignoresCondition) Claim(ctx context.Context, key store.Key, _ store.CommitID, claim store.Claim) error {
	h, err := m.Head(ctx, key)
	if err != nil {
		return err
	}
	return m.Memory.Claim(ctx, key, current(h), claim)
}

type checksFirst struct {
	*Memory
	passed atomic.Int32 // commits that passed the check
}

func (m *checksFirst) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	h, err := m.Head(ctx, key)
	if err != nil {
		return err
	}
	if current(h) != prev {
		return &store.ConflictError{Current: h}
	}
	// The first to pass waits for a second, so that the race is certain.
	m.passed.Add(1)
	for m.passed.Load() < 2 && ctx.Err() == nil {
		runtime.Gosched()
	}
	return force(ctx, m.Memory, key, head, messages)
}

type tornCommit struct{ *Memory }

func (m *tornCommit) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	err := m.Memory.Commit(ctx, key, prev, head, messages)
	if conflict, ok := asConflict(err); ok {
		_ = m.Stage(ctx, key, current(conflict.Current), messages)
	}
	return err
}

type bareConflict struct{ *Memory }

func (m *bareConflict) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	err := m.Memory.Commit(ctx, key, prev, head, messages)
	if errors.Is(err, store.ErrConflict) {
		return &store.ConflictError{}
	}
	return err
}

type oldConflict struct {
	*Memory
	first atomic.Pointer[store.Head] // of the only channel
}

func (m *oldConflict) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	err := m.Memory.Commit(ctx, key, prev, head, messages)
	if errors.Is(err, store.ErrConflict) {
		return &store.ConflictError{Current: copyHead(m.first.Load())}
	}
	if err == nil {
		m.first.CompareAndSwap(nil, copyHead(&head))
	}
	return err
}

type repeats struct {
	*Memory
	done sync.Map // by commit id
}

func (m *repeats) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	if _, again := m.done.Load(head.CommitID); again {
		return force(ctx, m.Memory, key, head, messages)
	}
	err := m.Memory.Commit(ctx, key, prev, head, messages)
	if err == nil {
		m.done.Store(head.CommitID, true)
	}
	return err
}

type losesMessage struct{ *Memory }

func (m *losesMessage) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	return m.Memory.Commit(ctx, key, prev, head, messages[:max(0, len(messages)-1)])
}

type keepsSlice struct{ *Memory }

func (m *keepsSlice) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	if err := m.Memory.Commit(ctx, key, prev, head, messages); err != nil {
		return err
	}
	return m.with(ctx, key, func(c *memoryChannel) error {
		for _, msg := range messages {
			c.messages[msg.Offset] = msg
		}
		return nil
	})
}

type sharesSlice struct{ *Memory }

func (m *sharesSlice) Messages(ctx context.Context, key store.Key, offsets []uint64) ([]store.Message, error) {
	found, err := m.Memory.Messages(ctx, key, offsets)
	if err != nil {
		return nil, err
	}
	return found, m.with(ctx, key, func(c *memoryChannel) error {
		for i := range found {
			found[i] = c.messages[found[i].Offset]
		}
		return nil
	})
}

type sortsArgument struct{ *Memory }

func (m *sortsArgument) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	slices.SortFunc(messages, func(a, b store.Message) int { return cmp.Compare(a.Offset, b.Offset) })
	return m.Memory.Commit(ctx, key, prev, head, messages)
}

type forgetsEpoch struct{ *Memory }

func (m *forgetsEpoch) Claim(ctx context.Context, key store.Key, prev store.CommitID, claim store.Claim) error {
	if err := m.Memory.Claim(ctx, key, prev, claim); err != nil {
		return err
	}
	return m.with(ctx, key, func(c *memoryChannel) error {
		c.head.Epoch--
		return nil
	})
}

type claimsNothing struct{ *Memory }

func (m *claimsNothing) Claim(ctx context.Context, key store.Key, prev store.CommitID, claim store.Claim) error {
	err := m.Memory.Claim(ctx, key, prev, claim)
	if conflict, ok := asConflict(err); ok && conflict.Current == nil {
		head := store.Head{CommitID: claim.CommitID, Writer: claim.Writer, Region: claim.Region, Epoch: 1}
		return m.Commit(ctx, key, prev, head, nil)
	}
	return err
}

type loadsStaged struct{ *Memory }

func (m *loadsStaged) Load(
	ctx context.Context, key store.Key, from uint64,
) (head *store.Head, messages []store.Message, err error) {
	err = m.with(ctx, key, func(c *memoryChannel) error {
		if head = copyHead(c.head); head != nil {
			messages = c.between(max(from, head.Start), math.MaxUint64)
		}
		return nil
	})
	return head, messages, err
}

type forgetsStaged struct{ *Memory }

func (m *forgetsStaged) Messages(ctx context.Context, key store.Key, offsets []uint64) ([]store.Message, error) {
	all, err := m.Memory.Messages(ctx, key, offsets)
	for i := range all {
		all[i].Staged = store.CommitID{}
	}
	return all, err
}

type loadsBelow struct{ *Memory }

func (m *loadsBelow) Load(
	ctx context.Context, key store.Key, from uint64,
) (head *store.Head, messages []store.Message, err error) {
	err = m.with(ctx, key, func(c *memoryChannel) error {
		if head = copyHead(c.head); head != nil {
			messages = c.between(from, head.Next)
		}
		return nil
	})
	return head, messages, err
}

// loadsPage loads 1 MB, as much as a query of DynamoDB returns.
type loadsPage struct{ *Memory }

func (m *loadsPage) Load(ctx context.Context, key store.Key, from uint64) (*store.Head, []store.Message, error) {
	head, messages, err := m.Memory.Load(ctx, key, from)
	size := 0
	for i, msg := range messages {
		if size += len(msg.Body); size > 1<<20 {
			return head, messages[:i], err
		}
	}
	return head, messages, err
}

type textOrder struct{ *Memory }

func (m *textOrder) Load(ctx context.Context, key store.Key, from uint64) (*store.Head, []store.Message, error) {
	head, messages, err := m.Memory.Load(ctx, key, from)
	slices.SortFunc(messages, func(a, b store.Message) int {
		return strings.Compare(fmt.Sprint(a.Offset), fmt.Sprint(b.Offset))
	})
	return head, messages, err
}

// returns100 returns as many as a BatchGetItem of DynamoDB.
type returns100 struct{ *Memory }

func (m *returns100) Messages(ctx context.Context, key store.Key, offsets []uint64) ([]store.Message, error) {
	found, err := m.Memory.Messages(ctx, key, offsets)
	return found[:min(100, len(found))], err
}

type returnsTwice struct{ *Memory }

func (m *returnsTwice) Messages(ctx context.Context, key store.Key, offsets []uint64) ([]store.Message, error) {
	var all []store.Message
	for i := range offsets {
		found, err := m.Memory.Messages(ctx, key, offsets[i:i+1])
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

type deletesMore struct{ *Memory }

func (m *deletesMore) Delete(ctx context.Context, key store.Key, from, to uint64) error {
	return m.Memory.Delete(ctx, key, from, max(to, to+1))
}

type deletes100 struct{ *Memory }

func (m *deletes100) Delete(ctx context.Context, key store.Key, from, to uint64) error {
	if to > from {
		to = from + min(to-from, 100)
	}
	return m.Memory.Delete(ctx, key, from, to)
}

// mapsKeys keeps channels under other keys, some of them under the same one.
type mapsKeys struct {
	*Memory
	to func(store.Key) store.Key
}

func (m *mapsKeys) Load(ctx context.Context, key store.Key, from uint64) (*store.Head, []store.Message, error) {
	return m.Memory.Load(ctx, m.to(key), from)
}

func (m *mapsKeys) Head(ctx context.Context, key store.Key) (*store.Head, error) {
	return m.Memory.Head(ctx, m.to(key))
}

func (m *mapsKeys) Messages(ctx context.Context, key store.Key, offsets []uint64) ([]store.Message, error) {
	return m.Memory.Messages(ctx, m.to(key), offsets)
}

func (m *mapsKeys) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	return m.Memory.Commit(ctx, m.to(key), prev, head, messages)
}

func (m *mapsKeys) Delete(ctx context.Context, key store.Key, from, to uint64) error {
	return m.Memory.Delete(ctx, m.to(key), from, to)
}

func joined(key store.Key) store.Key {
	return store.Key{Channel: key.Namespace + "/" + key.Channel}
}

func hashed(key store.Key) store.Key {
	if len(key.Channel) > 1024 {
		sum := sha256.Sum256([]byte(key.Channel))
		key.Channel = hex.EncodeToString(sum[:])
	}
	return key
}

func cut(key store.Key) store.Key {
	key.Channel = key.Channel[:min(1024, len(key.Channel))]
	return key
}

func text(key store.Key) store.Key {
	key.Channel = strings.ToValidUTF8(key.Channel, "\ufffd")
	return key
}

type deaf struct{ *Memory }

func (m *deaf) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	return m.Memory.Commit(context.WithoutCancel(ctx), key, prev, head, messages)
}

func (m *deaf) SetHints(ctx context.Context, namespace string, hints []store.Hint, ttl time.Duration) error {
	return m.Memory.SetHints(context.WithoutCancel(ctx), namespace, hints, ttl)
}

type takesMore struct{ *Memory }

func (m *takesMore) Limits(key store.Key) store.Limits {
	l := m.Memory.Limits(key)
	l.HeadBytes--
	return l
}

type refusesLimit struct{ *Memory }

func (m *refusesLimit) Limits(key store.Key) store.Limits {
	l := m.Memory.Limits(key)
	l.CommitBytes++
	return l
}

type writesTooLarge struct{ *Memory }

func (m *writesTooLarge) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	err := m.Memory.Commit(ctx, key, prev, head, messages)
	if errors.Is(err, store.ErrTooLarge) {
		_ = m.Memory.Commit(ctx, key, prev, head, nil)
	}
	return err
}

type forever struct{ *Memory }

func (m *forever) SetHints(ctx context.Context, namespace string, hints []store.Hint, _ time.Duration) error {
	return m.Memory.SetHints(ctx, namespace, hints, 0)
}

type neverReplaces struct{ *Memory }

func (m *neverReplaces) SetHints(
	ctx context.Context, namespace string, hints []store.Hint, ttl time.Duration,
) error {
	var added []store.Hint
	for _, h := range hints {
		found, err := m.Hints(ctx, namespace, []string{h.MessageID})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			added = append(added, h)
		}
	}
	return m.Memory.SetHints(ctx, namespace, added, ttl)
}

type oneNamespace struct{ *Memory }

func (m *oneNamespace) SetHints(ctx context.Context, _ string, hints []store.Hint, ttl time.Duration) error {
	return m.Memory.SetHints(ctx, "", hints, ttl)
}

func (m *oneNamespace) Hints(ctx context.Context, _ string, ids []string) ([]store.Hint, error) {
	return m.Memory.Hints(ctx, "", ids)
}

func (m *oneNamespace) DeleteHints(ctx context.Context, _ string, ids []string) error {
	return m.Memory.DeleteHints(ctx, "", ids)
}

// sets25 sets as many as a BatchWriteItem of DynamoDB.
type sets25 struct{ *Memory }

func (m *sets25) SetHints(ctx context.Context, namespace string, hints []store.Hint, ttl time.Duration) error {
	return m.Memory.SetHints(ctx, namespace, hints[:min(25, len(hints))], ttl)
}

type keepsHints struct{ *Memory }

func (m *keepsHints) DeleteHints(ctx context.Context, _ string, _ []string) error { return ctx.Err() }

type noEmptyHints struct{ *Memory }

func (m *noEmptyHints) SetHints(
	ctx context.Context, namespace string, hints []store.Hint, ttl time.Duration,
) error {
	hints = slices.DeleteFunc(slices.Clone(hints), func(h store.Hint) bool { return len(h.Value) == 0 })
	return m.Memory.SetHints(ctx, namespace, hints, ttl)
}
