package sdsaws

import (
	"context"
	"time"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/store"
)

// backlog is what a channel knows of its evicted history that waits to be archived. It is
// under the channel's mu.
type backlog struct {
	archived uint64        // the end of what is known to be in segments
	waiting  uint64        // offsets below start that aren't
	due      bool          // enough of them wait
	running  chan struct{} // closed when the archiving under way ends; nil: there is none
	failures int           // since it succeeded
	retryAt  time.Time     // not before, after a failure
}

// due reports whether enough lies below the head's start to be archived, where all below
// archived is since at. The record knows the bytes of all that was evicted; what lies
// below the start is taken to have its share.
func (o *Options) due(head *store.Head, rec *record.Head, archived uint64, at, now time.Time) bool {
	from := max(head.Origin, rec.Archived, archived)
	if from >= head.Start {
		return false
	}
	var bytes uint64
	if n := rec.Evicted(); n > 0 {
		below := rec.History.Between(from, head.Start)
		bytes = rec.EvictedBytes / uint64(n) * uint64(below.Len())
	}
	since := rec.EvictedSince
	if since.Before(at) {
		since = at
	}
	return head.Start-from >= uint64(o.ArchiveMessages) || //nolint:gosec // above 0
		bytes >= uint64(o.ArchiveBytes) || //nolint:gosec // above 0
		!since.IsZero() && now.Sub(since) >= o.ArchiveAge
}

// noteBacklog looks at what the last commit has left to be archived, and starts that when
// it is due. The turn is held.
func (ch *channel) noteBacklog() {
	if ch.state == nil {
		return
	}
	head, rec := &ch.state.head, &ch.state.record
	ch.mu.Lock()
	defer ch.mu.Unlock()
	b := &ch.backlog
	b.waiting = head.Start - min(head.Start, max(head.Origin, rec.Archived, b.archived))
	b.due = ch.a.o.due(head, rec, b.archived, time.Time{}, ch.a.o.Clock.Now())
	ch.kickArchiving()
}

func (ch *channel) noteArchived(end uint64) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.backlog.archived = max(ch.backlog.archived, end)
}

// unknownArchived is how many offsets may lie below the start, not known to be archived,
// before it is looked whether others have archived them.
const unknownArchived = 1000

// archivedSoFar returns the end of what is archived, as far as that is known here. The turn
// is held.
func (ch *channel) archivedSoFar(ctx context.Context) uint64 {
	ch.mu.Lock()
	archived := ch.backlog.archived
	ch.mu.Unlock()
	st := ch.state
	if archived > st.head.Start { // by a later holder of the channel: this one has lost it
		return 0
	}
	if st.head.Start <= max(archived, st.record.Archived, st.looked)+unknownArchived {
		return archived
	}
	st.looked = st.head.Start
	if end, _, _, err := ch.lastArchived(ctx); err == nil { // else the next look tells
		ch.noteArchived(end)
		if end <= st.head.Start {
			archived = max(archived, end)
		}
	}
	return archived
}

// kickArchiving starts the archiving that is due unless it is under way. ch.mu is held.
func (ch *channel) kickArchiving() {
	b := &ch.backlog
	if !b.due || b.running != nil || ch.closed || ch.a.o.Clock.Now().Before(b.retryAt) {
		return
	}
	b.running = make(chan struct{})
	ch.a.runs.Go(ch.archiveInBackground)
}

func (ch *channel) archiveInBackground() {
	ctx := ch.a.work
	var err error
	select {
	case ch.a.archiving <- struct{}{}:
		_, err = ch.archiveDue(ctx, true, ch.noteArchived)
		<-ch.a.archiving
	case <-ctx.Done():
		err = ctx.Err()
	}
	ch.mu.Lock()
	b := &ch.backlog
	if err == nil {
		b.due, b.failures, b.retryAt = false, 0, time.Time{}
	} else {
		b.failures++
		b.retryAt = ch.a.o.Clock.Now().Add(backoff(ch.a.o.Lag, b.failures))
	}
	close(b.running)
	b.running = nil
	waiting := b.waiting
	ch.mu.Unlock()
	if f := ch.a.o.OnArchiveLag; f != nil && err != nil && ctx.Err() == nil {
		f(ch.id, waiting, err)
	}
}

// awaitBackground returns when the archiving that is due or under way has ended, and the
// deletion of what was replaced, or ctx has.
func (ch *channel) awaitBackground(ctx context.Context) {
	ch.mu.Lock()
	ch.kickArchiving()
	archiving := ch.backlog.running
	ch.mu.Unlock()
	wait(ctx, archiving)
	ch.emptyTrash(ctx)
	ch.mu.Lock()
	deleting := ch.trash.running
	ch.mu.Unlock()
	wait(ctx, deleting)
}

// wait returns when done is closed, or is nil, or ctx ends.
func wait(ctx context.Context, done <-chan struct{}) {
	if done == nil {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// stopArchiving waits for the archiving under way and starts no other before the next
// commit.
func (ch *channel) stopArchiving(ctx context.Context) error {
	ch.mu.Lock()
	ch.backlog.due = false
	running := ch.backlog.running
	ch.mu.Unlock()
	wait(ctx, running)
	return ctx.Err()
}
