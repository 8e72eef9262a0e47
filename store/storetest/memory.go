package storetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/sdsaws/sdsaws/store"
)

// Memory is a store.Log and a store.Hints in memory. Its zero value is empty and ready.
// The fields are set before first use.
type Memory struct {
	// Max are the limits of every channel. A field that is 0 is none.
	Max store.Limits

	// MaxHint is the limit of a hint's id and value, in bytes. 0 is none.
	MaxHint int

	// Now replaces the machine's clock where hints expire.
	Now func() time.Time

	mu       sync.Mutex // protects what follows
	channels map[store.Key]*memoryChannel
	hints    map[hintKey]memoryHint
}

var (
	_ store.Log   = (*Memory)(nil)
	_ store.Hints = (*Memory)(nil)
)

type memoryChannel struct {
	head     *store.Head
	messages map[uint64]store.Message
	segments map[uint64]store.Segment
}

type hintKey struct{ namespace, id string }

type memoryHint struct {
	value   []byte
	expires time.Time // zero: never
}

// channel returns what is stored under a key; the caller holds mu.
func (m *Memory) channel(key store.Key) *memoryChannel {
	if m.channels == nil {
		m.channels = map[store.Key]*memoryChannel{}
	}
	c := m.channels[key]
	if c == nil {
		c = &memoryChannel{messages: map[uint64]store.Message{},
			segments: map[uint64]store.Segment{}}
		m.channels[key] = c
	}
	return c
}

func orNone(limit int) int {
	if limit == 0 {
		return math.MaxInt
	}
	return limit
}

// Limits returns Max.
func (m *Memory) Limits(store.Key) store.Limits {
	return store.Limits{
		Messages:     orNone(m.Max.Messages),
		HeadBytes:    orNone(m.Max.HeadBytes),
		MessageBytes: orNone(m.Max.MessageBytes),
		CommitBytes:  orNone(m.Max.CommitBytes),
	}
}

// Load implements store.Log.
func (m *Memory) Load(ctx context.Context, key store.Key, from uint64) (*store.Head, []store.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.channel(key)
	if c.head == nil {
		return nil, nil, nil
	}
	return copyHead(c.head), c.between(max(from, c.head.Start), c.head.Next), nil
}

// between returns copies of the messages at offsets from from to to-1, ascending.
func (c *memoryChannel) between(from, to uint64) []store.Message {
	var found []store.Message
	for o, msg := range c.messages {
		if from <= o && o < to {
			found = append(found, copyMessage(msg))
		}
	}
	slices.SortFunc(found, func(a, b store.Message) int { return cmp.Compare(a.Offset, b.Offset) })
	return found
}

func copyMessage(msg store.Message) store.Message {
	msg.Body = bytes.Clone(msg.Body)
	return msg
}

// Head implements store.Log.
func (m *Memory) Head(ctx context.Context, key store.Key) (*store.Head, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return copyHead(m.channel(key).head), nil
}

// Messages implements store.Log.
func (m *Memory) Messages(ctx context.Context, key store.Key, offsets []uint64) ([]store.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.channel(key)
	var found []store.Message
	for _, o := range slices.Compact(slices.Sorted(slices.Values(offsets))) {
		if msg, ok := c.messages[o]; ok {
			found = append(found, copyMessage(msg))
		}
	}
	return found, nil
}

// Commit implements store.Log.
func (m *Memory) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := m.Limits(key).Check(head, messages); err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.channel(key)
	if err := c.expect(prev); err != nil {
		return err
	}
	c.head = copyHead(&head)
	for _, msg := range messages {
		msg.Staged = store.CommitID{}
		c.messages[msg.Offset] = copyMessage(msg)
	}
	return nil
}

// expect returns a conflict unless the head's commit id is prev.
func (c *memoryChannel) expect(prev store.CommitID) error {
	var id store.CommitID
	if c.head != nil {
		id = c.head.CommitID
	}
	if id != prev {
		return &store.ConflictError{Current: copyHead(c.head)}
	}
	return nil
}

