package sdsaws

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// What is done where a table has replicas in several regions: docs/design.md, section 9. An
// adapter without Options.Region does none of it.

// elsewhere returns sds.ErrElsewhere when the home of a channel is another region than this
// adapter's.
func (r ref) elsewhere(op string, head *store.Head) error {
	here := r.a.o.Region
	if here == "" || head == nil || head.Region == "" || head.Region == here {
		return nil
	}
	return r.fail(op, "", fmt.Errorf("%w: its home is %q, this is %q", sds.ErrElsewhere, head.Region, here))
}

// claimable returns an error when this adapter must not claim the channel.
func (r ref) claimable(op string, head *store.Head) error {
	if r.a.o.Takeover {
		return nil
	}
	return r.elsewhere(op, head)
}

// forked reports whether now, which stands where a head of that epoch stood, can't have followed
// it: a claim adds one to the epoch, and within one epoch only its holder commits. So another
// region had not seen it, and wrote later.
func (a *Adapter) forked(now *store.Head, epoch uint64) bool {
	return a.o.Region != "" && now != nil && now.Epoch <= epoch
}

// mayClaim returns an error when a load may not go on from head: it replaced what this adapter
// has committed, or the home is elsewhere. The turn is held.
func (ch *channel) mayClaim(head *store.Head) error {
	if st := ch.state; st != nil && !is(head, st.head.CommitID) && ch.a.forked(head, st.head.Epoch) {
		return ch.fence("load", &store.ConflictError{Current: head}, st.head.Epoch)
	}
	return ch.claimable("load", head)
}

// renew writes the messages that a takeover has read once more, as they are, before it claims. A
// delete of the old region that is still on its way here, by a head that will never come, is
// older then and does no harm. It returns false when the head was not v's any more.
func (ch *channel) renew(ctx context.Context, v view) (bool, error) {
	if ch.elsewhere("load", v.head) == nil {
		return true, nil
	}
	var messages []store.Message
	for _, offset := range slices.Sorted(maps.Keys(v.messages)) {
		m := v.messages[offset]
		m.Staged = store.CommitID{}
		messages = append(messages, m)
	}
	l := ch.limits
	for len(messages) > 0 {
		_, n := fit(messages, l.CommitBytes, l.Messages)
		err := ch.a.log.Stage(ctx, ch.key, v.head.CommitID, messages[:n])
		if errors.Is(err, store.ErrConflict) {
			return false, nil
		}
		if err != nil {
			return false, ch.fail("load", "messages taken over", err)
		}
		messages = messages[n:]
	}
	return true, nil
}

// ahead returns an error when a manifest covers what the head still needs: it is of commits that
// a takeover has lost, or that are later than a head from a backup. Archiving by it would delete that.
func (w *archiver) ahead(ctx context.Context, head *store.Head, last *store.Segment) error {
	if last.To <= head.Start {
		return nil
	}
	now, err := w.a.log.Head(ctx, w.key)
	switch {
	case err != nil:
		return w.fail("archive", "head", err)
	case !is(now, head.CommitID):
		return errChanged
	}
	why := sds.ErrCorrupt
	if w.a.o.Region != "" {
		why = sds.ErrForked
	}
	return w.fail("archive", manifestName(last.From), fmt.Errorf("%w: it covers what is needed yet", why))
}

// misfit is an sds.ErrCorrupt about items that don't fit together, each of which may be sound.
type misfit struct{ error }

func (m misfit) Unwrap() error { return m.error }

// apart returns the error of a load as it is where items can be of two lineages, or on their
// way here.
func (r ref) apart(err error) error {
	var at *sds.ChannelError
	if r.a.o.Region == "" || !errors.As(err, &at) {
		return err
	}
	var m misfit
	switch {
	case errors.As(err, &m):
		return r.fail(at.Op, at.Item, fmt.Errorf("%w: not what the head was committed with", sds.ErrForked))
	case errors.Is(err, sds.ErrIncomplete):
		return r.fail(at.Op, at.Item, fmt.Errorf("not in region %q, if it is on its way load again later: %w",
			r.a.o.Region, at.Err))
	}
	return err
}
