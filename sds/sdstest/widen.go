package sdstest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sdsaws/sdsaws/sds"
)

type (
	committer interface {
		Commit(ctx context.Context, channelID string, meta *sds.ChannelMeta, u *sds.HistoryUpdate) error
		CommitEncoded(ctx context.Context, channelID string, meta []byte, u sds.EncodedHistoryUpdate) error
	}
	flusher interface {
		Flush(ctx context.Context) error
	}
	closer interface {
		Close(ctx context.Context) error
	}
	hinter interface {
		Hints(ctx context.Context, messageIDs ...string) (map[string][]byte, error)
	}
)

// offered returns what a store has beside the five operations.
func offered(p sds.Persistence) need {
	var n need
	for offer, has := range map[need]bool{
		encoded:    is[sds.EncodedPersistence](p),
		committing: is[committer](p),
		flushing:   is[flusher](p),
		closing:    is[closer](p),
		hinting:    is[hinter](p),
	} {
		if has {
			n |= offer
		}
	}
	return n
}

func is[T any](v any) bool {
	_, ok := v.(T)
	return ok
}

// widened makes up what a store lacks, as far as tests need it for other guarantees:
// it encodes and decodes, and flushes by loading.
type widened struct {
	sds.Persistence

	mu      sync.Mutex
	written map[string]bool // the channels that Flush loads
}

func widen(p sds.Persistence) Store {
	if s, ok := p.(Store); ok {
		return s
	}
	return &widened{Persistence: p, written: map[string]bool{}}
}

// saved notes a channel for Flush when its snapshot was accepted.
func (w *widened) saved(channelID string, err error) error {
	if err == nil {
		w.mu.Lock()
		w.written[channelID] = true
		w.mu.Unlock()
	}
	return err
}

func (w *widened) SaveChannelMeta(ctx context.Context, channelID string, meta *sds.ChannelMeta) error {
	return w.saved(channelID, w.Persistence.SaveChannelMeta(ctx, channelID, meta))
}

func (w *widened) SaveEncodedMeta(ctx context.Context, channelID string, meta []byte) error {
	if e, ok := w.Persistence.(sds.EncodedPersistence); ok {
		return w.saved(channelID, e.SaveEncodedMeta(ctx, channelID, meta))
	}
	var m sds.ChannelMeta
	if err := m.UnmarshalBinary(meta); err != nil {
		return err
	}
	return w.SaveChannelMeta(ctx, channelID, &m)
}

func (w *widened) UpdateEncodedHistory(
	ctx context.Context, channelID string, u sds.EncodedHistoryUpdate,
) error {
	if e, ok := w.Persistence.(sds.EncodedPersistence); ok {
		return e.UpdateEncodedHistory(ctx, channelID, u)
	}
	decoded := sds.HistoryUpdate{Append: make([]sds.Message, len(u.Append)), Evict: u.Evict}
	for i, b := range u.Append {
		if err := decoded.Append[i].UnmarshalBinary(b); err != nil {
			return err
		}
	}
	return w.UpdateHistory(ctx, channelID, &decoded)
}

func (w *widened) LoadEncodedChannel(ctx context.Context, channelID string) (sds.EncodedChannelData, error) {
	if e, ok := w.Persistence.(sds.EncodedPersistence); ok {
		return e.LoadEncodedChannel(ctx, channelID)
	}
	var none, data sds.EncodedChannelData
	d, err := w.LoadChannel(ctx, channelID)
	if err != nil {
		return none, err
	}
	if data.Meta, err = d.Meta.MarshalBinary(); err != nil {
		return none, err
	}
	for i := range d.MessageHistory {
		b, err := d.MessageHistory[i].MarshalBinary()
		if err != nil {
			return none, err
		}
		data.Messages = append(data.Messages, b)
	}
	return data, nil
}

func (w *widened) Commit(
	ctx context.Context, channelID string, meta *sds.ChannelMeta, u *sds.HistoryUpdate,
) error {
	if c, ok := w.Persistence.(committer); ok {
		return c.Commit(ctx, channelID, meta, u)
	}
	if meta == nil || u == nil {
		return fmt.Errorf("%w: nil", sds.ErrInvalidArgument)
	}
	if err := w.SaveChannelMeta(ctx, channelID, meta); err != nil {
		return err
	}
	return w.UpdateHistory(ctx, channelID, u)
}

func (w *widened) CommitEncoded(
	ctx context.Context, channelID string, meta []byte, u sds.EncodedHistoryUpdate,
) error {
	if c, ok := w.Persistence.(committer); ok {
		return c.CommitEncoded(ctx, channelID, meta, u)
	}
	if err := w.SaveEncodedMeta(ctx, channelID, meta); err != nil {
		return err
	}
	return w.UpdateEncodedHistory(ctx, channelID, u)
}

func (w *widened) Flush(ctx context.Context) error {
	if f, ok := w.Persistence.(flusher); ok {
		return f.Flush(ctx)
	}
	if ctx == nil {
		return fmt.Errorf("%w: nil context", sds.ErrInvalidArgument)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	channels := w.written
	w.written = map[string]bool{}
	w.mu.Unlock()
	var errs []error
	for id := range channels {
		_, err := w.LoadChannel(ctx, id)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (w *widened) Close(ctx context.Context) error {
	if c, ok := w.Persistence.(closer); ok {
		return c.Close(ctx)
	}
	return w.Flush(ctx)
}

func (w *widened) Hints(ctx context.Context, messageIDs ...string) (map[string][]byte, error) {
	if h, ok := w.Persistence.(hinter); ok {
		return h.Hints(ctx, messageIDs...)
	}
	return nil, errors.ErrUnsupported
}
