package ordeal

import (
	"context"
	"math"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/store"
)

// checkDropped checks, right after a drop that was reported done, that nothing is left of the
// channel; a later sweep would hide what is. Where another process is at work that may have
// written since.
func (p *play) checkDropped(ctx context.Context, id string) error {
	if p.c != nil && (p.c.between != nil || p.c.freezes) {
		return nil
	}
	b := p.site.Backend(nil)
	key := store.Key{Namespace: p.namespace, Channel: id}
	messages, _, err := b.Log.Page(ctx, key, 0, math.MaxUint64)
	if err != nil {
		return err
	}
	segments, err := b.Log.Segments(ctx, key, 0, 1)
	if err != nil {
		return err
	}
	objects := 0
	for _, kind := range []record.Kind{record.Segments, record.Values} {
		for _, err := range b.Archive.List(ctx, record.Folder(kind, key)) {
			if err != nil {
				return err
			}
			objects++
		}
	}
	if len(messages)+len(segments)+objects > 0 {
		return p.violate("a drop of %q that is done has left %d messages, %d manifests, %d objects",
			id, len(messages), len(segments), objects)
	}
	return nil
}
