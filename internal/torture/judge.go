package torture

import (
	"fmt"
	"maps"
	"math"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/internal/segment"
	"github.com/sdsaws/sdsaws/store"
)

// judge looks at what the run has left, when all processes have crashed and what was late is
// done: what channels hold, that the archive has what was evicted and as often, that a check
// finds nothing, and that a drop leaves nothing.
func (w *world) judge() {
	w.say("in the end")
	for _, p := range w.processes {
		w.kill(p)
	}
	w.released()
	for _, ns := range namespaces {
		p := &process{w: w, slot: len(w.processes), namespace: w.prefix + ns, views: map[*channel]*view{}}
		a, err := sdsaws.New(w.site.Backend(nil), &sdsaws.Options{Namespace: p.namespace, HintTTL: w.ttl,
			InlineBytes: 300, Clock: clockOf{w.clock, p}})
		if err != nil {
			panic(err)
		}
		p.a = a
		w.judgeNamespace(p)
		w.kill(p)
	}
}

func (w *world) judgeNamespace(p *process) {
	w.hintsOf(p)
	for _, c := range w.channels {
		if c.namespace != p.namespace {
			continue
		}
		p.views[c] = &view{}
		w.judgeChannel(p, c)
		if w.err != nil {
			return
		}
	}
	w.hintsOf(p)
}

func (w *world) judgeChannel(p *process, c *channel) {
	w.loadBy(p, c)
	w.reads(p, c, sdsaws.AllHistory)
	if _, err := p.a.Archive(w.ctx, c.id); err != nil {
		w.violate("archiving fails in the end", "%s: %v", c, err)
	}
	if _, err := p.a.Sweep(w.ctx, c.id, nil); err != nil {
		w.violate("a sweep fails in the end", "%s: %v", c, err)
	}
	w.settle()
	w.reads(p, c, sdsaws.AllHistory)
	w.reads(p, c, sdsaws.ArchivedHistory)
	if got, err := w.archived(c); w.err == nil && (err != nil || !maps.Equal(got, c.possible[0].evicted)) {
		w.violate("segments don't hold what was evicted", "%s: %d, want %d, %v", c, len(got), len(c.possible[0].evicted), err)
	}
	if r, err := p.a.Check(w.ctx, c.id, nil); err != nil || len(r.Findings)+r.Pending > 0 {
		w.violate("a check finds something in the end", "%s: %+v, %v", c, r, err)
	}
	w.loadBy(p, c)
	if err := p.a.DropChannel(w.ctx, c.id); err != nil {
		w.violate("a drop fails in the end", "%s: %v", c, err)
	} else if w.err == nil {
		w.dropped(p, c, p.views[c])
	}
	if err := w.nothingLeft(c); err != nil {
		w.violate("a drop leaves something", "%s: %v", c, err)
	}
	if r, err := p.a.Check(w.ctx, c.id, nil); err != nil || len(r.Findings)+r.Pending > 0 {
		w.violate("a check finds something after a drop", "%s: %+v, %v", c, r, err)
	}
}

// nothingLeft looks directly at what is stored of a channel beside its head.
func (w *world) nothingLeft(c *channel) error {
	b := w.site.Backend(nil)
	key := store.Key{Namespace: c.namespace, Channel: c.id}
	messages, _, err := b.Log.Page(w.ctx, key, 0, math.MaxInt64)
	if err != nil {
		return err
	}
	segments, err := b.Log.Segments(w.ctx, key, 0, 1)
	if err != nil {
		return err
	}
	objects := 0
	for _, kind := range []record.Kind{record.Segments, record.Values} {
		for _, err := range b.Archive.List(w.ctx, record.Folder(kind, key)) {
			if err != nil {
				return err
			}
			objects++
		}
	}
	if len(messages)+len(segments)+objects > 0 {
		return fmt.Errorf("%d messages, %d manifests, %d objects", len(messages), len(segments), objects)
	}
	return nil
}

// archived counts what the segments of a channel hold, as a reader without manifests does.
func (w *world) archived(c *channel) (map[string]int, error) {
	key := store.Key{Namespace: c.namespace, Channel: c.id}
	archive := w.site.Backend(nil).Archive
	got := map[string]int{}
	for o, err := range archive.List(w.ctx, record.Folder(record.Segments, key)) {
		if err != nil {
			return nil, err
		}
		body, err := archive.Get(w.ctx, o)
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
