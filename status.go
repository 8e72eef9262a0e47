package sdsaws

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// ChannelStatus is what a channel's head says.
type ChannelStatus struct {
	ChannelID string
	Exists    bool // it has a head; without one all else is zero
	Empty     bool // it has none, or loads as if it hadn't: nothing was stored, or it was dropped

	CommitID store.CommitID // of its last commit or claim
	Epoch    uint64         // how often it was claimed
	Writer   string         // who has claimed it last, and where
	Region   string

	// Offsets of its log: what is below Origin was dropped, below Start nothing is needed but by
	// the archive, Next is the next message's.
	Origin, Start, Next uint64

	Committed time.Time // when, by the writer's clock
	History   int       // messages that are history
	Buffered  int       // messages in the buffers of the snapshot
	HeadBytes int       // of the head's body, the snapshot in it

	// What was history and waits in the log to be archived: how many messages, their
	// bytes as they are stored (an estimate), and since when the first waits, or a later time
	// that isn't far off.
	Evicted      int
	EvictedBytes int64
	EvictedSince time.Time

	// Archived is the end of what is in segments.
	Archived uint64
}

// Status reads the head of a channel, without claiming it: one request, and another where
// something may wait to be archived.
func (a *Adapter) Status(ctx context.Context, channelID string) (*ChannelStatus, error) {
	if err := a.checkChannel(ctx, channelID); err != nil {
		return nil, &sds.ChannelError{Op: "status", Channel: channelID, Err: err}
	}
	r := a.ref(channelID)
	head, err := a.log.Head(ctx, r.key)
	if err != nil {
		return nil, r.unread(err)
	}
	return r.status(ctx, head)
}

func (r ref) status(ctx context.Context, head *store.Head) (*ChannelStatus, error) {
	s := &ChannelStatus{ChannelID: r.id, Empty: true}
	if head == nil {
		return s, nil
	}
	rec, err := record.OpenHead(r.key, *head)
	if err != nil {
		return nil, r.fail("status", "head", contract(err))
	}
	s.Exists, s.Empty = true, head.Origin == head.Next && rec.Sum == record.Sum{}
	s.CommitID, s.Epoch, s.Writer, s.Region = head.CommitID, head.Epoch, head.Writer, head.Region
	s.Origin, s.Start, s.Next = head.Origin, head.Start, head.Next
	s.Committed, s.HeadBytes = rec.Committed, len(head.Body)
	s.History, s.Buffered = rec.Live.Len(), len(rec.Messages)
	s.Archived = max(rec.Archived, head.Origin)
	since := rec.EvictedSince
	if head.Start > s.Archived { // others may have archived
		end, at, _, err := r.lastArchived(ctx)
		if err != nil {
			return nil, err
		}
		if end = min(end, head.Start); end > s.Archived {
			rec.Trim(end)
			s.Archived = end
			if since.Before(at) {
				since = at
			}
		}
	}
	if s.Evicted = rec.Evicted(); s.Evicted > 0 {
		s.EvictedBytes, s.EvictedSince = int64(rec.EvictedBytes), since //nolint:gosec // bytes that are stored
	}
	return s, nil
}

// SegmentStatus is what is known of a segment of a channel's archive without reading it.
type SegmentStatus struct {
	From, To   uint64 // it has the history of the offsets from From to To-1
	Messages   int
	Bytes      int64     // of its object
	ArchivedAt time.Time // when it was begun

	MinLamport, MaxLamport int64 // of its messages

	Written bool // its object is there; else its messages are in the log
	Done    bool // its messages have left the log
}

// Segments yields the segments of a channel in the order of its log, without claiming it
// and without reading them. After an error it ends.
func (a *Adapter) Segments(ctx context.Context, channelID string) iter.Seq2[SegmentStatus, error] {
	return func(yield func(SegmentStatus, error) bool) {
		if err := a.checkChannel(ctx, channelID); err != nil {
			yield(SegmentStatus{}, &sds.ChannelError{Op: "segments", Channel: channelID, Err: err})
			return
		}
		r := a.ref(channelID)
		head, _, err := r.head(ctx, "segments")
		if err != nil {
			yield(SegmentStatus{}, err)
		}
		if err != nil || head == nil {
			return
		}
		for from, more := head.Origin, true; more; {
			page, err := a.log.Segments(ctx, r.key, from, manifestPage)
			if err != nil {
				yield(SegmentStatus{}, r.fail("segments", "manifests", err))
				return
			}
			for _, s := range page {
				status, err := r.segmentStatus(s)
				if !yield(status, err) || err != nil {
					return
				}
				from = s.From + 1
			}
			more = len(page) == manifestPage
		}
	}
}

