package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/store"
)

// watcher compares what it sees of channels with what it saw before.
type watcher struct {
	o      *opened
	before map[string]seen
}

type seen struct {
	at     time.Time
	status *sdsaws.ChannelStatus
}

// look is what was seen at one time.
type look struct {
	at       time.Time
	channels []*watched
	errors   []lookError
}

type lookError struct {
	id  string // of the channel; empty: all
	err error
}

// watched is what was seen of a channel.
type watched struct {
	id     string
	status *sdsaws.ChannelStatus
	change *changed // nil: it is seen for the first time
}

// changed is what has changed of a channel.
type changed struct {
	Messages   float64 `json:"messages_per_second"`
	WriteUnits float64 `json:"write_units_per_second"` // at least
	Claims     uint64  `json:"claims"`
}

// look looks at all channels, several at once.
func (w *watcher) look(ctx context.Context) look {
	l := look{at: time.Now()}
	ids, err := w.ids(ctx)
	if err != nil {
		l.errors = append(l.errors, lookError{"", err})
	}
	results := make([]*watched, len(ids))
	errs := make([]error, len(ids))
	w.each(len(ids), func(i int) { results[i], errs[i] = w.channel(ctx, ids[i], l.at) })
	before := map[string]seen{}
	for i, c := range results {
		if errs[i] != nil {
			l.errors = append(l.errors, lookError{ids[i], errs[i]})
			if old, ok := w.before[ids[i]]; ok {
				before[ids[i]] = old
			}
			continue
		}
		before[ids[i]] = seen{l.at, c.status}
		l.channels = append(l.channels, c)
	}
	w.before = before
	slices.SortFunc(l.channels, busiest)
	return l
}

// busiest orders channels as they are shown.
func busiest(a, b *watched) int {
	units := func(c *watched) float64 {
		if c.change == nil {
			return 0
		}
		return c.change.WriteUnits
	}
	return cmp.Or(cmp.Compare(units(b), units(a)), cmp.Compare(b.status.Evicted, a.status.Evicted), cmp.Compare(a.id, b.id))
}

// ids returns the channels; where they can't be listed, also those that are known.
func (w *watcher) ids(ctx context.Context) (ids []string, err error) {
	for id, err := range w.o.adapter.Channels(ctx) {
		if err != nil {
			return slices.Compact(slices.Sorted(slices.Values(slices.AppendSeq(ids, maps.Keys(w.before))))), err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// each calls f for each index below n, eight at once.
func (w *watcher) each(n int, f func(i int)) {
	var all sync.WaitGroup
	places := make(chan struct{}, 8)
	for i := range n {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			f(i)
		})
	}
	all.Wait()
}

func (w *watcher) channel(ctx context.Context, id string, now time.Time) (*watched, error) {
	s, err := w.o.adapter.Status(ctx, id)
	if err != nil {
		return nil, err
	}
	c := &watched{id: id, status: s}
	old, ok := w.before[id]
	if !ok {
		return c, nil
	}
	messages, units, err := w.written(ctx, id, old.status, s)
	if err != nil {
		return nil, err
	}
	seconds := now.Sub(old.at).Seconds()
	c.change = &changed{float64(messages) / seconds, float64(units) / seconds, s.Epoch - min(s.Epoch, old.status.Epoch)}
	return c, nil
}

// written returns how many messages were written between two looks, and what they and one head
// took.
func (w *watcher) written(ctx context.Context, id string, old, now *sdsaws.ChannelStatus) (messages, units int, err error) {
	if old.CommitID == now.CommitID {
		return 0, 0, nil
	}
	key := store.Key{Namespace: w.o.namespace, Channel: id}
	var all []store.Message
	for pos := max(old.Next, now.Origin); pos < now.Next; {
		page, next, err := w.o.backend.Page(ctx, key, pos, now.Next)
		if err != nil {
			return 0, 0, err
		}
		for i := range page {
			all = append(all, store.Message{Offset: page[i].Offset, ID: page[i].ID, Lamport: page[i].Lamport,
				Body: page[i].Body})
		}
		pos = next
	}
	head := store.Head{CommitID: now.CommitID, Epoch: now.Epoch, Writer: now.Writer, Region: now.Region,
		Origin: now.Origin, Start: now.Start, Next: now.Next, Body: make([]byte, now.HeadBytes)}
	on := func(u dynamo.Usage) { units += u.WriteUnits }
	err = dynamo.Estimate(unsent{}, on).Commit(ctx, key, old.CommitID, head, all)
	return len(all), units, err
}

// unsent is a backend whose commits go nowhere, to know what they would take.
type unsent struct{ dynamo.Backend }

func (unsent) Commit(context.Context, store.Key, store.CommitID, store.Head, []store.Message) error {
	return nil
}
