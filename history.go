package sdsaws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/internal/segment"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// HistoryMessage is a message that is or was history of a channel.
type HistoryMessage struct {
	Offset           uint64 // in the channel's log
	MessageID        string
	LamportTimestamp int64
	Encoded          []byte    // an encoded sds.Message, byte for byte as it was handed over
	Live             bool      // it is history; else it was evicted
	ArchivedAt       time.Time // when its segment was begun, in milliseconds; zero: it is in the log
}

// HistoryPart says where messages are looked for.
type HistoryPart int

// The parts of a channel's history.
const (
	AllHistory      HistoryPart = iota
	ArchivedHistory             // in segments
	LogHistory                  // in the log: all that is history now, and what was evicted lately
)

// HistoryRange says which messages [Adapter.History] yields. The zero value is all. Segments
// without any of them are not read.
type HistoryRange struct {
	From, To uint64 // offsets from From to To-1; To 0: to the end

	// Lamport timestamps from MinLamport to MaxLamport; MaxLamport 0: no limit.
	MinLamport, MaxLamport int64

	// Archived from Since on and before Until. SDS messages have no time of their own; those
	// that are in the log yet count as archived later than all others. Zero: no limit.
	Since, Until time.Time

	Part HistoryPart
}

// past reports whether offset lies behind what was asked for.
func (r *HistoryRange) past(offset uint64) bool { return r.To > 0 && offset >= r.To }

func (r *HistoryRange) lamport(least, most int64) bool {
	return most >= r.MinLamport && (r.MaxLamport == 0 || least <= r.MaxLamport)
}

// segment reports whether a segment can hold something of the range.
func (r *HistoryRange) segment(s store.Segment, m *record.Manifest) bool {
	return r.Part != LogHistory && m.History.Len() > 0 && s.To > r.From && r.lamport(m.MinLamport, m.MaxLamport) &&
		!m.ArchivedAt.Before(r.Since) && (r.Until.IsZero() || m.ArchivedAt.Before(r.Until))
}

// History yields the messages that are or were history of a channel in the order of the
// log: archived ones, then those in the log, up to what is committed when it gets there. That is
// the order in which messages were first stored, in a buffer or in the history: one that waited in a
// buffer comes before others that were delivered earlier. One that was written again, to keep the
// log short, has its place where that was. It claims nothing, sees nothing that isn't committed,
// and may run while others commit, archive and sweep: no message is left out, but one that
// was written again meanwhile may come twice. A channel that is dropped meanwhile ends.
//
// An item that is missing or damaged is yielded as an error, sds.ErrIncomplete or
// sds.ErrCorrupt in a *sds.ChannelError that names it, and what comes behind it follows.
// Any other error is the last thing yielded. In memory there is one segment or one page of
// the log at a time.
func (a *Adapter) History(ctx context.Context, channelID string, r HistoryRange) iter.Seq2[HistoryMessage, error] {
	return func(yield func(HistoryMessage, error) bool) {
		if err := a.checkChannel(ctx, channelID); err != nil {
			yield(HistoryMessage{}, &sds.ChannelError{Op: "history", Channel: channelID, Err: err})
			return
		}
		h := &historyReader{ref: a.ref(channelID), asked: r, yield: yield}
		h.open = h.opener()
		if err := h.run(ctx); err != nil && !errors.Is(err, errStopped) {
			yield(HistoryMessage{}, err)
		}
	}
}

// errStopped says that the caller wants no more.
var errStopped = errors.New("stopped by the caller")

var errDropped = errors.New("the channel was dropped meanwhile, read it again")

type historyReader struct {
	ref
	asked HistoryRange
	yield func(HistoryMessage, error) bool

	head   *store.Head
	rec    *record.Head // of head
	pos    uint64       // all below is done
	outrun bool         // segments were read after the head
	open   *opener
}