// Claim implements store.Log.
func (m *Memory) Claim(ctx context.Context, key store.Key, prev store.CommitID, claim store.Claim) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.channel(key)
	if c.head == nil {
		return &store.ConflictError{}
	}
	if err := c.expect(prev); err != nil {
		return err
	}
	c.head.CommitID, c.head.Writer, c.head.Region = claim.CommitID, claim.Writer, claim.Region
	c.head.Epoch++
	return nil
}

// Delete implements store.Log.
func (m *Memory) Delete(ctx context.Context, key store.Key, from, to uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.channel(key).messages, func(o uint64, _ store.Message) bool {
		return from <= o && o < to
	})
	return nil
}

// HintLimit returns MaxHint.
func (m *Memory) HintLimit(string) int { return orNone(m.MaxHint) }

func (m *Memory) clock() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

// SetHints implements store.Hints.
func (m *Memory) SetHints(ctx context.Context, namespace string, hints []store.Hint, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var expires time.Time
	if ttl > 0 {
		expires = m.clock().Add(ttl)
	}
	for _, h := range hints {
		if n := len(h.MessageID) + len(h.Value); n > m.HintLimit(namespace) {
			return fmt.Errorf("memory: %w: hint of %d bytes, at most %d fit",
				store.ErrTooLarge, n, m.HintLimit(namespace))
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hints == nil {
		m.hints = map[hintKey]memoryHint{}
	}
	for _, h := range hints {
		m.hints[hintKey{namespace, h.MessageID}] = memoryHint{bytes.Clone(h.Value), expires}
	}
	return nil
}

// Hints implements store.Hints.
func (m *Memory) Hints(ctx context.Context, namespace string, ids []string) ([]store.Hint, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := m.clock()
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []store.Hint
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		h, ok := m.hints[hintKey{namespace, id}]
		if ok && (h.expires.IsZero() || now.Before(h.expires)) {
			found = append(found, store.Hint{MessageID: id, Value: bytes.Clone(h.value)})
		}
	}
	return found, nil
}

// DeleteHints implements store.Hints.
func (m *Memory) DeleteHints(ctx context.Context, namespace string, ids []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		delete(m.hints, hintKey{namespace, id})
	}
	return nil
}

// RemoveHead removes the head of a channel, and nothing else.
func (m *Memory) RemoveHead(key store.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.channel(key).head = nil
}

// Edit lets f change what is stored of a channel, as damage does. The head is nil when there is
// none.
func (m *Memory) Edit(key store.Key, f func(head *store.Head, messages map[uint64]store.Message)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.channel(key)
	f(c.head, c.messages)
}

// CopyFrom makes m hold what other holds, and nothing else: a test can go on from one state in
// several ways.
func (m *Memory) CopyFrom(other *Memory) {
	other.mu.Lock()
	defer other.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.channels, m.hints = map[store.Key]*memoryChannel{}, map[hintKey]memoryHint{}
	for key, from := range other.channels {
		c := m.channel(key)
		c.head = copyHead(from.head)
		for o, msg := range from.messages {
			c.messages[o] = copyMessage(msg)
		}
		for o, s := range from.segments {
			c.segments[o] = copySegment(s)
		}
	}
	for key, h := range other.hints {
		m.hints[key] = memoryHint{bytes.Clone(h.value), h.expires}
	}
}

// Count returns how many heads, messages, segments and hints are stored of a namespace.
func (m *Memory) Count(namespace string) (heads, messages, segments, hints int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, c := range m.channels {
		if key.Namespace != namespace {
			continue
		}
		if c.head != nil {
			heads++
		}
		messages += len(c.messages)
		segments += len(c.segments)
	}
	for key := range m.hints {
		if key.namespace == namespace {
			hints++
		}
	}
	return heads, messages, segments, hints
}
