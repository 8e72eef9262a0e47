package storetest

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/sdsaws/sdsaws/store"
)

// with runs f on a channel.
func (m *Memory) with(ctx context.Context, key store.Key, f func(*memoryChannel) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return f(m.channel(key))
}

// Stage implements store.Log.
func (m *Memory) Stage(ctx context.Context, key store.Key, prev store.CommitID, messages []store.Message) error {
	if err := m.Limits(key).Check(store.Head{}, messages); err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	return m.with(ctx, key, func(c *memoryChannel) error {
		if err := c.expect(prev); err != nil {
			return err
		}
		for _, msg := range messages {
			msg.Staged = prev
			c.messages[msg.Offset] = copyMessage(msg)
		}
		return nil
	})
}

// Unstage implements store.Log.
func (m *Memory) Unstage(ctx context.Context, key store.Key) error {
	return m.with(ctx, key, func(c *memoryChannel) error {
		var next uint64
		var id store.CommitID
		if c.head != nil {
			next, id = c.head.Next, c.head.CommitID
		}
		maps.DeleteFunc(c.messages, func(o uint64, msg store.Message) bool {
			return o >= next && msg.Staged != store.CommitID{} && msg.Staged != id
		})
		return nil
	})
}

// memoryPage is how many messages a page has, few, so that tests see several.
const memoryPage = 64

// Page implements store.Log.
func (m *Memory) Page(ctx context.Context, key store.Key, from, to uint64) (page []store.Message, next uint64, err error) {
	err = m.with(ctx, key, func(c *memoryChannel) error {
		page, next = c.between(from, to), max(from, to)
		if len(page) > memoryPage {
			page = page[:memoryPage]
			next = page[memoryPage-1].Offset + 1
		}
		return nil
	})
	return page, next, err
}

// Find implements store.Log.
func (m *Memory) Find(ctx context.Context, key store.Key, id string) (h *store.Head, found []store.Message, err error) {
	err = m.with(ctx, key, func(c *memoryChannel) error {
		if h = copyHead(c.head); h != nil {
			found = slices.DeleteFunc(c.between(h.Origin, h.Next), func(msg store.Message) bool { return msg.ID != id })
		}
		return nil
	})
	return h, found, err
}

func copySegment(s store.Segment) store.Segment {
	s.Body = bytes.Clone(s.Body)
	return s
}

// AddSegment implements store.Log.
func (m *Memory) AddSegment(ctx context.Context, key store.Key, origin uint64, s store.Segment) error {
	return m.with(ctx, key, func(c *memoryChannel) error {
		if c.head == nil || c.head.Origin != origin {
			return &store.ConflictError{Current: copyHead(c.head)}
		}
		if _, ok := c.segments[s.From]; ok {
			return fmt.Errorf("memory: segment from %d: %w", s.From, store.ErrExists)
		}
		c.segments[s.From] = copySegment(s)
		return nil
	})
}

// ReplaceSegment implements store.Log.
func (m *Memory) ReplaceSegment(ctx context.Context, key store.Key, s store.Segment) error {
	return m.with(ctx, key, func(c *memoryChannel) error {
		if _, ok := c.segments[s.From]; !ok {
			return fmt.Errorf("memory: segment from %d: %w", s.From, store.ErrNotFound)
		}
		c.segments[s.From] = copySegment(s)
		return nil
	})
}

// Segments implements store.Log.
func (m *Memory) Segments(ctx context.Context, key store.Key, from uint64, limit int) (all []store.Segment, err error) {
	err = m.with(ctx, key, func(c *memoryChannel) error {
		for _, o := range slices.Sorted(maps.Keys(c.segments)) {
			if o >= from && len(all) < limit {
				all = append(all, copySegment(c.segments[o]))
			}
		}
		return nil
	})
	return all, err
}

// LastSegment implements store.Log.
func (m *Memory) LastSegment(ctx context.Context, key store.Key, below uint64) (last *store.Segment, err error) {
	err = m.with(ctx, key, func(c *memoryChannel) error {
		for _, o := range slices.Sorted(maps.Keys(c.segments)) {
			if o < below {
				s := copySegment(c.segments[o])
				last = &s
			}
		}
		return nil
	})
	return last, err
}

// DeleteSegments implements store.Log.
func (m *Memory) DeleteSegments(ctx context.Context, key store.Key, below uint64) error {
	return m.with(ctx, key, func(c *memoryChannel) error {
		maps.DeleteFunc(c.segments, func(o uint64, _ store.Segment) bool { return o < below })
		return nil
	})
}

// Channels implements store.Log.
func (m *Memory) Channels(ctx context.Context, namespace string) iter.Seq2[string, error] {
	return m.names(ctx, namespace, func(c *memoryChannel) bool { return c.head != nil })
}

// Stored implements store.Log.
func (m *Memory) Stored(ctx context.Context, namespace string) iter.Seq2[string, error] {
	return m.names(ctx, namespace, func(c *memoryChannel) bool {
		return c.head != nil || len(c.messages)+len(c.segments) > 0
	})
}

func (m *Memory) names(
	ctx context.Context, namespace string, wanted func(*memoryChannel) bool,
) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := ctx.Err(); err != nil {
			yield("", err)
			return
		}
		m.mu.Lock()
		var names []string
		for key, c := range m.channels {
			if key.Namespace == namespace && wanted(c) {
				names = append(names, key.Channel)
			}
		}
		m.mu.Unlock()
		for _, name := range names {
			if !yield(name, nil) {
				return
			}
		}
	}
}
