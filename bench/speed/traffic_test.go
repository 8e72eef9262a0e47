package speed

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sdsaws/sdsaws/sds"
)

// traffic makes the messages of a channel with some members, each of whom sends the bloom filter of
// what it has seen: by default 10,000 ids with one false positive in 1000, 10 bits an id in 17,973
// bytes. The channel has had 1000 messages before.
type traffic struct {
	random  *rand.Rand
	filters [members][]byte
	latest  []string   // ids
	bits    [][]uint32 // of the latest
	n       int
}

const (
	members     = 5
	filterBytes = 17_973
	filterBits  = 10
)

func newTraffic() *traffic {
	t := &traffic{random: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // the same each time
	for i := range t.filters {
		t.filters[i] = make([]byte, filterBytes)
	}
	for range 1000 {
		t.seen()
	}
	return t
}

// seen has each member see another message, the later ones some messages later.
func (t *traffic) seen() string {
	id := fmt.Sprintf("%032x%032x", t.random.Uint64(), t.random.Uint64())
	bits := make([]uint32, filterBits)
	for i := range bits {
		bits[i] = t.random.Uint32N(filterBytes * 8)
	}
	t.latest = append(t.latest, id)
	t.bits = append(t.bits, bits)
	if len(t.bits) > members {
		t.bits, t.latest = t.bits[1:], t.latest[max(0, len(t.latest)-10):]
	}
	for i := range t.filters {
		if i < len(t.bits) {
			for _, b := range t.bits[len(t.bits)-1-i] {
				t.filters[i][b/8] |= 1 << (b % 8)
			}
		}
	}
	t.n++
	return id
}

// message returns the next one: a default one, or a small one without a filter.
func (t *traffic) message(filter bool) sds.Message {
	before := slices.Clone(t.latest)
	sender := t.random.IntN(members)
	m := sds.Message{SenderID: fmt.Sprintf("member %d of the channel", sender), MessageID: t.seen(), LamportTimestamp: int64(t.n),
		ChannelID: "a channel"}
	if filter {
		for _, id := range before {
			m.CausalHistory = append(m.CausalHistory, sds.HistoryEntry{MessageID: id})
		}
		m.BloomFilter = slices.Clone(t.filters[sender])
		m.Content = make([]byte, 300)
	} else {
		m.Content = make([]byte, 60)
	}
	for i := range m.Content {
		m.Content[i] = byte(t.random.Uint32())
	}
	return m
}

// pair is one commit: a snapshot whose outgoing buffer has the latest messages, and an update.
type pair struct {
	snapshot []byte
	update   sds.EncodedHistoryUpdate
}

const (
	ring   = 64 // pairs, after which they come again
	window = 32 // messages of history, so that what comes again isn't there any more
)

// pairs returns a ring of pairs with snapshots of about so many KB.
func pairs(b testing.TB, size int) []pair {
	b.Helper()
	t := newTraffic()
	each := 20
	if size < each {
		each = 0
	}
	all := make([]sds.Message, ring)
	encoded := make([][]byte, ring)
	for i := range all {
		all[i] = t.message(each > 0)
		var err error
		encoded[i], err = all[i].MarshalBinary()
		must(b, err)
	}
	buffered := 4
	if each > 0 {
		buffered = max(1, size*1024/len(encoded[ring-1]))
	}
	made := make([]pair, ring)
	for i := range made {
		meta := sds.ChannelMeta{SchemaVersion: sds.SchemaVersion, LamportTimestamp: int64(i)}
		for j := range buffered {
			meta.OutgoingBuffer = append(meta.OutgoingBuffer,
				sds.OutgoingMessage{Message: all[(i+ring-buffered+1+j)%ring], SendTimeMs: int64(i + j)})
		}
		var err error
		made[i].snapshot, err = meta.MarshalBinary()
		must(b, err)
		made[i].update.Append = [][]byte{encoded[i]}
		made[i].update.Evict = []string{all[(i+ring-window)%ring].MessageID}
	}
	return made
}
