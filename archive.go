package sdsaws

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sdsaws/sdsaws/internal/offsets"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/internal/segment"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// What one segment holds at most, so that archiving takes a bounded amount of memory:
// about three times segmentBytes.
const (
	segmentRows  = 10_000
	segmentBytes = 32 << 20 // of messages, uncompressed; what follows up to the next group may pass it
)

// Swept is what a sweep has done.
type Swept struct {
	Messages int   // moved from the log into segments
	Segments int   // written
	Bytes    int64 // of those segments
	Resumed  int   // segments that somebody else had begun
	Removed  int   // objects that nothing refers to: of dropped channels and failed commits

	// Waiting is how many offsets of the log lie below its start and were not archived when it
	// ended: because they aren't due yet, or because it failed.
	Waiting uint64
}

// Add adds what another sweep has done.
func (s *Swept) Add(o Swept) {
	s.Messages += o.Messages
	s.Segments += o.Segments
	s.Bytes += o.Bytes
	s.Resumed += o.Resumed
	s.Removed += o.Removed
	s.Waiting += o.Waiting
}

// errChanged says that the segment under way was brought on by somebody else, or dropped.
var errChanged = errors.New("archived or dropped by another process meanwhile")

// archive moves what lies below the head's start into segments, as far as it lies there
// when it is called. Any number of processes may do so at once, and each goes on from where
// another has stopped:
//
//  1. The manifest, state Writing, says which offsets the segment covers and which of them
//     were history. Only one process can add it, and none while the one before isn't Done.
//  2. The object is put. Whoever comes second finds the same rows there.
//  3. State Written: from here on readers read the object, and messages may be deleted.
//  4. The messages are deleted, then what they refer to in the archive.
//  5. State Done.
//
// After each segment it calls note with the offset up to which all is in segments.
func (r ref) archive(ctx context.Context, note func(end uint64)) (Swept, error) {
	return r.archiveAt(ctx, time.Time{}, note)
}

// archiveAt is archive as if it were then; zero: now.
func (r ref) archiveAt(ctx context.Context, at time.Time, note func(end uint64)) (done Swept, err error) {
	ctx, ended := r.a.o.Telemetry.archiving(ctx, r.id)
	defer func() { ended(done, err) }()
	limit := uint64(0)
	for first := true; ; first = false {
		// In this order: the head knows no manifest that isn't there yet.
		head, rec, err := r.head(ctx, "archive")
		if err != nil || head == nil {
			return done, err
		}
		if err := r.elsewhere("archive", head); err != nil {
			return done, err
		}
		last, err := r.a.log.LastSegment(ctx, r.key, math.MaxUint64)
		if err != nil {
			return done, r.fail("archive", "manifest", err)
		}
		if first {
			limit = head.Start
		}
		w := &archiver{ref: r, done: &done, at: at}
		more, err := w.open(ctx, head, rec, last, limit)
		if err == nil && more {
			err = w.finish(ctx)
		}
		switch {
		case errors.Is(err, errChanged): // go on with what is there now
		case err != nil || !more:
			return done, err
		default:
			note(w.seg.To)
		}
	}
}

// head reads the head, and what its body says: nil where there is none. Where the log begins and ends
// stands beside the body; its checksum is over both.
func (r ref) head(ctx context.Context, op string) (*store.Head, *record.Head, error) {
	head, err := r.a.log.Head(ctx, r.key)
	if err != nil || head == nil {
		return nil, nil, r.failed(op, "head", err)
	}
	rec, err := record.OpenHead(r.key, *head)
	if err != nil {
		return nil, nil, r.fail(op, "head", contract(err))
	}
	return head, rec, nil
}

// failed is fail for an error that may be nil.
func (r ref) failed(op, item string, err error) error {
	if err == nil {
		return nil
	}
	return r.fail(op, item, err)
}

// archiver brings one segment to its end.
type archiver struct {
	ref
	done     *Swept
	at       time.Time // when it archives; zero: now
	seg      store.Segment
	manifest *record.Manifest
	loaded   bool              // rows and values are those of the log
	rows     []segment.Message // the messages that were history
	values   []store.Object    // that all messages of the range refer to
	added    bool              // the manifest is stored
	put      bool              // the object was put, and so verified, here
}

