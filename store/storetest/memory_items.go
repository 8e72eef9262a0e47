package storetest

import "github.com/sdsaws/sdsaws/store"

// Channel is all that is stored of a channel in a [Memory].
type Channel struct {
	Head     *store.Head // nil: none
	Messages map[uint64]store.Message
	Segments map[uint64]store.Segment // by From
}

// Rewrite lets f change all that is stored of a channel, as replication does. What it gets is
// what is stored, and no copy; nobody else reads or writes meanwhile.
func (m *Memory) Rewrite(key store.Key, f func(c *Channel)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.channel(key)
	all := Channel{c.head, c.messages, c.segments}
	f(&all)
	c.head = all.Head
}
