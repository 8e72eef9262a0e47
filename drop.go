package sdsaws

import (
	"context"
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
	if phase == unopened {
		found, err := ch.adopt(ctx)
		if err != nil || !found {
			return err
		}
	}
	if !ch.state.empty() {
		if err := ch.send(ctx, dropped(ch.state)); err != nil {
			return err
		}
	}
	if err := ch.a.log.Delete(ctx, ch.key, 0, ch.state.head.Origin); err != nil {
		return ch.fail("drop", "messages", fmt.Errorf(
			"the channel is empty but some of its messages are not deleted yet, drop it again: %w", err))
	}
	return nil
}

// empty reports whether a drop would change nothing.
func (s *state) empty() bool {
	return s.head.Origin == s.head.Next && len(s.snapshot.packed) == 0
}

// adopt makes an unopened channel this adapter's, as a load does but without reading
// what is about to be dropped: damaged data must be droppable too. It returns false
// when there is no head, and so nothing to drop.
func (ch *channel) adopt(ctx context.Context) (bool, error) {
	for range maxRounds {
		head, err := ch.a.log.Head(ctx, ch.key)
		if err != nil {
			return false, ch.fail("drop", "head", err)
		}
		if head == nil {
			return false, nil
		}
		st := emptyState()
		st.head = *head
		st.head.Body = nil
		if rec, err := record.OpenHead(ch.key, *head); err == nil {
			st.snapshot.packed = rec.Snapshot
		} else {
			st.snapshot.packed = head.Body // not empty, whatever it is
		}
		claimed, err := ch.claim(ctx, st)
		if err != nil {
			return false, err
		}
		if claimed {
			ch.mu.Lock()
			ch.phase, ch.state = held, st
			ch.mu.Unlock()
			return true, nil
		}
	}
	return false, ch.fail("drop", "", fmt.Errorf("%w: others write to the channel", sds.ErrFenced))
}
