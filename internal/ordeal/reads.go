package ordeal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

// What is read while another process is at work may be of before and of after.

// states returns what a channel may hold, or may have held when the step began.
func (p *play) states(id string) (all []*state, disturbed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ch := p.of(id)
	return slices.Concat(ch.before, ch.possible), ch.before != nil
}

func (w *worker) checkHistory(ctx context.Context, pr *process, id string) error {
	got, err := readHistory(ctx, pr.a, id, sdsaws.AllHistory)
	if err != nil {
		return err
	}
	all, disturbed := w.p.states(id)
	for _, s := range all {
		want := s.history()
		if maps.Equal(got, want) {
			return nil
		}
		// What was written again meanwhile may come twice, and a drop ends it.
		if disturbed && covers(got, want) && (w.p.c.drops || covers(want, got)) {
			return nil
		}
	}
	if disturbed && w.p.c.drops {
		for _, s := range all {
			if covers(s.history(), got) {
				return nil
			}
		}
	}
	return w.violate("History of %q: %s", id, difference(got, all[len(all)-1].history()))
}

// covers reports whether all that b counts is in a.
func covers(a, b map[string]int) bool {
	for m := range b {
		if a[m] == 0 {
			return false
		}
	}
	return true
}

func readHistory(ctx context.Context, a *sdsaws.Adapter, id string, part sdsaws.HistoryPart) (map[string]int, error) {
	got := map[string]int{}
	for m, err := range a.History(ctx, id, sdsaws.HistoryRange{Part: part}) {
		if err != nil {
			return nil, err
		}
		got[string(m.Encoded)]++
	}
	return got, nil
}

// difference tells shortly in what counts of messages differ.
func difference(got, want map[string]int) string {
	var missing, more []string
	for m, n := range want {
		if got[m] < n {
			missing = append(missing, info(m).MessageID)
		}
	}
	for m, n := range got {
		if want[m] < n {
			more = append(more, info(m).MessageID)
		}
	}
	slices.Sort(missing)
	slices.Sort(more)
	return fmt.Sprintf("%d messages missing %.200q, %d too many %.200q", len(missing), missing, len(more), more)
}

func (w *worker) checkMessage(ctx context.Context, pr *process, channel, id string) error {
	m, err := pr.a.Message(ctx, channel, id)
	if err != nil && !errors.Is(err, sds.ErrNotFound) {
		return err
	}
	all, _ := w.p.states(channel)
	for _, s := range all {
		known := false
		for want := range s.history() {
			if info(want).MessageID != id {
				continue
			}
			known = true
			if err == nil && want == string(m.Encoded) {
				return nil
			}
		}
		if !known && err != nil {
			return nil
		}
	}
	return w.violate("Message %q of %q: %q, %v", id, channel, m.Encoded, err)
}

func (w *worker) checkHints(ctx context.Context, pr *process, ids []string) error {
	w.p.mu.Lock()
	before := maps.Clone(w.p.hints)
	w.p.mu.Unlock()
	got, err := pr.a.Hints(ctx, ids...)
	if err != nil {
		return err
	}
	w.p.mu.Lock()
	for _, id := range ids {
		if _, there := got[id]; w.p.unsure[id] && !there {
			delete(w.p.hints, id)
		}
		delete(w.p.unsure, id)
	}
	after := maps.Clone(w.p.hints)
	w.p.mu.Unlock()
	for _, id := range ids {
		value, ok := got[id]
		first, wasThere := before[id]
		last, isThere := after[id]
		if (ok != isThere || string(value) != last) && (ok != wasThere || string(value) != first) {
			return w.violate("hint of %q: %q, %v, want %q, %v", id, value, ok, last, isThere)
		}
	}
	return nil
}

func (w *worker) checkChannels(ctx context.Context, pr *process) error {
	got := map[string]bool{}
	for id, err := range pr.a.Channels(ctx) {
		if err != nil {
			return err
		}
		got[id] = true
	}
	if want := map[string]bool{chat: true, other: true}; !maps.Equal(got, want) {
		return w.violate("Channels: %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	return nil
}
