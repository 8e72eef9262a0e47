package sdsaws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/internal/segment"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// SweepOptions change what [Adapter.Sweep] does. Nil and the zero value are the defaults.
type SweepOptions struct {
	// OnlyDue leaves evicted history in the log while there is too little of it, by
	// Options.ArchiveMessages, ArchiveBytes and ArchiveAge, for a segment of its own.
	OnlyDue bool
}

// Sweep tidies a channel, whoever holds it and without claiming it: it archives what was
// evicted and lies below the start of the log, which is where the group of the oldest message
// begins that is history or in the snapshot ([Adapter.Archive] archives all that was
// evicted); goes on with what others have begun and
// not finished (archiving, drops), and removes what nothing refers to. Any number of
// processes may sweep at once, while others commit. An error leaves what was done; sweep
// again. Errors about one item are sds.ErrIncomplete or sds.ErrCorrupt and name it: nothing
// is deleted then that isn't known to be archived. Away from the channel's home it is
// sds.ErrElsewhere, with Options.Takeover too: what it deletes, a newer head that is on its way
// may need. Load the channel first.
func (a *Adapter) Sweep(ctx context.Context, channelID string, o *SweepOptions) (Swept, error) {
	if err := a.checkChannel(ctx, channelID); err != nil {
		return Swept{}, &sds.ChannelError{Op: "sweep", Channel: channelID, Err: err}
	}
	return a.ref(channelID).sweep(ctx, o != nil && o.OnlyDue)
}

// Channels yields the ids of the channels of this adapter's namespace, in no particular
// order. One that was created in the last moments may be missing, one that was dropped is
// still there. After an error it ends.
func (a *Adapter) Channels(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := a.check(ctx); err != nil {
			yield("", fmt.Errorf("sdsaws: channels: %w", err))
			return
		}
		for id, err := range a.log.Channels(ctx, a.o.Namespace) {
			if err != nil {
				err = fmt.Errorf("sdsaws: channels: %w", err)
			}
			if !yield(id, err) || err != nil {
				return
			}
		}
	}
}

func (r ref) sweep(ctx context.Context, onlyDue bool) (Swept, error) {
	head, _, err := r.head(ctx, "sweep")
	if err != nil || head == nil {
		return Swept{}, err
	}
	if err := r.elsewhere("sweep", head); err != nil {
		return Swept{}, err
	}
	removed, err := r.wipe(ctx, head.Origin)
	done := Swept{Removed: removed}
	if err != nil {
		return done, err
	}
	if err := r.a.log.Unstage(ctx, r.key); err != nil {
		return done, r.fail("sweep", "staged messages", err)
	}
	archived, err := r.archiveDue(ctx, onlyDue, r.archivedUpTo)
	done.Add(archived)
	if err != nil {
		return done, err
	}
	removed, err = r.cleanValues(ctx)
	done.Removed += removed
	return done, err
}

// archivedUpTo tells the channel, if this adapter works on it, how far it is archived.
func (r ref) archivedUpTo(end uint64) {
	r.a.mu.Lock()
	ch := r.a.channels[r.id]
	r.a.mu.Unlock()
	if ch != nil {
		ch.noteArchived(end)
	}
}

// wipe removes all that lies below origin: the hints of messages in the log and in segments,
// the messages, manifests, segments. It returns how many objects went.
//
// The order matters. A message leaves the log after its manifest says that it is in a segment,
// so the log first and then the manifests name all messages. And an archiver at work
// elsewhere either has put its object when the manifests are gone, and it is listed, or it
// finds no manifest and deletes what it has put.
func (r ref) wipe(ctx context.Context, origin uint64) (removed int, err error) {
	if origin == 0 {
		return 0, nil
	}
	f := &forgetter{ref: r, origin: origin}
	for pos := uint64(0); pos < origin; {
		page, next, err := r.a.log.Page(ctx, r.key, pos, origin)
		if err != nil {
			return 0, r.fail("drop", "messages", err)
		}
		ids := make([]string, len(page))
		for i, m := range page {
			ids[i] = m.ID
		}
		if err := f.forget(ctx, ids); err != nil {
			return 0, err
		}
		pos = next
	}
	damaged, err := f.forgetSegments(ctx)
	if err != nil {
		return 0, err
	}
	if err := r.a.log.Delete(ctx, r.key, 0, origin); err != nil {
		return 0, r.fail("drop", "messages", err)
	}
	if err := r.a.log.DeleteSegments(ctx, r.key, origin); err != nil {
		return 0, r.fail("drop", "manifests", err)
	}
	if removed, err = r.removeSegments(ctx, origin); err != nil {
		return removed, err
	}
	return removed, damaged
}

// removeSegments removes the segments of dropped messages.
func (r ref) removeSegments(ctx context.Context, origin uint64) (removed int, err error) {
	folder := record.Folder(record.Segments, r.key)
	for o, err := range r.a.archive.List(ctx, folder) {
		if err != nil {
			return removed, r.fail("drop", "segments", err)
		}
		name := strings.TrimPrefix(o.Name, folder)
		if from, ok := segmentOrigin(name); !ok || from >= origin {
			continue
		}
		if err := r.a.archive.Delete(ctx, o); err != nil {
			return removed, r.fail("drop", segmentItem(name), err)
		}
		removed++
	}
	return removed, nil
}

// segmentOrigin returns the origin in the name of a segment.
func segmentOrigin(name string) (uint64, bool) {
	digits, rest, ok := strings.Cut(name, "-")
	origin, err := strconv.ParseUint(digits, 10, 64)
	return origin, ok && err == nil && strings.HasSuffix(rest, ".parquet")
}

