package sdsaws

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/sdsaws/sdsaws/internal/offsets"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/internal/segment"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// checker checks one channel, in rounds.
type checker struct {
	ref
	verified map[store.Object]bool // objects that an earlier round has read and found good

	// Of this round.
	found     *Checked
	head      *store.Head
	rec       *record.Head // nil: the head is damaged
	objects   map[record.Kind][]store.Object
	manifests []manifestAt
	archived  uint64 // the end of the segments whose objects are written
	usedMu    sync.Mutex
	kept      map[uint64]bool                    // the offsets of messages in the snapshot; nil: it is damaged
	used      map[string]string                  // names of values that are referred to, and their versions
	stray     []store.Object                     // garbage that a sweep leaves
	leftover  [][2]uint64                        // ranges of the log that are in segments
	unread    struct{ manifests, messages bool } // some are damaged: what they refer to isn't known
}

// manifestAt is what is kept of a manifest.
type manifestAt struct {
	store.Segment
	m *record.Manifest // nil: damaged
}

// run checks until the channel stays the same during a round.
func (c *checker) run(ctx context.Context) (*Checked, error) {
	var always map[string]Finding // found in every round
	for range checkRounds {
		settled, err := c.round(ctx)
		if err != nil {
			return nil, err
		}
		if settled || len(c.found.Findings) == 0 {
			return c.found, nil
		}
		if now := c.found.byItem(); always == nil {
			always = now
		} else {
			maps.DeleteFunc(always, func(k string, _ Finding) bool { _, ok := now[k]; return !ok })
		}
	}
	c.found.Findings = slices.DeleteFunc(c.found.Findings, func(f Finding) bool {
		_, ok := always[f.key()]
		return !ok
	})
	return c.found, nil
}

// round reads everything once, and reports whether the head and the last manifest are at
// its end what they were at the beginning. Objects are listed before the head is read: what
// is there by then and nothing refers to later is garbage by its name alone.
func (c *checker) round(ctx context.Context) (settled bool, err error) {
	c.found = &Checked{ChannelID: c.id}
	c.rec, c.manifests, c.archived, c.stray, c.leftover, c.kept = nil, nil, 0, nil, nil, nil
	c.used = map[string]string{}
	c.unread.manifests, c.unread.messages = false, false
	if err := c.list(ctx); err != nil {
		return false, err
	}
	c.head, err = c.a.log.Head(ctx, c.key)
	switch {
	case errors.Is(err, store.ErrMalformed):
		c.found.Found = true
		c.found.broken("head", fmt.Errorf("%w: %w", sds.ErrCorrupt, err))
		return true, nil
	case err != nil:
		return false, c.fail("check", "head", err)
	case c.head == nil:
		return c.headless(ctx)
	}
	c.found.Found = true
	if c.rec, err = record.OpenHead(c.key, *c.head); err != nil {
		c.found.broken("head", contract(err))
	}
	for _, step := range []func(context.Context) error{
		c.checkManifests, c.checkSegments, c.checkSnapshot, c.checkMessages,
	} {
		if err := step(ctx); err != nil {
			return false, err
		}
	}
	c.checkValues()
	head, err := c.a.log.Head(ctx, c.key)
	if err != nil && !errors.Is(err, store.ErrMalformed) {
		return false, c.fail("check", "head", err)
	}
	last, err := c.a.log.LastSegment(ctx, c.key, math.MaxUint64)
	if err != nil && !errors.Is(err, store.ErrMalformed) {
		return false, c.fail("check", "manifest", err)
	}
	same := err != nil || last == nil && len(c.manifests) == 0
	if n := len(c.manifests); last != nil && n > 0 {
		same = last.From == c.manifests[n-1].From && string(last.Body) == string(c.manifests[n-1].Body)
	}
	return same && is(head, c.head.CommitID), nil
}

func (c *checker) list(ctx context.Context) error {
	c.objects = map[record.Kind][]store.Object{}
	for _, kind := range []record.Kind{record.Segments, record.Values} {
		for o, err := range c.a.archive.List(ctx, record.Folder(kind, c.key)) {
			if err != nil {
				return c.fail("check", string(kind), err)
			}
			c.objects[kind] = append(c.objects[kind], o)
		}
	}
	return nil
}

