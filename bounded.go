package sdsaws

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
)

const (
	slack        = 128 // how far a log may be longer than twice what is needed of it
	maxMoved     = 32  // messages that a commit of others writes again
	maxCompacted = 99  // messages that a commit of its own writes again

	maxMovedLarge = 4 // of them, those that are in the archive
	largePatience = 2 * time.Second
	largePause    = time.Minute
)

// keepBounded keeps what a load reads in proportion to what it needs: when the log
// from its start on has become more than twice as long, and slack, as what is
// needed of it, the oldest needed messages are written again at its end.
//
// Large messages are read from the archive and written there again. A commit must not
// depend on the archive for that: it waits for it no longer than largePatience, and after a
// failure no commit tries it for largePause.
func (ch *channel) keepBounded(ctx context.Context, d *draft, large bool) {
	needed := d.record.Live.Len() + len(d.snapshot.messages)
	if d.next-d.start() <= 2*uint64(needed)+slack { //nolint:gosec // a count
		return
	}
	ch.mu.Lock()
	large = large && !ch.a.o.Clock.Now().Before(ch.noLarge)
	ch.mu.Unlock()
	patient, stop := context.WithTimeout(ctx, largePatience)
	defer stop()
	// What can't be read stays where it is: that is for a load to report, and commits go on.
	if err := ch.moveOldest(patient, d, d.base.head.Next, maxMoved, large); err != nil && large && ctx.Err() == nil {
		ch.pauseLarge()
	}
}

func (ch *channel) pauseLarge() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.noLarge = ch.a.o.Clock.Now().Add(largePause)
}

// uploadMoved puts what a draft needs in the archive, when some of it only keeps the log
// bounded.
func (ch *channel) uploadMoved(ctx context.Context, d *draft) error {
	patient, stop := context.WithTimeout(ctx, largePatience)
	defer stop()
	err := ch.upload(patient, d)
	if err != nil {
		ch.discard(d.uploaded...)
		if ctx.Err() == nil {
			ch.pauseLarge()
		}
	}
	return err
}

// moveOldest writes the oldest needed messages below an offset again, as far as
// they fit into the commit, and at most so many; with large also those that are in the
// archive. It stops at the first that it can't move, and returns what is wrong with it: the
// start of the log would not pass that one.
func (ch *channel) moveOldest(ctx context.Context, d *draft, below uint64, most int, large bool) error {
	l := ch.limits
	oldest := d.oldest(below, min(most, l.Messages-len(d.messages)))
	if len(oldest) == 0 {
		return nil
	}
	o := ch.opener()
	o.keep = true
	if err := o.fetch(ctx, oldest...); err != nil {
		return err
	}
	room := l.CommitBytes - headRoom - d.inline
	for _, m := range d.messages {
		room -= len(m.ID) + len(m.Body)
	}
	moved := 0
	for _, at := range oldest {
		s, ok := o.items[at]
		if !ok {
			return ch.fail("archive", itemName(at), sds.ErrIncomplete)
		}
		v, err := record.MessageValue(s.Body)
		if err != nil {
			return ch.fail("archive", itemName(at), contract(err))
		}
		// Packed by itself, or against other messages, it can be larger than it is.
		if room -= len(s.ID) + d.inline + record.MaxValueRef; room < 0 || v != nil && (!large || moved == maxMovedLarge) {
			return nil
		}
		plain, _, err := o.open(ctx, at)
		if err != nil {
			return err
		}
		m, err := ch.a.message(plain, nil)
		if err == nil {
			if e, ok := d.find(m.content); !ok || e.offset != at {
				err = errors.New("another message was committed there") // by another region
			} else {
				err = d.move(m)
			}
		}
		if err != nil {
			return ch.fail("archive", itemName(at), contract(err))
		}
		if v != nil {
			moved++
			d.movedLarge = true
		}
	}
	return nil
}

// Archive moves all that was evicted from the channel into segments: it writes what lies
// before evicted messages in the log and is history yet again at its end, and archives
// what is then below the log's start. It claims the channel where this adapter doesn't
// hold it. The archive holds exactly what was evicted when it returns nil. Evicted history
// gets there by itself in time; this is for before something reads the archive alone.
func (a *Adapter) Archive(ctx context.Context, channelID string) (Swept, error) {
	ch, err := a.channel(ctx, channelID)
	if err != nil {
		return Swept{}, &sds.ChannelError{Op: "archive", Channel: channelID, Err: err}
	}
	if err := ch.flush(ctx); err != nil {
		return Swept{}, err
	}
	if err := ch.compact(ctx); err != nil {
		return Swept{}, err
	}
	return ch.archive(ctx, ch.noteArchived)
}

// compact brings the start of the log past all that was evicted.
func (ch *channel) compact(ctx context.Context) error {
	if err := ch.takeSettled(ctx, "archive"); err != nil {
		return err
	}
	defer ch.release()
	ch.mu.Lock()
	err, phase := ch.lost(), ch.phase
	ch.mu.Unlock()
	if err != nil {
		return ch.fail("archive", "", err)
	}
	if phase == unopened {
		if _, err := ch.load(ctx); err != nil {
			return err
		}
	}
	for {
		last, ok := ch.state.lastEvicted()
		if !ok || last < ch.state.head.Start {
			// What this adapter knows to be evicted may be old.
			_, err := ch.stillHeld(ctx, "archive", ch.state)
			return err
		}
		d := ch.newDraft()
		d.record.Trim(ch.archivedSoFar(ctx))
		d.frame = nil // what is written again must need nothing of the group that it was in
		if err := ch.moveOldest(ctx, d, d.groupEnd(last), maxCompacted, true); err != nil {
			// What another holder has dropped or moved is not missing.
			_, fenced := ch.stillHeld(ctx, "archive", ch.state)
			return cmp.Or(fenced, err)
		}
		if err := d.pack(); err != nil {
			return ch.fail("archive", "snapshot", err)
		}
		if err := ch.send(ctx, d, nil); err != nil {
			return err
		}
	}
}

// lastEvicted returns the highest offset that was history and is no more.
func (s *state) lastEvicted() (last uint64, ok bool) {
	for o := range s.record.History.All() {
		if !s.record.Live.Contains(o) {
			last, ok = o, true
		}
	}
	return last, ok
}