func (h *historyReader) run(ctx context.Context) (err error) {
	if err = h.look(ctx); err != nil || h.head == nil {
		return err
	}
	h.pos = max(h.head.Origin, h.asked.From)
	for {
		if err := h.segments(ctx); err != nil {
			return err
		}
		if h.asked.Part == ArchivedHistory || h.asked.past(h.pos) {
			return nil
		}
		if h.pos >= h.head.Next {
			if ended, err := h.ended(ctx); err != nil || ended {
				return err
			}
		}
		if err := h.page(ctx); err != nil {
			return err
		}
		if h.head == nil {
			return nil
		}
	}
}

// ended reports whether nothing is committed from pos on. What a segment leaves out may have been
// written again at an end of the log that an older head doesn't know.
func (h *historyReader) ended(ctx context.Context) (bool, error) {
	if !h.outrun {
		return true, nil
	}
	if err := h.look(ctx); err != nil || h.head == nil {
		return true, err
	}
	h.outrun = false
	return h.pos >= h.head.Next, nil
}

// look reads the head.
func (h *historyReader) look(ctx context.Context) (err error) {
	h.head, h.rec, err = h.ref.head(ctx, "history")
	return err
}

// give hands a message to the caller when it was asked for.
func (h *historyReader) give(m HistoryMessage) error {
	if m.Offset < h.asked.From || h.asked.past(m.Offset) || !h.asked.lamport(m.LamportTimestamp, m.LamportTimestamp) {
		return nil
	}
	if !h.yield(m, nil) {
		return errStopped
	}
	return nil
}

// damaged hands the caller an error that is about one item; others it returns.
func (h *historyReader) damaged(err error) error {
	if !errors.Is(err, sds.ErrIncomplete) && !errors.Is(err, sds.ErrCorrupt) && !errors.Is(err, sds.ErrUnsupportedFormat) {
		return err
	}
	if !h.yield(HistoryMessage{}, err) {
		return errStopped
	}
	return nil
}

// manifestPage is how many manifests are read at a time.
const manifestPage = 100

// segments goes through the segments from pos on whose objects are written. They follow each other without
// a gap from the origin on, at least as far as the head knows.
func (h *historyReader) segments(ctx context.Context) error {
	first, err := h.a.log.LastSegment(ctx, h.key, h.pos+1)
	if err != nil {
		return h.fail("history", "manifest", err)
	}
	var page []store.Segment
	if first != nil && first.To > h.pos {
		page = []store.Segment{*first}
	}
	for next := h.pos; ; {
		for _, s := range page {
			if h.asked.past(s.From) {
				return nil
			}
			if s.From > h.pos {
				if err := h.gap(ctx, s.From); err != nil {
					return err
				}
			}
			written, err := h.segmentAt(ctx, s)
			if err != nil || !written {
				return err
			}
			h.pos, h.outrun = max(h.pos, s.To), true
			next = max(h.pos, s.From+1) // the end of a damaged one can be anything
		}
		if page, err = h.a.log.Segments(ctx, h.key, max(h.pos, next), manifestPage); err != nil {
			return h.fail("history", "manifests", err)
		}
		if len(page) == 0 {
			break
		}
	}
	if archived := h.rec.Archived; h.pos < archived && !h.asked.past(h.pos) {
		return h.gap(ctx, archived)
	}
	return nil
}

// gap says that the manifests are missing of what is archived from pos on, and goes on behind it, unless the
// channel was dropped meanwhile.
func (h *historyReader) gap(ctx context.Context, to uint64) error {
	dropped, err := h.dropped(ctx, h.pos)
	if err != nil {
		return err
	}
	if dropped {
		if err := h.look(ctx); err != nil {
			return err
		}
		if h.head == nil {
			return errStopped
		}
		h.pos = max(h.pos, h.head.Origin)
		return nil
	}
	if h.asked.Part != LogHistory {
		if err := h.damaged(h.fail("history", manifestName(h.pos), sds.ErrIncomplete)); err != nil {
			return err
		}
	}
	h.pos = to
	return nil
}