// headless looks for what is stored without a head. A head is the first thing that is
// written of a channel, and is never deleted.
func (c *checker) headless(ctx context.Context) (settled bool, err error) {
	var what []string
	page, _, err := c.a.log.Page(ctx, c.key, 0, math.MaxUint64)
	if err != nil && !errors.Is(err, store.ErrMalformed) {
		return false, c.fail("check", "messages", err)
	}
	if err != nil || len(page) > 0 {
		what = append(what, "messages")
	}
	last, err := c.a.log.LastSegment(ctx, c.key, math.MaxUint64)
	if err != nil && !errors.Is(err, store.ErrMalformed) {
		return false, c.fail("check", "manifest", err)
	}
	if err != nil || last != nil {
		what = append(what, "manifests")
	}
	for _, kind := range []record.Kind{record.Segments, record.Values} {
		if len(c.objects[kind]) > 0 {
			what = append(what, string(kind))
		}
	}
	if len(what) == 0 {
		return true, nil
	}
	c.found.Found = true
	c.found.broken("head", fmt.Errorf("%w: there is none, but %s", sds.ErrIncomplete, strings.Join(what, ", ")))
	head, err := c.a.log.Head(ctx, c.key)
	if err != nil {
		return false, c.fail("check", "head", err)
	}
	return head == nil, nil // or the channel was created meanwhile
}

// checkManifests reads the manifests and holds them against each other and the head.
func (c *checker) checkManifests(ctx context.Context) error {
	dropped := 0
	expect := c.head.Origin
	for pos, more := uint64(0), true; more; {
		page, err := c.a.log.Segments(ctx, c.key, pos, manifestPage)
		if errors.Is(err, store.ErrMalformed) {
			c.unread.manifests = true
			c.found.broken("manifests", fmt.Errorf("%w: %w", sds.ErrCorrupt, err))
			return nil
		}
		if err != nil {
			return c.fail("check", "manifests", err)
		}
		for _, s := range page {
			pos = s.From + 1
			if s.From < c.head.Origin {
				dropped++
				continue
			}
			if s.From != expect {
				c.found.broken(manifestName(expect), fmt.Errorf(
					"%w: there is none, the next one begins at offset %d", sds.ErrIncomplete, s.From))
			}
			expect = max(expect, s.To)
			m, err := record.OpenManifest(c.key, s)
			if err != nil {
				c.found.broken(manifestName(s.From), contract(err))
				c.unread.manifests = true
				m = nil
			}
			c.manifests = append(c.manifests, manifestAt{s, m})
		}
		more = len(page) == manifestPage
	}
	if dropped > 0 {
		c.unfinished("drop", fmt.Errorf("%d manifests lie below the origin", dropped))
	}
	for i, s := range c.manifests {
		if s.m == nil {
			c.archived = s.To // what was in the log of it may be deleted
			continue
		}
		if s.m.State != record.Writing {
			c.archived = s.To
		}
		switch last := i == len(c.manifests)-1; {
		case s.m.State != record.Done && last:
			c.unfinished(manifestName(s.From), errors.New("its archiving has not come to an end"))
		case s.m.State == record.Writing: // a sweeper that comes late may set Written again
			c.found.broken(manifestName(s.From), fmt.Errorf(
				"%w: not written, although others follow", sds.ErrCorrupt))
		}
		if s.To > c.head.Start {
			c.found.broken(manifestName(s.From), fmt.Errorf(
				"%w: it reaches beyond the start of the log: the head is older than the archive", sds.ErrCorrupt))
		}
	}
	if c.rec != nil && c.rec.Archived > max(c.archived, c.head.Origin) {
		c.found.broken(manifestName(expect), fmt.Errorf(
			"%w: there is none, but the head knows that all below offset %d is archived", sds.ErrIncomplete, c.rec.Archived))
	}
	return nil
}

func (c *checker) unfinished(item string, err error) {
	c.found.add(Finding{Verdict: Unfinished, Item: item, Err: err})
}

func (c *checker) garbage(item string, err error) {
	c.found.add(Finding{Verdict: Garbage, Item: item, Err: err})
}