// open finds what there is to do: the last segment, when it isn't done, or a new one for
// what lies below limit. It reports whether there is anything.
func (w *archiver) open(
	ctx context.Context, head *store.Head, rec *record.Head, last *store.Segment, limit uint64,
) (bool, error) {
	from := head.Origin
	if last != nil && last.To > head.Origin { // else it is of a dropped channel
		m, err := record.OpenManifest(w.key, *last)
		if err != nil {
			return false, w.fail("archive", manifestName(last.From), contract(err))
		}
		if err := w.ahead(ctx, head, last); err != nil {
			return false, err
		}
		if m.State != record.Done {
			w.seg, w.manifest, w.added = *last, m, true
			w.done.Resumed++
			w.done.Waiting = below(head, last.From)
			return true, nil
		}
		from = last.To
	}
	w.done.Waiting = below(head, from)
	if from >= min(limit, head.Start) {
		return false, nil
	}
	w.seg = store.Segment{From: from, To: min(limit, head.Start)}
	if rec.Archived > from {
		return false, w.unlessChanged(ctx, w.fail("archive",
			fmt.Sprintf("manifest of the segment up to offset %d", rec.Archived), sds.ErrIncomplete))
	}
	w.manifest = &record.Manifest{State: record.Writing, Origin: head.Origin, ArchivedAt: w.at}
	if w.at.IsZero() {
		w.manifest.ArchivedAt = w.a.o.Clock.Now()
	}
	if err := w.read(ctx, rec.History, true); err != nil {
		return false, err
	}
	w.manifest.History = rec.History.Between(w.seg.From, w.seg.To)
	return true, nil
}

// below returns how many offsets from archived on lie below the head's start.
func below(head *store.Head, archived uint64) uint64 {
	return head.Start - min(head.Start, max(head.Origin, archived))
}

// read reads the messages of the segment that are in history. With cut it ends the
// segment where it would get too large.
func (w *archiver) read(ctx context.Context, history offsets.Set, cut bool) error {
	w.rows, w.values, w.loaded = nil, nil, true
	size := 0
	o := w.opener()
	for pos := w.seg.From; pos < w.seg.To; {
		page, next, err := w.a.log.Page(ctx, w.key, pos, w.seg.To)
		if err != nil {
			return w.fail("archive", "messages", err)
		}
		for _, m := range page {
			if cut && record.Begins(m.Body) && (size >= segmentBytes || len(w.rows) >= segmentRows) {
				next, w.seg.To = w.seg.To, m.Offset
				break
			}
			o.add(m)
			if v, err := record.MessageValue(m.Body); err == nil && v != nil {
				w.values = append(w.values, w.valueObject(v))
			}
			if !history.Contains(m.Offset) {
				continue
			}
			plain, _, err := o.open(ctx, m.Offset)
			if err != nil {
				return w.unlessChanged(ctx, err)
			}
			w.rows = append(w.rows, segment.Message{Offset: m.Offset, ID: m.ID, Lamport: m.Lamport, Plain: plain})
			size += len(plain)
		}
		pos = next
	}
	want := history.Between(w.seg.From, w.seg.To)
	i := 0
	for o := range want.All() {
		if i == len(w.rows) || w.rows[i].Offset != o {
			return w.unlessChanged(ctx, w.fail("archive", itemName(o), sds.ErrIncomplete))
		}
		i++
	}
	return nil
}

// unlessChanged returns err unless somebody else has brought the segment on, or dropped the
// channel: then what was read may have been deleted meanwhile.
func (w *archiver) unlessChanged(ctx context.Context, err error) error {
	head, failed := w.a.log.Head(ctx, w.key)
	if failed == nil && (head == nil || head.Origin > w.seg.From) {
		return errChanged
	}
	there, failed2 := w.a.log.Segments(ctx, w.key, w.seg.From, 1)
	if failed = cmp.Or(failed, failed2); failed != nil {
		return errors.Join(err, failed)
	}
	if len(there) == 0 || there[0].From != w.seg.From { // only a drop deletes one
		if w.added {
			return errChanged
		}
		return err
	}
	m, failed := record.OpenManifest(w.key, there[0])
	if failed != nil {
		return w.fail("archive", manifestName(w.seg.From), contract(failed))
	}
	if !w.added || m.State > w.manifest.State {
		return errChanged
	}
	return err
}

