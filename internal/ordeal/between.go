package ordeal

import (
	"context"
	"fmt"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

// Another process acts on the channel of the step under way right before one of its
// requests. Its own requests have no faults.

func (p *play) between(what string, act func(ctx context.Context, a *sdsaws.Adapter, id string) error) {
	id := p.steps[p.now].channel
	p.say("   in between: %s", what)
	if err := act(p.ctx, p.open(p.site.Backend(nil), sdsaws.Committed), id); err != nil {
		_ = p.violate("%s in between fails: %v", what, err)
	}
}

func sweepBetween(p *play) {
	p.between("sweep", func(ctx context.Context, a *sdsaws.Adapter, id string) error {
		_, err := a.Sweep(ctx, id, nil)
		return err
	})
}

// takeBetween lets another process load the channel, sweep it, and commit to it.
func takeBetween(p *play) {
	p.between("takeover", func(ctx context.Context, a *sdsaws.Adapter, id string) error {
		d, err := a.LoadEncodedChannel(ctx, id)
		if err != nil {
			return err
		}
		c := &change{clocked(2000, false), append(small("taken"), large("taken, large")...), []string{"a2"}}
		if err := p.take(id, d, c); err != nil {
			return err
		}
		if _, err := a.Sweep(ctx, id, nil); err != nil {
			return err
		}
		if err := a.Commit(ctx, id, c.meta, c.update()); err != nil {
			return err
		}
		return a.Flush(ctx)
	})
}

// dropBetween lets another process drop the channel.
func dropBetween(p *play) {
	p.between("drop", func(ctx context.Context, a *sdsaws.Adapter, id string) error {
		d, err := a.LoadEncodedChannel(ctx, id)
		if err != nil {
			return err
		}
		if err := p.take(id, d, nil); err != nil {
			return err
		}
		return a.DropChannel(ctx, id)
	})
}

// take notes that another process has loaded a channel, and changes it. Nil is a drop.
func (p *play) take(id string, d sds.EncodedChannelData, c *change) error {
	p.mu.Lock()
	before := p.of(id).possible
	p.mu.Unlock()
	if err := p.loaded(id, d); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	ch := p.of(id)
	ch.before = before
	s := ch.last()
	if c == nil {
		p.forget(s.ids())
		ch.possible = []*state{emptyState(s.at)}
		return nil
	}
	ch.possible = []*state{s.with(s.at, c)}
	return nil
}