// segmentAt yields what a segment holds. It returns false when that is in the log yet.
func (h *historyReader) segmentAt(ctx context.Context, s store.Segment) (bool, error) {
	m, err := record.OpenManifest(h.key, s)
	if err != nil {
		return true, h.damaged(h.fail("history", manifestName(s.From), contract(err)))
	}
	if m.State == record.Writing {
		return false, nil
	}
	if !h.asked.segment(s, m) {
		return true, nil
	}
	body, err := h.segment(ctx, s, m)
	if err != nil {
		dropped, failed := h.dropped(ctx, s.From)
		if failed != nil || dropped {
			return true, failed
		}
		return true, h.damaged(err)
	}
	for row, err := range segment.Decode(h.key, body) {
		if err != nil {
			return true, h.damaged(h.fail("history", segmentItem(m.Name(s)), contract(err)))
		}
		if row.Offset < h.pos {
			continue
		}
		if err := h.give(HistoryMessage{Offset: row.Offset, MessageID: row.ID, LamportTimestamp: row.Lamport,
			Encoded: row.Plain, ArchivedAt: m.ArchivedAt}); err != nil {
			return true, err
		}
	}
	return true, nil
}

// dropped reports whether the channel was dropped since what is at offset was stored.
func (r ref) dropped(ctx context.Context, offset uint64) (bool, error) {
	head, _, err := r.head(ctx, "history")
	if err != nil {
		return false, err
	}
	return head == nil || head.Origin > offset, nil
}

// left reports whether what is at offset has left the log: it is archived, or dropped.
func (r ref) left(ctx context.Context, offset uint64) (bool, error) {
	end, _, _, err := r.lastArchived(ctx)
	if err != nil || end > offset {
		return err == nil, err
	}
	return r.dropped(ctx, offset)
}

// page yields a page of the log. What it reads counts only when a later look at the
// manifests shows that nothing of it was archived by then, and so nothing deleted.
func (h *historyReader) page(ctx context.Context) error {
	end := h.head.Next
	if h.asked.To > 0 {
		end = min(end, h.asked.To)
	}
	page, next, err := h.a.log.Page(ctx, h.key, h.pos, end)
	if err != nil {
		return h.fail("history", "messages", err)
	}
	h.outrun = false
	if err := h.look(ctx); err != nil || h.head == nil {
		return err
	}
	if h.head.Origin > h.pos {
		h.pos = h.head.Origin
		return nil
	}
	if archived, err := h.archivedFrom(ctx); err != nil || archived {
		return err // the segments come first
	}
	history := h.rec.History.Between(h.pos, next)
	h.pos = next
	if !h.asked.Until.IsZero() {
		return nil
	}
	for o := range history.All() {
		for len(page) > 0 && page[0].Offset < o {
			h.open.add(page[0])
			page = page[1:]
		}
		if len(page) > 0 {
			h.open.add(page[0])
		}
		err := h.message(ctx, page, o, h.rec.Live.Contains(o))
		if errors.Is(err, errChanged) {
			h.pos = o
			return nil
		}
		if err != nil {
			return err
		}
	}
	for _, m := range page {
		h.open.add(m)
	}
	return nil
}

// archivedFrom reports whether a segment has what is at h.pos.
func (h *historyReader) archivedFrom(ctx context.Context) (bool, error) {
	last, err := h.a.log.LastSegment(ctx, h.key, math.MaxUint64)
	if err != nil || last == nil || last.To <= h.pos {
		return false, h.failed("history", "manifest", err)
	}
	m, err := record.OpenManifest(h.key, *last)
	if err != nil || m.State != record.Writing {
		return true, nil // what is damaged is named there
	}
	return last.From > h.pos, nil
}

// message yields the message at offset, which must be the first of the page.
func (h *historyReader) message(ctx context.Context, page []store.Message, offset uint64, live bool) error {
	if len(page) == 0 || page[0].Offset != offset {
		return h.damaged(h.fail("history", itemName(offset), sds.ErrIncomplete))
	}
	m := page[0]
	plain, _, err := h.open.open(ctx, offset)
	if err != nil {
		// What it refers to is deleted when it has been archived, or dropped.
		if changed, failed := h.left(ctx, offset); failed != nil || changed {
			return cmp.Or(failed, errChanged)
		}
		return h.damaged(err)
	}
	return h.give(HistoryMessage{Offset: m.Offset, MessageID: m.ID, LamportTimestamp: m.Lamport, Encoded: plain, Live: live})
}