// finish goes on from the manifest's state to the end.
func (w *archiver) finish(ctx context.Context) error {
	if !w.added {
		w.seg.Body = w.manifest.Body(w.key, w.seg)
		if err := w.a.log.AddSegment(ctx, w.key, w.manifest.Origin, w.seg); err != nil {
			if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrExists) {
				return errChanged
			}
			return w.fail("archive", manifestName(w.seg.From), err)
		}
	}
	if w.manifest.State == record.Writing {
		if err := w.write(ctx); err != nil {
			return err
		}
	}
	if err := w.clear(ctx); err != nil {
		return err
	}
	return w.mark(ctx, record.Done)
}

func manifestName(from uint64) string {
	return fmt.Sprintf("manifest of the segment from offset %d", from)
}

// segmentObject returns the object of a segment.
func (r ref) segmentObject(seg store.Segment, m *record.Manifest) store.Object {
	return store.Object{Name: record.Folder(record.Segments, r.key) + m.Name(seg), Version: m.Version, Size: m.Size}
}

func segmentItem(name string) string { return "segment " + name }

// write puts the object and marks the segment as written.
func (w *archiver) write(ctx context.Context) error {
	if !w.loaded {
		if err := w.read(ctx, w.manifest.History, false); err != nil {
			return err
		}
	}
	if len(w.rows) > 0 {
		if err := w.store(ctx); err != nil {
			return err
		}
	}
	err := w.mark(ctx, record.Written)
	if err == nil {
		w.done.Messages += len(w.rows)
	}
	return err
}

// store puts the object, or adopts one that has the same rows.
func (w *archiver) store(ctx context.Context) error {
	item := segmentItem(w.manifest.Name(w.seg))
	body, err := segment.Encode(w.key, w.manifest.ArchivedAt, w.rows)
	if err != nil {
		return w.fail("archive", item, contract(err))
	}
	if len(body) > record.MaxSegment {
		return w.fail("archive", item, fmt.Errorf("%w: segment of %d bytes", sds.ErrTooLarge, len(body)))
	}
	o, err := w.a.archive.Put(ctx, w.segmentObject(w.seg, w.manifest).Name, body)
	if errors.Is(err, store.ErrExists) {
		body, err = w.adopt(ctx, o)
	}
	if err != nil {
		return w.fail("archive", item, err)
	}
	m := w.manifest
	m.Version, m.Size, m.Sum = o.Version, int64(len(body)), sha256.Sum256(body)
	ids := make([]string, len(w.rows))
	m.MinLamport, m.MaxLamport = w.rows[0].Lamport, w.rows[0].Lamport
	for i := range w.rows {
		ids[i] = w.rows[i].ID
		m.MinLamport, m.MaxLamport = min(m.MinLamport, w.rows[i].Lamport), max(m.MaxLamport, w.rows[i].Lamport)
	}
	m.SetIDs(ids)
	w.put = true
	w.done.Segments++
	w.done.Bytes += m.Size
	return nil
}

// adopt returns the bytes of the object that is there already, if it has the same rows.
func (w *archiver) adopt(ctx context.Context, o store.Object) ([]byte, error) {
	other := fmt.Errorf("%w: the object under its name has other rows", sds.ErrCorrupt)
	if o.Size <= 0 || o.Size > record.MaxSegment {
		return nil, other
	}
	body, err := w.a.archive.Get(ctx, o)
	if err == nil && !w.holds(body) {
		err = other
	}
	return body, err
}

// holds reports whether a stored object has the rows of this segment and no others.
func (w *archiver) holds(body []byte) bool {
	i := 0
	for m, err := range segment.Decode(w.key, body) {
		if err != nil || i == len(w.rows) || !m.Equal(w.rows[i]) {
			return false
		}
		i++
	}
	return i == len(w.rows)
}

