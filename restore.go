package sdsaws

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
)

// ErrNotEmpty says that a channel holds something already. Nothing was changed.
var ErrNotEmpty = errors.New("the channel isn't empty, drop it first")

// Restore makes an empty channel what a [Reading] was of another: it loads the same snapshot and
// history, byte for byte, and its History is the same messages in the same order, of which those
// with an ArchivedAt are archived again, with that time. They come before all others. Offsets
// may differ. It claims the channel; one that holds anything is ErrNotEmpty.
//
// Until it is done the channel loads as empty. After an error its history may hold archived
// messages: drop it before it is restored again. In memory there is one segment at a time, and then
// what goes into the log, packed.
func (a *Adapter) Restore(
	ctx context.Context, channelID string, meta []byte, history iter.Seq2[HistoryMessage, error],
) error {
	ch, err := a.channel(ctx, channelID)
	if err != nil {
		return &sds.ChannelError{Op: "restore", Channel: channelID, Err: err}
	}
	s, err := a.snapshot(meta, nil)
	if err != nil {
		return ch.fail("restore", "", err)
	}
	if err := ch.flush(ctx); err != nil {
		return err
	}
	if err := ch.takeSettled(ctx, "restore"); err != nil {
		return err
	}
	defer ch.release()
	if _, err := ch.load(ctx); err != nil {
		return err
	}
	if !ch.state.empty() {
		return ch.fail("restore", "", ErrNotEmpty)
	}
	r := &restorer{channel: ch, draft: ch.newDraft()}
	for m, err := range history {
		if err == nil {
			err = r.add(ctx, m)
		}
		if err != nil {
			return ch.asChannel(err)
		}
	}
	return ch.asChannel(r.finish(ctx, s))
}

// CheckRestore returns an error when Restore would fail with the same arguments, once the channel is empty: for
// what it is given, and for the limits of the backend. It makes no request, and takes as much memory as Restore.
func (a *Adapter) CheckRestore(
	ctx context.Context, channelID string, meta []byte, history iter.Seq2[HistoryMessage, error],
) error {
	if err := a.checkChannel(ctx, channelID); err != nil {
		return &sds.ChannelError{Op: "restore", Channel: channelID, Err: err}
	}
	ch := newChannel(a, channelID)
	s, err := a.snapshot(meta, nil)
	if err != nil {
		return ch.fail("restore", "", err)
	}
	r := &restorer{channel: ch, trial: true, draft: newDraft(a, ch.limits, emptyState(), nil)}
	r.draft.next = farOffset
	for m, err := range history {
		if err == nil {
			err = r.add(ctx, m)
		}
		if err != nil {
			return ch.asChannel(err)
		}
	}
	return ch.asChannel(r.finish(ctx, s))
}

// farOffset takes as many bytes in a head as any offset.
const farOffset = 1 << 62

// asChannel makes an error one of the channel, unless it is nil or that already.
func (r ref) asChannel(err error) error {
	if known := (*sds.ChannelError)(nil); err == nil || errors.As(err, &known) {
		return err
	}
	return r.fail("restore", "", err)
}

// restorer writes history, a segment at a time, and then all that goes into the log.
type restorer struct {
	*channel
	draft      *draft
	at         time.Time // when what is in draft was archived; zero: it wasn't
	rows, size int
	logged     bool // what goes into the log has begun
	trial      bool // nothing is written
}

func (r *restorer) add(ctx context.Context, m HistoryMessage) error {
	archived := !m.ArchivedAt.IsZero()
	switch {
	case archived && (r.logged || m.Live):
		return fmt.Errorf("%w: a message that is archived, but history or behind others", sds.ErrInvalidArgument)
	case m.Live && r.draft.record.Live.Len() == record.MaxNeeded:
		return fmt.Errorf("%w: over %d messages are history", sds.ErrTooLarge, record.MaxNeeded)
	case r.rows > 0 && !r.logged && (!m.ArchivedAt.Equal(r.at) || r.rows >= segmentRows || r.size >= segmentBytes):
		if err := r.archived(ctx); err != nil {
			return err
		}
	}
	stored, err := r.a.message(m.Encoded, nil)
	if err == nil {
		err = r.fitsItem(stored)
	}
	if err != nil || r.trial && archived { // a segment holds it
		return err
	}
	r.at, r.logged = m.ArchivedAt, !archived
	r.rows++
	r.size += len(m.Encoded)
	return r.draft.restore(stored, m)
}

// restore adds a message to what is or was history.
func (d *draft) restore(m *message, h HistoryMessage) error {
	if h.Live {
		_, twice := d.history(m.info.hash)
		if _, there := d.find(m.content); twice || there {
			return fmt.Errorf("%w: two messages of one id are history", sds.ErrInvalidArgument)
		}
	}
	e, err := d.write(m)
	if err != nil {
		return err
	}
	d.dirty = true
	d.record.History.Add(e.offset)
	if !h.Live {
		d.record.EvictedBytes += uint64(e.packed)
		return nil
	}
	e.live = true
	d.put(m.content, e)
	d.live[m.info.hash] = &m.content
	d.record.Live.Add(e.offset)
	return nil
}

// archived commits what is in the draft and archives it.
func (r *restorer) archived(ctx context.Context) error {
	if err := r.commit(ctx); err != nil {
		return err
	}
	if _, err := r.archiveAt(ctx, r.at, r.noteArchived); err != nil {
		return err
	}
	r.draft, r.rows, r.size = r.newDraft(), 0, 0
	r.draft.record.Trim(r.archivedSoFar(ctx))
	r.draft.frame = nil // it is of what is in the segment
	return nil
}

func (r *restorer) commit(ctx context.Context) error {
	if err := r.draft.pack(); err != nil {
		return err
	}
	if r.trial {
		return r.fits()
	}
	return r.send(ctx, r.draft, nil)
}

// fits reports whether the head fits where it will be stored.
func (r *restorer) fits() error {
	size := len(r.draft.head(r.key, r.a.o.Clock.Now()).Body)
	if r.draft.skeleton != nil {
		size += record.MaxValueRef
	}
	if size > r.limits.HeadBytes {
		return r.fail("restore", "head", fmt.Errorf("%w: %d bytes, at most %d fit", sds.ErrTooLarge, size, r.limits.HeadBytes))
	}
	return nil
}

// finish commits what goes into the log, with the snapshot.
func (r *restorer) finish(ctx context.Context, s *saved) error {
	if r.rows > 0 && !r.logged {
		if err := r.archived(ctx); err != nil {
			return err
		}
	}
	for _, m := range s.messages {
		if err := r.fitsItem(m); err != nil {
			return err
		}
	}
	if err := r.draft.save(s); err != nil {
		return err
	}
	if !r.draft.dirty {
		return nil
	}
	return r.commit(ctx)
}
