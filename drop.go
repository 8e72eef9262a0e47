package sdsaws

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
)

// drop empties the channel with one conditional write, from which on it loads as empty,
// and deletes what lies below the new origin. The turn is held.
func (ch *channel) drop(ctx context.Context) error {
	ch.mu.Lock()
	err, phase := ch.lost(), ch.phase
	ch.mu.Unlock()
	if err != nil {
		return ch.fail("drop", "", err)
	}
	st := ch.state
	if phase == unopened {
		// Not kept before the channel is empty: what it holds was not read.
		if st, err = ch.adopt(ctx); err != nil || st == nil {
			return err
		}
	}
	origin := st.head.Origin
	if !st.empty() {
		if err := ch.forgetBuffered(ctx, st); err != nil {
			return err
		}
		if err := ch.send(ctx, dropped(ch.a, ch.limits, st), nil); err != nil {
			return err
		}
		origin = ch.state.head.Origin
	} else if phase == held {
		// Empty as far as is known here: another holder may have filled it.
		if _, err := ch.stillHeld(ctx, "drop", st); err != nil {
			return err
		}
	}
	if err := ch.wipeAll(ctx, origin); err != nil {
		return fmt.Errorf("the channel is empty, but not all that was stored of it is deleted, drop it again: %w", err)
	}
	return nil
}

// wipeAll deletes what the emptied channel has left behind.
func (ch *channel) wipeAll(ctx context.Context, origin uint64) error {
	_, err := ch.wipe(ctx, origin)
	if damaged := err; err == nil || errors.Is(err, sds.ErrCorrupt) || errors.Is(err, sds.ErrIncomplete) {
		if err = ch.a.log.Unstage(ctx, ch.key); err != nil {
			err = ch.fail("drop", "staged messages", err)
		}
		if err == nil {
			_, err = ch.cleanValues(ctx)
		}
		err = errors.Join(damaged, err)
	}
	return err
}

// forgetBuffered removes the hints of the messages in the snapshot's buffers. It comes
// before the write that empties the channel, since nobody knows these messages after it; so
// it makes sure first that the channel is still this adapter's.
func (ch *channel) forgetBuffered(ctx context.Context, st *state) error {
	head, err := ch.stillHeld(ctx, "drop", st)
	if err != nil {
		return err
	}
	var meta sds.ChannelMeta
	rec, err := record.OpenHead(ch.key, *head)
	if err != nil {
		err = contract(err)
	} else {
		var encoded []byte
		if encoded, _, err = ch.opener().snapshot(ctx, "drop", rec); err == nil {
			err = meta.UnmarshalBinary(encoded)
		}
	}
	switch {
	case errors.Is(err, sds.ErrIncomplete), errors.Is(err, sds.ErrCorrupt),
		errors.Is(err, sds.ErrUnsupportedFormat), errors.Is(err, sds.ErrSchemaVersion):
		return nil // what is damaged must be droppable
	case err != nil:
		return err
	}
	var ids []string
	for _, b := range meta.OutgoingBuffer {
		ids = append(ids, b.Message.MessageID)
	}
	for _, b := range meta.IncomingBuffer {
		ids = append(ids, b.Message.MessageID)
	}
	for _, b := range meta.OutgoingRepairBuffer {
		ids = append(ids, b.MessageID)
	}
	for _, b := range meta.IncomingRepairBuffer {
		ids = append(ids, b.MessageID)
	}
	return ch.forgetHints(ctx, ids)
}

// empty reports whether a drop would change nothing.
func (s *state) empty() bool {
	return s.head.Origin == s.head.Next && s.snapshot.none()
}

// adopt makes an unopened channel this adapter's, as a load does but without reading
// what is about to be dropped: damaged data must be droppable too. It returns a state for
// that alone, or nil when there is no head, and so nothing to drop.
func (ch *channel) adopt(ctx context.Context) (*state, error) {
	for range maxRounds {
		head, err := ch.a.log.Head(ctx, ch.key)
		if err != nil {
			return nil, ch.fail("drop", "head", err)
		}
		if head == nil {
			return nil, nil
		}
		if err := ch.claimable("drop", head); err != nil {
			return nil, err
		}
		st := emptyState()
		st.head = *head
		st.head.Body = nil
		if rec, err := record.OpenHead(ch.key, *head); err == nil {
			st.snapshot.sum = cmp.Or(rec.Sum, initialSum)
		} else {
			st.snapshot.sum = record.Sum{} // whatever it is
		}
		claimed, err := ch.claim(ctx, st)
		if err != nil {
			return nil, err
		}
		if claimed {
			return st, nil
		}
	}
	return nil, ch.fail("drop", "", fmt.Errorf("%w: others write to the channel", sds.ErrFenced))
}
