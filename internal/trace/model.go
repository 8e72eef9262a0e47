package trace

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/sdsaws/sdsaws/sds"
)

// Model keeps channels as a backend must, in memory and with nothing else in mind.
// Within an update appends come first, in order, then evicts. Appending what is there
// with the same bytes is no operation, with other bytes it replaces; evicting what isn't
// there is none. The zero value is empty.
type Model struct {
	channels map[modelKey]*modelChannel
}

type modelKey struct{ participant, channel string }

type modelChannel struct {
	meta    []byte
	history map[string]modelMessage // by message id
	evicted map[Sum]int
}

// Sum is the SHA-256 of an encoded message.
type Sum = [sha256.Size]byte

type modelMessage struct {
	info  sds.MessageInfo
	bytes []byte
}

// initialMeta is the encoded snapshot of a channel that has none: schema version 1,
// Lamport timestamp 0.
var initialMeta = []byte{0x08, 0x01, 0x10, 0x00}

// Apply does what op says. Loads and hints change nothing. It keeps op's bytes.
func (m *Model) Apply(op Op) error {
	key := modelKey{op.Participant, op.Channel}
	switch op.Kind {
	case SaveChannelMeta:
		m.channel(key).meta = op.Meta
	case UpdateHistory:
		if err := m.channel(key).update(op.Append, op.Evict); err != nil {
			return fmt.Errorf("trace: operation %d: %w", op.N, err)
		}
	case DropChannel:
		delete(m.channels, key)
	case LoadChannel, SetRetrievalHint:
	default:
		return fmt.Errorf("trace: operation %d: unknown operation %q", op.N, op.Kind)
	}
	return nil
}

func (m *Model) channel(key modelKey) *modelChannel {
	c := m.channels[key]
	if c == nil {
		c = &modelChannel{meta: initialMeta, history: map[string]modelMessage{}, evicted: map[Sum]int{}}
		if m.channels == nil {
			m.channels = map[modelKey]*modelChannel{}
		}
		m.channels[key] = c
	}
	return c
}

func (c *modelChannel) update(appended [][]byte, evicted []string) error {
	for i, b := range appended {
		info, err := sds.InspectMessage(b)
		if err != nil {
			return fmt.Errorf("appended message %d: %w", i, err)
		}
		if old, ok := c.history[info.MessageID]; ok && !bytes.Equal(old.bytes, b) {
			c.evict(info.MessageID)
		}
		c.history[info.MessageID] = modelMessage{info, b}
	}
	for _, id := range evicted {
		c.evict(id)
	}
	return nil
}

func (c *modelChannel) evict(id string) {
	if m, ok := c.history[id]; ok {
		c.evicted[sha256.Sum256(m.bytes)]++
		delete(c.history, id)
	}
}

// Evicted returns how often each encoded message was evicted from the channel since it was
// last dropped.
func (m *Model) Evicted(participant, channel string) map[Sum]int {
	if c := m.channels[modelKey{participant, channel}]; c != nil {
		return maps.Clone(c.evicted)
	}
	return map[Sum]int{}
}

// Load returns what a load of the channel gives now. Its slices are the model's.
func (m *Model) Load(participant, channel string) sds.EncodedChannelData {
	c := m.channels[modelKey{participant, channel}]
	if c == nil {
		return sds.EncodedChannelData{Meta: initialMeta}
	}
	sorted := slices.SortedFunc(maps.Values(c.history), func(a, b modelMessage) int {
		return cmp.Or(cmp.Compare(a.info.LamportTimestamp, b.info.LamportTimestamp),
			cmp.Compare(a.info.MessageID, b.info.MessageID))
	})
	data := sds.EncodedChannelData{Meta: c.meta}
	for _, s := range sorted {
		data.Messages = append(data.Messages, s.bytes)
	}
	return data
}

// Expect completes a loadChannel with what a correct backend returns.
func (m *Model) Expect(op Op) Op {
	got := m.Load(op.Participant, op.Channel)
	op.Messages = len(got.Messages)
	op.MetaSHA256 = sum(got.Meta)
	op.HistorySHA256 = sum(bytes.Join(got.Messages, nil))
	return op
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