// forgetter removes the hints of dropped messages, but for ids that the log has again from
// origin on: of the channel created anew.
type forgetter struct {
	ref
	origin uint64
	again  map[string]bool // nil: not read yet
}

func (f *forgetter) forget(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	if f.again == nil {
		f.again = map[string]bool{}
		_, messages, err := f.a.log.Load(ctx, f.key, f.origin)
		if err != nil {
			return f.fail("drop", "messages", err)
		}
		for _, m := range messages {
			f.again[m.ID] = true
		}
	}
	return f.forgetHints(ctx, slices.DeleteFunc(ids, func(id string) bool { return f.again[id] }))
}

// forgetSegments removes the hints of the messages in segments. What is damaged is the first
// result: whose hints are left can't be known then.
func (f *forgetter) forgetSegments(ctx context.Context) (damaged, err error) {
	var all []error
	for pos := uint64(0); pos < f.origin; {
		page, err := f.a.log.Segments(ctx, f.key, pos, manifestPage)
		if err != nil {
			return nil, f.fail("drop", "manifests", err)
		}
		for _, s := range page {
			if s.From >= f.origin {
				return errors.Join(all...), nil
			}
			switch err := f.forgetSegment(ctx, s); {
			case errors.Is(err, sds.ErrIncomplete) || errors.Is(err, sds.ErrCorrupt):
				all = append(all, fmt.Errorf("it is removed, but hints of its messages may be left: %w", err))
			case err != nil:
				return nil, err
			}
			pos = s.From + 1
		}
		if len(page) < manifestPage {
			break
		}
	}
	return errors.Join(all...), nil
}

func (f *forgetter) forgetSegment(ctx context.Context, s store.Segment) error {
	m, err := record.OpenManifest(f.key, s)
	if err != nil {
		return f.fail("drop", manifestName(s.From), contract(err))
	}
	if m.Size == 0 { // not written yet: its messages are in the log
		return nil
	}
	body, err := f.segment(ctx, s, m)
	if err != nil {
		there, failed := f.a.log.Segments(ctx, f.key, s.From, 1)
		if failed == nil && (len(there) == 0 || there[0].From != s.From) {
			return nil // another has wiped it meanwhile
		}
		return cmp.Or(failed, err)
	}
	var ids []string
	for row, err := range segment.Decode(f.key, body) {
		if err != nil {
			return f.fail("drop", segmentItem(m.Name(s)), contract(err))
		}
		ids = append(ids, row.ID)
	}
	return f.forget(ctx, ids)
}

// forgetHints deletes the hints of messages, and forgets that they were set here.
func (r ref) forgetHints(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	defer r.a.hints.forget()
	return r.failed("drop", "retrieval hints", r.a.hints.store.DeleteHints(ctx, r.key.Namespace, ids))
}

// cleanValues removes the values that nothing refers to and no commit under way can. A value
// is made for a commit that follows a certain one, as its name tells. So what was there
// before the head was read, isn't referred to, and wasn't made for a commit that follows that
// head, never will be referred to: no clock has a say in it.
func (r ref) cleanValues(ctx context.Context) (removed int, err error) {
	folder := record.Folder(record.Values, r.key)
	var all []store.Object
	for o, err := range r.a.archive.List(ctx, folder) {
		if err != nil {
			return 0, r.fail("sweep", "values", err)
		}
		all = append(all, o)
	}
	if len(all) == 0 {
		return 0, nil
	}
	head, rec, err := r.head(ctx, "sweep")
	if err != nil {
		return 0, err
	}
	if head == nil {
		head, rec = &store.Head{}, &record.Head{}
	}
	if err := r.elsewhere("sweep", head); err != nil {
		return 0, err
	}
	used, err := r.usedValues(ctx, head, rec)
	if errors.Is(err, errChanged) {
		return 0, nil // it is for a later sweep
	}
	if err != nil {
		return 0, err
	}
	var garbage []store.Object
	for _, o := range all {
		if !used[o.Name] && !madeAfter(strings.TrimPrefix(o.Name, folder), head.CommitID) {
			garbage = append(garbage, o)
		}
	}
	return len(garbage), r.failed("sweep", "values", r.remove(ctx, garbage))
}

// usedValues returns the names of the values that the channel refers to.
//
// What refers to a value can be missing itself: then nothing is known to be garbage.
func (r ref) usedValues(ctx context.Context, head *store.Head, rec *record.Head) (map[string]bool, error) {
	used := map[string]bool{}
	if rec.Value != nil {
		used[r.valueObject(rec.Value).Name] = true
	}
	missing := rec.Needed()
	for pos := head.Origin; pos < head.Next; {
		page, next, err := r.a.log.Page(ctx, r.key, pos, head.Next)
		if err != nil {
			return nil, r.fail("sweep", "messages", err)
		}
		for _, m := range page {
			missing.Remove(m.Offset)
			v, err := record.MessageValue(m.Body)
			if err != nil {
				return nil, r.fail("sweep", itemName(m.Offset), contract(err))
			}
			if v != nil {
				used[r.valueObject(v).Name] = true
			}
		}
		pos = next
	}
	if o, ok := missing.Min(); ok {
		now, err := r.a.log.Head(ctx, r.key)
		if err == nil && is(now, head.CommitID) {
			err = r.fail("sweep", itemName(o), sds.ErrIncomplete)
		}
		return nil, cmp.Or(err, errChanged)
	}
	return used, nil
}