// checkSegments reads the objects of segments, and finds those without a manifest.
func (c *checker) checkSegments(ctx context.Context) error {
	known := map[string]manifestAt{}
	for _, s := range c.manifests {
		if s.m == nil {
			continue
		}
		known[s.m.Name(s.Segment)] = s
		if s.m.State == record.Writing || s.m.Size == 0 {
			continue
		}
		c.found.Segments++
		c.found.Bytes += s.m.Size
		c.found.Archived += s.m.History.Len()
		o := c.segmentObject(s.Segment, s.m)
		if c.verified[o] {
			continue
		}
		err := c.verifySegment(ctx, s)
		switch {
		case broken(err):
			c.found.broken(segmentItem(s.m.Name(s.Segment)), err)
		case err != nil:
			return err
		default:
			c.verified[o] = true
		}
	}
	folder := record.Folder(record.Segments, c.key)
	dropped := 0
	for _, o := range c.objects[record.Segments] {
		name := strings.TrimPrefix(o.Name, folder)
		origin, ours := segmentOrigin(name)
		s, ok := known[name]
		switch {
		case ours && origin < c.head.Origin:
			dropped++
		case !ours:
			c.found.broken(segmentItem(name), fmt.Errorf(
				"%w: an object with a foreign name: move it away", sds.ErrCorrupt))
		case !ok && c.unread.manifests: // perhaps it has one
		case !ok:
			c.found.broken(segmentItem(name), fmt.Errorf("%w: its manifest is missing", sds.ErrIncomplete))
		case s.m.State != record.Writing && another(o, s.m.Version):
			c.stray = append(c.stray, o)
			c.garbage(segmentItem(name)+" "+o.Version, errors.New("a version that no manifest names"))
		}
	}
	if dropped > 0 {
		c.unfinished("drop", fmt.Errorf("%d segments lie below the origin", dropped))
	}
	return nil
}

// another reports whether an object that is listed is not the version that was recorded. Where
// none was, as with a bucket that kept none then, any may be the one.
func another(listed store.Object, recorded string) bool {
	return recorded != "" && listed.Version != recorded
}

// verifySegment reads an object and holds it against its manifest.
func (c *checker) verifySegment(ctx context.Context, s manifestAt) error {
	body, err := c.segment(ctx, s.Segment, s.m)
	if err != nil {
		return err
	}
	rows := &offsets.Set{}
	for row, err := range segment.Decode(c.key, body) {
		if err != nil {
			return contract(err)
		}
		if err := matches(row.Plain, row.ID, row.Lamport); err != nil {
			return fmt.Errorf("%s: %w", itemName(row.Offset), err)
		}
		if !s.m.History.Contains(row.Offset) || rows.Contains(row.Offset) || !s.m.MayHold(row.ID) ||
			row.Lamport < s.m.MinLamport || row.Lamport > s.m.MaxLamport {
			return fmt.Errorf("%w: its manifest doesn't know the row of offset %d", sds.ErrCorrupt, row.Offset)
		}
		rows.Add(row.Offset)
	}
	if rows.Len() != s.m.History.Len() {
		return fmt.Errorf("%w: it has %d messages instead of %d", sds.ErrIncomplete, rows.Len(), s.m.History.Len())
	}
	return nil
}

func (c *checker) checkSnapshot(ctx context.Context) error {
	if c.rec == nil {
		return nil
	}
	if v := c.rec.Value; v != nil {
		c.use(v)
	}
	_, _, err := c.opener().snapshot(ctx, "check", c.rec)
	switch {
	case errors.Is(err, store.ErrMalformed):
		c.found.broken("snapshot", fmt.Errorf("%w: %w", sds.ErrCorrupt, err))
		return nil
	case broken(err):
		c.found.broken("snapshot", err)
		return nil
	case err != nil:
		return err
	}
	c.kept = map[uint64]bool{}
	for _, o := range c.rec.Messages {
		c.kept[o] = true
	}
	return nil
}

// broken reports whether an error is about what is stored.
func broken(err error) bool {
	return errors.Is(err, sds.ErrIncomplete) || errors.Is(err, sds.ErrCorrupt) ||
		errors.Is(err, sds.ErrUnsupportedFormat) || errors.Is(err, sds.ErrSchemaVersion)
}

func (c *checker) use(v *record.Value) {
	c.usedMu.Lock()
	defer c.usedMu.Unlock()
	if _, ok := c.used[c.valueObject(v).Name]; !ok {
		c.found.Values++
		c.found.Bytes += v.Size
	}
	c.used[c.valueObject(v).Name] = v.Version
}

// needed is which messages of the log must be there: those that were history and are in no
// segment.
func (c *checker) needed() offsets.Set {
	need := c.rec.History.Between(max(c.archived, c.head.Origin), math.MaxUint64)
	for _, s := range c.manifests {
		if s.m != nil && s.m.State == record.Writing {
			for o := range s.m.History.All() {
				need.Add(o)
			}
		}
	}
	return need
}

// logCount is what a check counts in the log, for one finding each.
type logCount struct{ dropped, staged int }