// mark sets the segment's state. When the manifest is gone, so is the channel as it was:
// then what was put must go too.
func (w *archiver) mark(ctx context.Context, s record.State) error {
	w.manifest.State = s
	w.seg.Body = w.manifest.Body(w.key, w.seg)
	err := w.a.log.ReplaceSegment(ctx, w.key, w.seg)
	if !errors.Is(err, store.ErrNotFound) {
		return w.failed("archive", manifestName(w.seg.From), err)
	}
	if w.manifest.Size > 0 {
		if err := w.a.archive.Delete(ctx, w.segmentObject(w.seg, w.manifest)); err != nil {
			return w.fail("archive", segmentItem(w.manifest.Name(w.seg)), err)
		}
	}
	return errChanged
}

// clear deletes the messages of the segment from the log, once its object is known to be
// there: it was put here, or is read and verified.
func (w *archiver) clear(ctx context.Context) error {
	if !w.put && w.manifest.Size > 0 {
		if _, err := w.segment(ctx, w.seg, w.manifest); err != nil {
			return w.unlessChanged(ctx, err)
		}
	}
	if !w.loaded {
		if err := w.read(ctx, offsets.Set{}, false); err != nil { // for the values
			return err
		}
	}
	if err := w.a.log.Delete(ctx, w.key, w.seg.From, w.seg.To); err != nil {
		return w.fail("archive", "archived messages", err)
	}
	return w.failed("archive", "values of archived messages", w.remove(ctx, w.values))
}

// remove deletes objects of the archive.
func (r ref) remove(ctx context.Context, objects []store.Object) error {
	if len(objects) == 0 {
		return nil
	}
	return r.a.archive.Delete(ctx, objects...)
}

// segment reads the object of a segment and compares it with its manifest.
func (r ref) segment(ctx context.Context, seg store.Segment, m *record.Manifest) ([]byte, error) {
	item := segmentItem(m.Name(seg))
	b, err := r.a.archive.Get(ctx, r.segmentObject(seg, m))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, r.fail("read", item, fmt.Errorf("%w: %w", sds.ErrIncomplete, err))
	case errors.Is(err, store.ErrSize):
		return nil, r.fail("read", item, fmt.Errorf("%w: %w", sds.ErrCorrupt, err))
	case err != nil:
		return nil, r.fail("read", item, err)
	case int64(len(b)) != m.Size || sha256.Sum256(b) != m.Sum:
		return nil, r.fail("read", item, fmt.Errorf("%w: %d bytes, not those of %d that were archived",
			sds.ErrCorrupt, len(b), m.Size))
	}
	return b, nil
}

// lastArchived returns the end of what is archived, as the last manifest has it, when that
// was added, and whether there is nothing left to do for it.
func (r ref) lastArchived(ctx context.Context) (end uint64, at time.Time, done bool, err error) {
	last, err := r.a.log.LastSegment(ctx, r.key, math.MaxUint64)
	if err != nil {
		return 0, at, false, r.fail("archive", "manifest", err)
	}
	if last == nil {
		return 0, at, true, nil
	}
	m, err := record.OpenManifest(r.key, *last)
	if err != nil {
		return 0, at, false, r.fail("archive", manifestName(last.From), contract(err))
	}
	if m.State == record.Writing {
		return last.From, m.ArchivedAt, false, nil // the segments before it are done
	}
	return last.To, m.ArchivedAt, m.State == record.Done, nil
}

// archiveDue archives when enough waits for it, or something was begun; or, unless onlyDue,
// whatever there is.
func (r ref) archiveDue(ctx context.Context, onlyDue bool, note func(end uint64)) (Swept, error) {
	if !onlyDue {
		return r.archive(ctx, note)
	}
	end, at, done, err := r.lastArchived(ctx)
	if err != nil {
		return Swept{}, err
	}
	note(end) // others may have archived
	head, rec, err := r.head(ctx, "archive")
	if err != nil || head == nil {
		return Swept{}, err
	}
	if done && !r.a.o.due(head, rec, end, at, r.a.o.Clock.Now()) {
		return Swept{Waiting: below(head, end)}, nil
	}
	return r.archive(ctx, note)
}
