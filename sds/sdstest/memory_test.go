package sdstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/sdsaws/sdsaws/sds"
)

// place is where stores in memory keep what is durable.
type place struct {
	mu       sync.Mutex // protects the maps and what is in them
	channels map[string]*stored
	hints    map[string][]byte
}

type stored struct {
	state
	holder *memory
}

func newPlace() *place {
	return &place{channels: map[string]*stored{}, hints: map[string][]byte{}}
}

// memory is a store in memory that keeps the contract, in committed mode.
type memory struct {
	*place
	participant string
	forgives    error // a reason for which bytes are refused, and aren't here

	// These belong to the process, and are protected by the place's mutex.
	open   map[string][]byte // snapshots that wait for their update
	lost   map[string]bool   // channels that others have claimed
	known  map[string]bool   // channels that were loaded or written
	closed bool
}

func newMemory(p *place, participant string) *memory {
	return &memory{place: p, participant: participant,
		open: map[string][]byte{}, lost: map[string]bool{}, known: map[string]bool{}}
}

// enter takes the lock, and returns what undoes that, for a call that can be served.
func (m *memory) enter(ctx context.Context) (func(), error) {
	if ctx == nil {
		return nil, fmt.Errorf("%w: nil context", sds.ErrInvalidArgument)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, sds.ErrClosed
	}
	return m.mu.Unlock, nil
}

// channel is enter for a call on a channel. The first one claims it.
func (m *memory) channel(ctx context.Context, id string) (*stored, func(), error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	if id == "" {
		leave()
		return nil, nil, fmt.Errorf("%w: empty channel id", sds.ErrInvalidArgument)
	}
	key := m.participant + "\x00" + id
	c := m.channels[key]
	if c == nil {
		c = &stored{state: emptyState()}
		m.channels[key] = c
	}
	if !m.known[id] {
		m.known[id], c.holder = true, m
	}
	if c.holder != m {
		m.lost[id] = true
		delete(m.open, id)
	}
	return c, leave, nil
}

// owned is channel for a call that must hold it.
func (m *memory) owned(ctx context.Context, id string) (*stored, func(), error) {
	c, leave, err := m.channel(ctx, id)
	if err == nil && m.lost[id] {
		leave()
		return nil, nil, sds.ErrFenced
	}
	return c, leave, err
}

// check refuses bytes.
func (m *memory) check(err error) error {
	if m.forgives != nil && errors.Is(err, m.forgives) {
		return nil
	}
	return err
}

func (m *memory) checkUpdate(u sds.EncodedHistoryUpdate) (sds.EncodedHistoryUpdate, error) {
	copied := sds.EncodedHistoryUpdate{Evict: idsOf(u.Evict)}
	for _, b := range u.Append {
		_, err := sds.InspectMessage(b)
		if err := m.check(err); err != nil {
			return copied, err
		}
		copied.Append = append(copied.Append, bytes.Clone(b))
	}
	return copied, nil
}

func (m *memory) SaveEncodedMeta(ctx context.Context, id string, meta []byte) error {
	_, leave, err := m.owned(ctx, id)
	if err != nil {
		return err
	}
	defer leave()
	if err := m.check(sds.ValidateMeta(meta)); err != nil {
		return err
	}
	m.open[id] = bytes.Clone(meta)
	return nil
}

func (m *memory) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	c, leave, err := m.owned(ctx, id)
	if err != nil {
		return err
	}
	defer leave()
	copied, err := m.checkUpdate(u)
	if err != nil {
		return err
	}
	m.settle(id, c)
	c.update(copied)
	return nil
}

func (m *memory) CommitEncoded(ctx context.Context, id string, meta []byte, u sds.EncodedHistoryUpdate) error {
	c, leave, err := m.owned(ctx, id)
	if err != nil {
		return err
	}
	defer leave()
	copied, err := m.checkUpdate(u)
	if err = errors.Join(err, m.check(sds.ValidateMeta(meta))); err != nil {
		return err
	}
	delete(m.open, id)
	c.meta = bytes.Clone(meta)
	c.update(copied)
	return nil
}

// settle stores the open snapshot.
func (m *memory) settle(id string, c *stored) {
	if meta, ok := m.open[id]; ok {
		c.meta = meta
		delete(m.open, id)
	}
}