// Message returns the message with an id that is history of the channel, else the latest in the log's
// order that was, as it is committed; where this adapter holds the channel, as it has last stored or loaded
// it. It claims nothing. The error is sds.ErrNotFound when there is none, sds.ErrIncomplete or
// sds.ErrCorrupt when it can't be read.
//
// A message that is history takes one request where this adapter holds the channel: for it and
// those that it can be packed against. Else it takes one for each MB of the log, and one more when
// it is packed against others; one that was evicted two more, for the manifests and the
// head; one that is archived yet one, for its segment. What lies in the archive because it is large takes another.
// The manifests are read together, some 4 KB for 1000 messages; their filters name the
// segment, and are wrong for one id in some 100,000.
func (a *Adapter) Message(ctx context.Context, channelID, messageID string) (HistoryMessage, error) {
	if err := a.checkChannel(ctx, channelID); err != nil {
		return HistoryMessage{}, &sds.ChannelError{Op: "message", Channel: channelID, Err: err}
	}
	if m, ok := a.held(ctx, channelID, messageID); ok {
		return m, nil
	}
	f := &finder{ref: a.ref(channelID), id: messageID}
	for range maxRounds {
		m, err := f.find(ctx)
		if !errors.Is(err, errChanged) {
			return m, err
		}
	}
	return HistoryMessage{}, f.fail("message", "", fmt.Errorf("%w during each of %d tries", errChanged, maxRounds))
}

func (r ref) logMessage(ctx context.Context, m store.Message, live bool) (HistoryMessage, error) {
	plain, err := r.openMessage(ctx, m)
	return HistoryMessage{Offset: m.Offset, MessageID: m.ID, LamportTimestamp: m.Lamport, Encoded: plain, Live: live}, err
}

// held finds a message of a channel that this adapter holds and isn't busy with.
func (a *Adapter) held(ctx context.Context, channelID, messageID string) (HistoryMessage, bool) {
	a.mu.Lock()
	ch := a.channels[channelID]
	a.mu.Unlock()
	if ch == nil {
		return HistoryMessage{}, false
	}
	var e entry
	known := false
	select {
	case ch.turn <- struct{}{}:
		if ch.state != nil {
			var content idHash
			if content, known = ch.state.needed.history(a.hash(messageID)); known {
				e, _ = ch.state.needed.find(content)
			}
		}
		ch.release()
	default:
	}
	if !known {
		return HistoryMessage{}, false
	}
	// The search tells what is wrong.
	o := ch.opener()
	if err := o.fetch(ctx, e.offset); err != nil {
		return HistoryMessage{}, false
	}
	m, ok := o.items[e.offset]
	plain, _, err := o.open(ctx, e.offset)
	if !ok || err != nil || m.ID != messageID {
		return HistoryMessage{}, false
	}
	return HistoryMessage{Offset: e.offset, MessageID: m.ID, LamportTimestamp: m.Lamport, Encoded: plain, Live: true}, true
}

// finder looks for a message by its id.
type finder struct {
	ref
	id string
}

