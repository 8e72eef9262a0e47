package ordeal

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/sdsaws/sdsaws/sds"
)

// state is what a channel holds after an operation.
type state struct {
	at      int               // the last step that has had its effect
	meta    *sds.ChannelMeta  // nil: none was saved
	live    map[string]string // encoded messages by id
	evicted map[string]int    // how often an encoded message was evicted
}

func emptyState(at int) *state {
	return &state{at: at, live: map[string]string{}, evicted: map[string]int{}}
}

// change is what a commit does to a channel. Doing it again changes nothing.
type change struct {
	meta   *sds.ChannelMeta
	append []sds.Message
	evict  []string
}

func (c *change) update() *sds.HistoryUpdate {
	return &sds.HistoryUpdate{Append: c.append, Evict: c.evict}
}

// with returns the state after a change.
func (s *state) with(at int, c *change) *state {
	n := &state{at: at, meta: s.meta, live: maps.Clone(s.live), evicted: maps.Clone(s.evicted)}
	if c.meta != nil {
		n.meta = c.meta
	}
	for _, m := range c.append {
		b := encoded(m)
		if old, ok := n.live[m.MessageID]; ok && old != b {
			n.evicted[old]++
		}
		n.live[m.MessageID] = b
	}
	for _, id := range c.evict {
		if old, ok := n.live[id]; ok {
			n.evicted[old]++
			delete(n.live, id)
		}
	}
	return n
}

func encoded(m sds.Message) string {
	b, err := m.MarshalBinary()
	if err != nil {
		panic(err) // the scenario's messages can be encoded
	}
	return string(b)
}

// data is what a load of the state returns.
func (s *state) data() sds.EncodedChannelData {
	meta := s.meta
	if meta == nil {
		meta = &sds.ChannelMeta{SchemaVersion: sds.SchemaVersion}
	}
	b, err := meta.MarshalBinary()
	if err != nil {
		panic(err)
	}
	d := sds.EncodedChannelData{Meta: b}
	var infos []sds.MessageInfo
	for _, m := range s.live {
		infos = append(infos, info(m))
	}
	slices.SortFunc(infos, func(x, y sds.MessageInfo) int {
		return cmp.Or(cmp.Compare(x.LamportTimestamp, y.LamportTimestamp), cmp.Compare(x.MessageID, y.MessageID))
	})
	for _, i := range infos {
		d.Messages = append(d.Messages, []byte(s.live[i.MessageID]))
	}
	return d
}

func info(m string) sds.MessageInfo {
	i, err := sds.InspectMessage([]byte(m))
	if err != nil {
		panic(err)
	}
	return i
}

func (s *state) equal(d sds.EncodedChannelData) bool {
	want := s.data()
	return bytes.Equal(want.Meta, d.Meta) && slices.EqualFunc(want.Messages, d.Messages, bytes.Equal)
}

// history counts what is or was history, by encoded message.
func (s *state) history() map[string]int {
	all := maps.Clone(s.evicted)
	for _, m := range s.live {
		all[m]++
	}
	return all
}

// ids are those of all messages of the channel, of the ones in the snapshot's buffers too.
func (s *state) ids() map[string]bool {
	all := map[string]bool{}
	for m := range s.history() {
		all[info(m).MessageID] = true
	}
	if s.meta != nil {
		for _, b := range s.meta.IncomingBuffer {
			all[b.Message.MessageID] = true
		}
	}
	return all
}

// values is how many values the state needs in the archive.
func (s *state) values() (n int) {
	for _, m := range s.live {
		if len(m) > largeContent {
			n++
		}
	}
	if s.meta != nil && len(s.meta.IncomingBuffer) > 0 {
		n++
	}
	return n
}

// describe tells a load's result shortly, for people.
func describe(d sds.EncodedChannelData) string {
	var m sds.ChannelMeta
	clock := "?"
	if m.UnmarshalBinary(d.Meta) == nil {
		clock = fmt.Sprint(m.LamportTimestamp)
	}
	ids := make([]string, len(d.Messages))
	for i, b := range d.Messages {
		ids[i] = info(string(b)).MessageID
	}
	return fmt.Sprintf("clock %s, %d messages %.300q", clock, len(ids), ids)
}

func describeStates(all []*state) string {
	var text []string
	for _, s := range all {
		text = append(text, fmt.Sprintf("after step %d: %s", s.at+1, describe(s.data())))
	}
	return fmt.Sprintf("%q", text)
}

// noise returns bytes that don't compress, the same ones for a seed.
func noise(seed string, n int) []byte {
	var b []byte
	for sum := sha256.Sum256([]byte(seed)); len(b) < n; sum = sha256.Sum256(sum[:]) {
		b = append(b, sum[:]...)
	}
	return b[:n]
}