func (r ref) segmentStatus(s store.Segment) (SegmentStatus, error) {
	m, err := record.OpenManifest(r.key, s)
	if err != nil {
		return SegmentStatus{}, r.fail("segments", manifestName(s.From), contract(err))
	}
	return SegmentStatus{From: s.From, To: s.To, Messages: m.History.Len(), Bytes: m.Size, ArchivedAt: m.ArchivedAt,
		MinLamport: m.MinLamport, MaxLamport: m.MaxLamport,
		Written: m.State != record.Writing, Done: m.State == record.Done}, nil
}

// Reading is a channel as one commit has left it.
type Reading struct {
	ChannelStatus

	// Data is what a load would have returned.
	Data sds.EncodedChannelData

	ref  ref
	rec  record.Head
	live map[uint64]HistoryMessage // by offset
}

// ReadChannel reads a channel and verifies it as LoadEncodedChannel does, without claiming it. It sees
// nothing that isn't committed.
func (a *Adapter) ReadChannel(ctx context.Context, channelID string) (*Reading, error) {
	if err := a.checkChannel(ctx, channelID); err != nil {
		return nil, &sds.ChannelError{Op: "read", Channel: channelID, Err: err}
	}
	r := a.ref(channelID)
	for range maxRounds {
		v := view{messages: map[uint64]store.Message{}}
		if err := r.read(ctx, &v); err != nil {
			return nil, r.unread(err)
		}
		st, data, err := r.verify(ctx, v)
		if err != nil {
			changed, again := r.changed(ctx, v)
			switch {
			case again != nil:
				return nil, r.fail("read", "", again)
			case changed:
				continue
			}
			return nil, r.apart(err)
		}
		status, err := r.status(ctx, v.head)
		if err != nil {
			return nil, err
		}
		return r.reading(status, st, data)
	}
	return nil, r.fail("read", "", fmt.Errorf("others wrote it during each of %d tries", maxRounds))
}

func (r ref) reading(status *ChannelStatus, st *state, data sds.EncodedChannelData) (*Reading, error) {
	v := &Reading{ChannelStatus: *status, Data: data, ref: r, rec: st.record, live: map[uint64]HistoryMessage{}}
	for _, plain := range data.Messages {
		m := r.a.bare(plain, nil)
		if err := m.inspect(r.a); err != nil {
			return nil, r.fail("read", "message", contract(err))
		}
		e, _ := st.needed.find(m.content)
		v.live[e.offset] = HistoryMessage{Offset: e.offset, MessageID: m.info.id,
			LamportTimestamp: m.info.lamport, Encoded: plain, Live: true}
	}
	return v, nil
}

// History yields the messages that were or are history of the channel as of that same commit, in
// the order of the log, whoever works on the channel meanwhile. What was archived when the channel was
// read has an ArchivedAt, and comes first. Errors are as with
// [Adapter.History]; a channel that is dropped meanwhile is one too.
func (v *Reading) History(ctx context.Context) iter.Seq2[HistoryMessage, error] {
	return func(yield func(HistoryMessage, error) bool) {
		if v.Next == v.Origin {
			return
		}
		left := v.rec.Live.Clone()
		missing := v.rec.History.Len() // of what isn't archived for all that the head knows
		// give yields the message at an offset, and before it what was history up to there: it may
		// have been written again further on.
		give := func(m HistoryMessage) bool {
			for o, ok := left.Min(); ok && o < m.Offset; o, ok = left.Min() {
				left.Remove(o)
				missing--
				if !yield(v.live[o], nil) {
					return false
				}
			}
			if kept, ok := v.live[m.Offset]; ok {
				left.Remove(m.Offset)
				m = kept
			} else {
				m.Live = false
			}
			if m.Offset >= v.rec.Archived {
				missing--
			}
			if m.Offset >= v.Archived {
				m.ArchivedAt = time.Time{} // it was archived since
			}
			return yield(m, nil)
		}
		for m, err := range v.ref.a.History(ctx, v.ChannelID, HistoryRange{From: v.Origin, To: v.Next}) {
			switch {
			case err != nil:
				missing = 0 // it says what
				if !yield(m, err) {
					return
				}
			case m.Offset < v.rec.Archived || v.rec.History.Contains(m.Offset):
				if !give(m) {
					return
				}
			}
		}
		for o := range left.All() {
			missing--
			if !yield(v.live[o], nil) {
				return
			}
		}
		if err := v.whole(ctx, missing); err != nil {
			yield(HistoryMessage{}, err)
		}
	}
}

// whole returns an error when the channel was dropped, or messages are missing.
func (v *Reading) whole(ctx context.Context, missing int) error {
	head, _, err := v.ref.head(ctx, "read") // whole: the origin of a damaged one says nothing
	switch {
	case err != nil:
		return err
	case head == nil || head.Origin != v.Origin:
		return v.ref.fail("read", "", errDropped)
	case missing > 0:
		return v.ref.fail("read", "history", fmt.Errorf("%d messages: %w", missing, sds.ErrIncomplete))
	}
	return nil
}