// checkMessages reads the log.
func (c *checker) checkMessages(ctx context.Context) error {
	if c.rec == nil {
		return nil
	}
	history := c.needed()
	need := history.Clone()
	for o := range c.kept {
		need.Add(o)
	}
	missing := need.Clone()
	open := c.opener()
	var digest record.Digest
	complete := true
	var count logCount
	archived := make([]int, len(c.manifests)) // messages of them in the log
	live := map[idHash]uint64{}
	for page, err := range c.pages(ctx, func(malformed uint64) { missing.Remove(malformed) }) {
		if err != nil {
			return err
		}
		var mine []store.Message
		for _, m := range page {
			if !c.place(m, &count, archived) {
				continue
			}
			v, err := record.MessageValue(m.Body)
			switch {
			case err != nil:
				c.unread.messages = true
			case v != nil:
				c.use(v)
			}
			open.add(m)
			if !need.Contains(m.Offset) {
				continue
			}
			missing.Remove(m.Offset)
			term, err := c.verify(ctx, open, m)
			if err != nil {
				return err
			}
			mine = append(mine, m)
			isLive := c.rec.Live.Contains(m.Offset)
			if isLive || c.kept[m.Offset] {
				digest.Add(term)
				complete = complete && term != record.Term{} // it is damaged
			}
			switch {
			case isLive:
				c.found.Live++
			case history.Contains(m.Offset):
				c.found.Evicted++
				continue
			default:
				c.found.Buffered++
				continue
			}
			h := c.a.hash(m.ID)
			if other, ok := live[h]; ok {
				c.found.broken(itemName(m.Offset), fmt.Errorf(
					"%w: the one at offset %d is history under the same id", sds.ErrCorrupt, other))
			}
			live[h] = m.Offset
		}
		if err := c.checkHints(ctx, mine); err != nil {
			return err
		}
	}
	for o := range missing.All() {
		if c.unread.manifests && !c.rec.Live.Contains(o) {
			continue // perhaps it is in a segment
		}
		c.found.broken(itemName(o), fmt.Errorf("%w: it is in neither the log nor a segment", sds.ErrIncomplete))
	}
	if complete && c.kept != nil && c.found.Live == c.rec.Live.Len() && digest != c.rec.Digest {
		c.found.broken("digest", fmt.Errorf(
			"%w: the messages are not those that the head was committed with", sds.ErrCorrupt))
	}
	c.judge(count, archived)
	return nil
}

// probe is how many offsets are read at once where a malformed message is looked for.
const probe = 512