// find looks in the log, then in the segments. The error is errChanged when what was found
// has left its place meanwhile.
func (f *finder) find(ctx context.Context) (HistoryMessage, error) {
	head, found, err := f.a.log.Find(ctx, f.key, f.id)
	if err != nil {
		return HistoryMessage{}, f.fail("message", "log", err)
	}
	if head == nil {
		return HistoryMessage{}, f.fail("message", "", sds.ErrNotFound)
	}
	rec, err := record.OpenHead(f.key, *head)
	if err != nil {
		return HistoryMessage{}, f.fail("message", "head", contract(err))
	}
	// Others are staged leftovers, and the old places of messages that were written again.
	found = slices.DeleteFunc(found, func(m store.Message) bool { return !rec.History.Contains(m.Offset) })
	// It may lie before an evicted one: it waited in a buffer when that was delivered.
	for _, m := range found {
		if rec.Live.Contains(m.Offset) {
			return f.inLog(ctx, m, true)
		}
	}
	var last *store.Message
	if len(found) > 0 {
		last = &found[len(found)-1]
	}
	// A segment whose messages are being deleted may have a later one.
	all, err := f.a.log.Segments(ctx, f.key, head.Origin, math.MaxInt32)
	if err != nil {
		return HistoryMessage{}, f.fail("message", "manifests", err)
	}
	for _, s := range slices.Backward(all) {
		if last != nil && s.To <= last.Offset {
			break
		}
		m, err := f.inSegment(ctx, s)
		if !errors.Is(err, sds.ErrNotFound) {
			return m, cmp.Or(f.unlessWritten(ctx, head), err)
		}
	}
	if last != nil {
		m, err := f.inLog(ctx, *last, false)
		return m, cmp.Or(f.unlessWritten(ctx, head), err)
	}
	err = f.fail("message", "", sds.ErrNotFound)
	if at, ok := gapIn(all, head.Origin, rec.Archived); ok { // it may have been there
		err = f.fail("message", manifestName(at), sds.ErrIncomplete)
	}
	return HistoryMessage{}, cmp.Or(f.unlessWritten(ctx, head), err)
}

// gapIn returns where the first manifest is missing of what is archived from origin to end at least.
func gapIn(all []store.Segment, origin, end uint64) (at uint64, missing bool) {
	at = origin
	for _, s := range all {
		if s.From > at {
			return at, true
		}
		at = max(at, s.To)
	}
	return at, at < end
}

// unlessWritten returns errChanged when the message was written after head. What the log was asked for
// need not be of one moment: one that was written again meanwhile may have been at neither place.
func (f *finder) unlessWritten(ctx context.Context, head *store.Head) error {
	now, err := f.a.log.Head(ctx, f.key)
	if err != nil {
		return f.fail("message", "head", err)
	}
	if now == nil || now.Origin > head.Origin {
		return errChanged
	}
	for pos := head.Next; pos < now.Next; {
		page, next, err := f.a.log.Page(ctx, f.key, pos, now.Next)
		if err != nil {
			return f.fail("message", "messages", err)
		}
		if slices.ContainsFunc(page, func(m store.Message) bool { return m.ID == f.id }) {
			return errChanged
		}
		pos = next
	}
	return nil
}

func (f *finder) inLog(ctx context.Context, m store.Message, live bool) (HistoryMessage, error) {
	h, err := f.logMessage(ctx, m, live)
	if err != nil {
		if left, failed := f.left(ctx, m.Offset); failed != nil || left {
			err = cmp.Or(failed, errChanged)
		}
	}
	return h, err
}

// inSegment looks for the message in a segment. The error is ErrNotFound when it isn't there.
func (f *finder) inSegment(ctx context.Context, s store.Segment) (found HistoryMessage, err error) {
	m, err := record.OpenManifest(f.key, s)
	if err != nil {
		return found, f.fail("message", manifestName(s.From), contract(err))
	}
	if m.State == record.Writing || !m.MayHold(f.id) {
		return found, sds.ErrNotFound
	}
	body, err := f.segment(ctx, s, m)
	if err != nil {
		if dropped, failed := f.dropped(ctx, s.From); failed != nil || dropped {
			err = cmp.Or(failed, errChanged)
		}
		return found, err
	}
	err = sds.ErrNotFound
	for row, failed := range segment.Decode(f.key, body) {
		if failed != nil {
			return found, f.fail("message", segmentItem(m.Name(s)), contract(failed))
		}
		if row.ID == f.id {
			found = HistoryMessage{Offset: row.Offset, MessageID: row.ID, LamportTimestamp: row.Lamport,
				Encoded: row.Plain, ArchivedAt: m.ArchivedAt}
			err = nil
		}
	}
	return found, err
}
