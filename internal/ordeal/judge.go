package ordeal

import (
	"context"
	"maps"
	"slices"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/internal/segment"
	"github.com/sdsaws/sdsaws/store"
)

// judge looks at what a play has left, with nothing that fails: what the channels hold, that
// all of it and nothing else is stored, and what is left when they are dropped.
func (p *play) judge() error {
	judge := &worker{p: p, main: &process{p: p, a: p.open(p.site.Backend(nil), sdsaws.Committed)}}
	ids := slices.Sorted(maps.Keys(p.channels))
	if err := p.checkAll(judge, "in the end", sdsaws.Unfinished, sdsaws.Garbage); err != nil {
		return p.failedAgain("judging", err)
	}
	for _, id := range ids {
		if err := p.judgeChannel(judge, id); err != nil {
			return p.failedAgain("judging", err)
		}
	}
	if err := p.judgeStored(judge); err != nil {
		return p.failedAgain("judging", err)
	}
	if err := p.checkAll(judge, "after archiving and a sweep"); err != nil {
		return p.failedAgain("judging", err)
	}
	return p.failedDrop(p.judgeDrops(judge, ids))
}

func (p *play) failedDrop(err error) error {
	if err == nil {
		return nil
	}
	return p.failedAgain("dropping", err)
}

// checkAll lets the product check what is stored, which must show nothing but what may be
// found then.
func (p *play) checkAll(judge *worker, when string, may ...sdsaws.Verdict) error {
	for c, err := range judge.main.a.CheckAll(p.ctx, nil) {
		if err != nil {
			return err
		}
		if err := judge.findings(c, when, may...); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) findings(c *sdsaws.Checked, when string, may ...sdsaws.Verdict) error {
	for _, f := range c.Findings {
		if !slices.Contains(may, f.Verdict) {
			return w.violate("the check of %q %s: %v: %s: %v", c.ChannelID, when, f.Verdict, f.Item, f.Err)
		}
	}
	return nil
}

func (p *play) judgeChannel(judge *worker, id string) error {
	if n := len(p.of(id).possible); n != 1 {
		return p.violate("the scenario ends with %d states of %q", n, id)
	}
	if err := judge.load(p.ctx, id); err != nil {
		return err
	}
	if _, err := judge.main.a.Archive(p.ctx, id); err != nil {
		return err
	}
	if _, err := judge.main.a.Sweep(p.ctx, id, nil); err != nil {
		return err
	}
	s := p.of(id).last()
	for part, want := range map[sdsaws.HistoryPart]map[string]int{
		sdsaws.AllHistory: s.history(), sdsaws.ArchivedHistory: s.evicted,
	} {
		got, err := readHistory(p.ctx, judge.main.a, id, part)
		if err != nil {
			return err
		}
		if !maps.Equal(got, want) {
			return p.violate("in the end, History of %q, part %d: %s", id, part, difference(got, want))
		}
	}
	got, err := p.archived(p.ctx, id)
	if err == nil && !maps.Equal(got, s.evicted) {
		return p.violate("the segments of %q: %s", id, difference(got, s.evicted))
	}
	if err != nil {
		return err
	}
	return judge.load(p.ctx, id) // again, for it was written since
}

// archived counts what the segments of a channel hold, as a reader without manifests does.
func (p *play) archived(ctx context.Context, id string) (map[string]int, error) {
	key := store.Key{Namespace: p.namespace, Channel: id}
	archive := p.site.Backend(nil).Archive
	got := map[string]int{}
	for o, err := range archive.List(ctx, record.Folder(record.Segments, key)) {
		if err != nil {
			return nil, err
		}
		body, err := archive.Get(ctx, o)
		if err != nil {
			return nil, err
		}
		for m, err := range segment.Decode(key, body) {
			if err != nil {
				return nil, err
			}
			got[string(m.Plain)]++
		}
	}
	return got, nil
}

// segments counts the objects that are segments of a channel.
func (p *play) segments(id string) (n int, err error) {
	key := store.Key{Namespace: p.namespace, Channel: id}
	for _, err := range p.site.Backend(nil).Archive.List(p.ctx, record.Folder(record.Segments, key)) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// judgeStored counts what is stored after archiving and a sweep: there are no orphans.
func (p *play) judgeStored(judge *worker) error {
	if err := judge.checkHints(p.ctx, judge.main, p.hintIDs()); err != nil {
		return err
	}
	got, err := p.site.Stored(p.ctx, p.namespace)
	if err != nil {
		return err
	}
	var live, values int
	for _, ch := range p.channels {
		live += len(ch.last().live)
		values += ch.last().values()
	}
	segments := got["segment"]
	if got["head"] != len(p.channels) || got["message"] != live || got["hint"] != len(p.hints) ||
		got["object"] < values || got["object"] > values+segments {
		return p.violate("stored are %v, want %d heads, %d messages, %d hints, %d values and at most %d segments",
			got, len(p.channels), live, len(p.hints), values, segments)
	}
	return nil
}

// hintIDs returns the ids of all hints that were ever set.
func (p *play) hintIDs() []string {
	all := map[string]bool{}
	for _, st := range p.steps {
		for id := range st.hints {
			all[id] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// judgeDrops drops all channels: then nothing is left but emptied heads, and what belongs to
// no dropped message.
func (p *play) judgeDrops(judge *worker, ids []string) error {
	p.hintsNow = nil
	for _, id := range ids {
		if err := judge.main.a.DropChannel(p.ctx, id); err != nil {
			return err
		}
		p.forget(p.of(id).last().ids())
	}
	if err := p.emptied(judge, "after the drops", true); err != nil || p.c == nil || p.c.wakes != afterDrops {
		return err
	}
	p.wake()
	// Only the archive can't refuse what comes late: that is for a sweep.
	if err := p.emptied(judge, "late requests after the drops", false); err != nil {
		return err
	}
	for _, id := range ids {
		// An archiver that finds the channel dropped takes back what it has put.
		n, err := p.segments(id)
		if err != nil {
			return err
		}
		if n > 0 && p.c.fault == None {
			return p.violate("%d segments of %q are put and left after the drops", n, id)
		}
		if _, err := judge.main.a.Sweep(p.ctx, id, nil); err != nil {
			return err
		}
	}
	return p.emptied(judge, "late requests and a sweep after the drops", true)
}

// emptied checks that nothing of any channel is left.
func (p *play) emptied(judge *worker, when string, objects bool) error {
	got, err := p.site.Stored(p.ctx, p.namespace)
	if err != nil {
		return err
	}
	none := func(kind string, n int) bool { return n == 0 || kind == "object" && !objects }
	maps.DeleteFunc(got, none)
	want := map[string]int{"head": len(p.channels), "hint": len(p.hints)}
	maps.DeleteFunc(want, none)
	if !maps.Equal(got, want) {
		return p.violate("%s: %v are left, want %v", when, got, want)
	}
	if !objects {
		return nil
	}
	return p.checkAll(judge, when)
}