// pages yields the messages of the log, page by page. Malformed ones are findings: the range
// that can't be read is halved until they are found, and goes on behind them.
func (c *checker) pages(ctx context.Context, malformed func(offset uint64)) iter.Seq2[[]store.Message, error] {
	return func(yield func([]store.Message, error) bool) {
		var damage error   // what can't be read and isn't found yet
		var suspect uint64 // the end of the range that it is in
		const all = math.MaxUint64
		for pos, length := uint64(0), uint64(all); pos < all; {
			to := pos + min(length, all-pos)
			page, next, err := c.a.log.Page(ctx, c.key, pos, to)
			switch {
			case errors.Is(err, store.ErrMalformed) && to-pos > 1:
				damage, suspect, length = err, to, min((to-pos)/2, probe)
				continue
			case errors.Is(err, store.ErrMalformed):
				c.unread.messages = true
				c.found.broken(itemName(pos), fmt.Errorf("%w: %w", sds.ErrCorrupt, err))
				malformed(pos)
				damage, page, next = nil, nil, to
			case err != nil:
				yield(nil, c.fail("check", "messages", err))
				return
			}
			pos = next
			if damage != nil && pos >= suspect { // its key is between those of messages
				c.unread.messages = true
				c.found.broken("log", fmt.Errorf("%w: %w", sds.ErrCorrupt, damage))
				damage = nil
			}
			if length <= all/2 {
				length *= 2
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

// place says what a message is by its offset, and reports whether it is one of the log.
func (c *checker) place(m store.Message, count *logCount, archived []int) bool {
	switch h := c.head; {
	case m.Offset < h.Origin:
		count.dropped++
	case m.Offset >= h.Next:
		switch m.Staged {
		case store.CommitID{}:
			c.found.broken(itemName(m.Offset), fmt.Errorf(
				"%w: it lies beyond the end of the log: the head is older than the log", sds.ErrCorrupt))
		case h.CommitID:
			c.found.Pending++
			if v, err := record.MessageValue(m.Body); err == nil && v != nil {
				c.use(v)
			}
		default:
			count.staged++
		}
	default:
		i, found := slices.BinarySearchFunc(c.manifests, m.Offset, func(s manifestAt, o uint64) int {
			switch {
			case s.To <= o:
				return -1
			case s.From > o:
				return 1
			}
			return 0
		})
		if found {
			archived[i]++
		}
		return true
	}
	return false
}

// judge reports what was counted.
func (c *checker) judge(count logCount, archived []int) {
	if count.dropped > 0 {
		c.unfinished("drop", fmt.Errorf("%d messages lie below the origin", count.dropped))
	}
	if count.staged > 0 {
		c.garbage("staged messages", fmt.Errorf("%d of commits that can't be any more", count.staged))
	}
	for i, n := range archived {
		s := c.manifests[i]
		underWay := s.m != nil && s.m.State != record.Done && i == len(archived)-1
		if n == 0 || s.m == nil || underWay {
			continue
		}
		if s.m.Size == 0 || c.verified[c.segmentObject(s.Segment, s.m)] {
			c.leftover = append(c.leftover, [2]uint64{s.From, s.To})
			c.garbage(fmt.Sprintf("messages at offsets %d to %d", s.From, s.To-1), fmt.Errorf("%d that are archived", n))
		}
	}
}

// verify opens a needed message, with what it refers to, and returns its term.
func (c *checker) verify(ctx context.Context, o *opener, m store.Message) (record.Term, error) {
	_, term, err := o.open(ctx, m.Offset)
	switch {
	case errors.Is(err, store.ErrMalformed):
		err = fmt.Errorf("%w: %w", sds.ErrCorrupt, err)
		fallthrough
	case broken(err):
		c.found.broken(itemName(m.Offset), err)
		return record.Term{}, nil
	}
	return term, err
}

// matches returns an error unless an encoded message has this id and Lamport timestamp.
func matches(plain []byte, id string, lamport int64) error {
	info, err := sds.InspectMessage(plain)
	switch {
	case err != nil:
		return contract(err)
	case info.MessageID != id || info.LamportTimestamp != lamport:
		return fmt.Errorf("%w: it is stored under another id or Lamport timestamp", sds.ErrCorrupt)
	}
	return nil
}

// checkHints reads the hints of messages.
func (c *checker) checkHints(ctx context.Context, messages []store.Message) error {
	for some := range slices.Chunk(messages, 100) {
		ids := make([]string, len(some))
		at := make(map[string]uint64, len(some))
		for i, m := range some {
			ids[i], at[m.ID] = m.ID, m.Offset
		}
		slices.Sort(ids)
		hints, err := c.a.hints.store.Hints(ctx, c.key.Namespace, slices.Compact(ids))
		switch {
		case errors.Is(err, store.ErrMalformed) && len(some) == 1:
			c.found.broken("retrieval hint of the "+itemName(some[0].Offset), fmt.Errorf("%w: %w", sds.ErrCorrupt, err))
		case errors.Is(err, store.ErrMalformed):
			half := len(some) / 2
			if err := errors.Join(c.checkHints(ctx, some[:half]), c.checkHints(ctx, some[half:])); err != nil {
				return err
			}
		case err != nil:
			return c.fail("check", "retrieval hints", err)
		}
		c.found.Hints += len(hints)
		for _, h := range hints {
			if _, err := record.OpenHint(c.key.Namespace, h.MessageID, h.Value); err != nil {
				c.found.broken("retrieval hint of the "+itemName(at[h.MessageID]), contract(err))
			}
		}
	}
	return nil
}

// checkValues finds the values that nothing refers to. With a damaged head or log that
// can't be known.
func (c *checker) checkValues() {
	if c.rec == nil || c.unread.messages {
		return
	}
	folder := record.Folder(record.Values, c.key)
	for _, o := range c.objects[record.Values] {
		name := strings.TrimPrefix(o.Name, folder)
		version, used := c.used[o.Name]
		switch {
		case used && !another(o, version):
		case used:
			c.stray = append(c.stray, o)
			c.garbage("value "+name+" "+o.Version, errors.New("a version that nothing refers to"))
		case madeAfter(name, c.head.CommitID):
			c.found.Pending++
		default:
			c.garbage("value "+name, errors.New("nothing refers to it"))
		}
	}
}

// repair goes on with what is unfinished and removes garbage.
func (c *checker) repair(ctx context.Context) error {
	for _, r := range c.leftover {
		if err := c.a.log.Delete(ctx, c.key, r[0], r[1]); err != nil {
			return c.fail("repair", "archived messages", err)
		}
	}
	if err := c.remove(ctx, c.stray); err != nil {
		return c.fail("repair", "versions", err)
	}
	if _, err := c.sweep(ctx, true); err != nil && !broken(err) {
		return err
	}
	return nil
}