func (m *memory) LoadEncodedChannel(ctx context.Context, id string) (sds.EncodedChannelData, error) {
	c, leave, err := m.channel(ctx, id)
	if err != nil {
		return sds.EncodedChannelData{}, err
	}
	defer leave()
	m.settle(id, c)
	c.holder = m
	delete(m.lost, id)
	got := sds.EncodedChannelData{Meta: bytes.Clone(c.meta)}
	for _, b := range c.sorted() {
		got.Messages = append(got.Messages, bytes.Clone(b))
	}
	return got, nil
}

func (m *memory) DropChannel(ctx context.Context, id string) error {
	c, leave, err := m.owned(ctx, id)
	if err != nil {
		return err
	}
	defer leave()
	delete(m.open, id)
	c.state = emptyState()
	return nil
}

func (m *memory) SetRetrievalHint(ctx context.Context, id string, hint []byte) error {
	leave, err := m.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	m.hints[m.participant+"\x00"+id] = bytes.Clone(hint)
	return nil
}

func (m *memory) Hints(ctx context.Context, ids ...string) (map[string][]byte, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	got := map[string][]byte{}
	for _, id := range ids {
		if hint, ok := m.hints[m.participant+"\x00"+id]; ok {
			got[id] = bytes.Clone(hint)
		}
	}
	return got, nil
}

func (m *memory) Flush(ctx context.Context) error {
	leave, err := m.enter(ctx)
	if err != nil {
		return err
	}
	known := maps.Clone(m.known)
	leave()
	for id := range known {
		c, leave, failed := m.owned(ctx, id)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("channel %s: %w", clip([]byte(id)), failed))
			continue
		}
		m.settle(id, c)
		leave()
	}
	return err
}

func (m *memory) Close(ctx context.Context) error {
	err := m.Flush(ctx)
	if errors.Is(err, sds.ErrClosed) {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return err
}

// bytesOnly is what a store has to do with encoded bytes.
type bytesOnly interface {
	sds.EncodedPersistence
	CommitEncoded(ctx context.Context, id string, meta []byte, u sds.EncodedHistoryUpdate) error
	Flush(ctx context.Context) error
	Close(ctx context.Context) error
	Hints(ctx context.Context, ids ...string) (map[string][]byte, error)
}

// decoder decodes by itself what it loads.
type decoder interface {
	LoadChannel(ctx context.Context, id string) (*sds.ChannelData, error)
}

// whole adds the decoded operations.
type whole struct{ bytesOnly }

func (w whole) SaveChannelMeta(ctx context.Context, id string, meta *sds.ChannelMeta) error {
	if meta == nil {
		return fmt.Errorf("%w: nil snapshot", sds.ErrInvalidArgument)
	}
	return w.SaveEncodedMeta(ctx, id, encode(meta.MarshalBinary()))
}

func (w whole) UpdateHistory(ctx context.Context, id string, u *sds.HistoryUpdate) error {
	if u == nil {
		return fmt.Errorf("%w: nil update", sds.ErrInvalidArgument)
	}
	return w.UpdateEncodedHistory(ctx, id, encodedUpdate(u))
}

func (w whole) Commit(ctx context.Context, id string, meta *sds.ChannelMeta, u *sds.HistoryUpdate) error {
	if meta == nil || u == nil {
		return fmt.Errorf("%w: half a pair", sds.ErrInvalidArgument)
	}
	return w.CommitEncoded(ctx, id, encode(meta.MarshalBinary()), encodedUpdate(u))
}

func encodedUpdate(u *sds.HistoryUpdate) sds.EncodedHistoryUpdate {
	e := sds.EncodedHistoryUpdate{Evict: u.Evict}
	for i := range u.Append {
		e.Append = append(e.Append, encode(u.Append[i].MarshalBinary()))
	}
	return e
}

func (w whole) LoadChannel(ctx context.Context, id string) (*sds.ChannelData, error) {
	if d, ok := w.bytesOnly.(decoder); ok {
		return d.LoadChannel(ctx, id)
	}
	got, err := w.LoadEncodedChannel(ctx, id)
	if err != nil {
		return nil, err
	}
	d := &sds.ChannelData{MessageHistory: make([]sds.Message, len(got.Messages))}
	err = d.Meta.UnmarshalBinary(got.Meta)
	for i, b := range got.Messages {
		err = errors.Join(err, d.MessageHistory[i].UnmarshalBinary(b))
	}
	return d, err
}
