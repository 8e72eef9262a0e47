package torture

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/sdsaws/sdsaws/sds"
)

// state is what a channel holds. States are never changed; the same operations on one give
// an equal one.
type state struct {
	meta    string            // encoded
	live    map[string]string // encoded messages by id
	evicted map[string]int    // how often an encoded message was evicted
}

var empty = &state{meta: encode(&sds.ChannelMeta{SchemaVersion: sds.SchemaVersion})}

// change is what one call, or a pair of calls, does to a channel.
type change struct {
	meta   *sds.ChannelMeta // nil: as it is
	update *sds.HistoryUpdate
}

func (s *state) with(c change) *state {
	n := &state{meta: s.meta, live: maps.Clone(s.live), evicted: maps.Clone(s.evicted)}
	if n.live == nil {
		n.live = map[string]string{}
	}
	if n.evicted == nil {
		n.evicted = map[string]int{}
	}
	if c.meta != nil {
		n.meta = encode(c.meta)
	}
	if c.update == nil {
		return n
	}
	for i := range c.update.Append {
		m := &c.update.Append[i]
		b := encode(m)
		if old, ok := n.live[m.MessageID]; ok && old != b {
			n.evicted[old]++
		}
		n.live[m.MessageID] = b
	}
	for _, id := range c.update.Evict {
		if old, ok := n.live[id]; ok {
			n.evicted[old]++
			delete(n.live, id)
		}
	}
	return n
}

// history counts what is or was history.
func (s *state) history() map[string]int {
	all := map[string]int{}
	maps.Copy(all, s.evicted)
	for _, m := range s.live {
		all[m]++
	}
	return all
}

// loadsAs reports whether a load of the state gives d, byte for byte and in its order.
func (s *state) loadsAs(d sds.EncodedChannelData) bool {
	var infos []sds.MessageInfo
	for _, m := range s.live {
		infos = append(infos, inspect(m))
	}
	slices.SortFunc(infos, func(x, y sds.MessageInfo) int {
		return cmp.Or(cmp.Compare(x.LamportTimestamp, y.LamportTimestamp), cmp.Compare(x.MessageID, y.MessageID))
	})
	return s.meta == string(d.Meta) && slices.EqualFunc(infos, d.Messages, func(i sds.MessageInfo, b []byte) bool {
		return bytes.Equal([]byte(s.live[i.MessageID]), b)
	})
}

func (s *state) equal(o *state) bool {
	return s.meta == o.meta && maps.Equal(s.live, o.live) && maps.Equal(s.evicted, o.evicted)
}

func (s *state) String() string {
	return shortly([]byte(s.meta), slices.Sorted(maps.Keys(s.live)))
}

// shortly tells a channel by its snapshot's clock and the ids of its history.
func shortly(meta []byte, ids []string) string {
	var m sds.ChannelMeta
	_ = m.UnmarshalBinary(meta) // 0, where it can't be read
	return fmt.Sprintf("clock %d %.200q", m.LamportTimestamp, ids)
}

func loaded(d sds.EncodedChannelData) string {
	var ids []string
	for _, b := range d.Messages {
		ids = append(ids, inspect(string(b)).MessageID)
	}
	slices.Sort(ids)
	return shortly(d.Meta, ids)
}

func encode(v interface{ MarshalBinary() ([]byte, error) }) string {
	b, err := v.MarshalBinary()
	if err != nil {
		panic(err) // what is made here can be encoded
	}
	return string(b)
}

func inspect(m string) sds.MessageInfo {
	i, err := sds.InspectMessage([]byte(m))
	if err != nil {
		panic(err)
	}
	return i
}

// channel is what may be stored of a channel.
type channel struct {
	namespace, id string

	// possible are the states that may be stored, or come to be without another call: one
	// after each prefix of what its holder has accepted and not stored for sure, and those of calls
	// that failed with an unknown outcome. Never empty.
	possible []*state

	touched bool          // something may be stored
	known   []sds.Message // all that were ever in a call, to come again
}

func (c *channel) String() string { return fmt.Sprintf("%s:%q", c.namespace, c.id) }

// add notes that a state may be stored.
func (c *channel) add(s *state) {
	if !slices.ContainsFunc(c.possible, s.equal) {
		c.possible = append(c.possible, s)
	}
}

// view is what a process may have in mind of a channel.
type view struct {
	// chain is the state that it holds, and those after each call that it has accepted
	// since and may not have stored yet. Nil: it does not hold the channel.
	chain []*state

	fenced    bool // it knows: only a load goes on
	uncertain bool // its load failed with the claim under way: likewise

	mayBeFenced  bool // by claims whose outcome is not known
	mustBeFenced bool // by another's load
}

func (v *view) end() *state { return v.chain[len(v.chain)-1] }

// blind says that a write would load, and so claim, by itself.
func (v *view) blind() bool { return v.chain == nil && !v.fenced && !v.uncertain }

// hints is what may be stored of a namespace's retrieval hints.
type hints struct {
	values map[string]map[string]bool // by id; the empty value is none
	unsure map[string]bool            // a drop that failed may delete these at any time
}

func (h *hints) add(id, value string) {
	if h.values[id] == nil {
		h.values[id] = map[string]bool{"": true}
	}
	h.values[id][value] = true
}

func (h *hints) set(id string, values ...string) {
	h.values[id] = map[string]bool{}
	for _, v := range values {
		h.values[id][v] = true
	}
}
