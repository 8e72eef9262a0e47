package replay

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/internal/segment"
	"github.com/sdsaws/sdsaws/internal/trace"
	"github.com/sdsaws/sdsaws/store"
)

// checkArchive holds the segments of a channel against what was evicted from it, byte for
// byte, and then what its readers give against both.
func (p *Player) checkArchive(ctx context.Context, k actorKey) error {
	expected := p.model.Evicted(k.participant, k.channel)
	for _, n := range expected {
		p.result.ArchiveExpected += n
	}
	key := store.Key{Namespace: p.o.namespace(k.participant), Channel: k.channel}
	left := maps.Clone(expected)
	for o, err := range p.backend.Backend.Archive().List(ctx, record.Folder(record.Segments, key)) {
		if err != nil {
			return err
		}
		body, err := p.backend.Backend.Archive().Get(ctx, o)
		if err != nil {
			return err
		}
		p.result.Segments++
		p.result.ArchivedBytes += int64(len(body))
		for m, err := range segment.Decode(key, body) {
			if err != nil {
				return fmt.Errorf("segment: %w", err)
			}
			if sum := sha256.Sum256(m.Plain); left[sum] > 0 {
				left[sum]--
				p.result.ArchiveMatched++
			} else {
				p.result.ArchiveSurplus++
			}
		}
	}
	return p.checkReaders(ctx, k, expected)
}

// checkReaders expects that History gives what was evicted and what is history, and
// Message the latest message of each id.
func (p *Player) checkReaders(ctx context.Context, k actorKey, evicted map[trace.Sum]int) error {
	live := map[trace.Sum]bool{}
	for _, b := range p.model.Load(k.participant, k.channel).Messages {
		live[sha256.Sum256(b)] = true
	}
	a := p.actors[k].adapter
	latest := map[string]trace.Sum{}
	for m, err := range a.History(ctx, k.channel, sdsaws.HistoryRange{}) {
		if err != nil {
			return err
		}
		sum := sha256.Sum256(m.Encoded)
		switch {
		case m.Live && live[sum]:
			delete(live, sum)
		case !m.Live && evicted[sum] > 0:
			evicted[sum]--
		default:
			p.mismatch(0, k, fmt.Sprintf("History has a message at offset %d that must not be there", m.Offset))
		}
		latest[m.MessageID] = sum
	}
	missing := len(live)
	for _, n := range evicted {
		missing += n
	}
	if missing > 0 {
		p.mismatch(0, k, fmt.Sprintf("History lacks %d messages", missing))
	}
	n := 0
	for id, want := range latest {
		if n++; n > readByID {
			break
		}
		m, err := a.Message(ctx, k.channel, id)
		if err != nil {
			return err
		}
		if sha256.Sum256(m.Encoded) != want {
			p.mismatch(0, k, "Message gives another message than History has last")
		}
	}
	return nil
}

// readByID is how many messages of a channel are also read by their ids.
const readByID = 20
