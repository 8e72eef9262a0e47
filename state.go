package sdsaws

import (
	"crypto/sha256"
	"time"

	"github.com/sdsaws/sdsaws/internal/offsets"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/store"
)

// idHash stands for a message id in memory. It is keyed at random for each adapter, so
// that nobody can make two ids that share one.
type idHash [16]byte

// entry is a message that is history.
type entry struct {
	offset uint64
	term   record.Term
}

// state is what is stored of a channel, as far as commits need to know it.
type state struct {
	head     store.Head // without its body
	snapshot snapshot
	live     map[idHash]entry
	record   record.Head // the sets, the digest
}

// snapshot is an encoded ChannelMeta: packed, and the hash of its plain bytes.
type snapshot struct {
	packed []byte
	sum    record.Sum
}

// initialMeta is what a channel without a snapshot loads as: schema version 1, Lamport
// timestamp 0.
var initialMeta = []byte{0x08, 0x01, 0x10, 0x00}

func emptyState() *state {
	return &state{snapshot: snapshot{sum: sha256.Sum256(initialMeta)}, live: map[idHash]entry{}}
}

// message is an encoded message on its way into the log.
type message struct {
	id      string
	hash    idHash
	lamport int64
	sum     record.Sum
	packed  []byte
}

func (m *message) size() int { return len(m.id) + record.MessageSize(m.packed) }

// draft is a commit in the making: a state and what shall change in it. The state
// stays as it is until the commit has landed.
type draft struct {
	base     *state
	changes  map[idHash]*entry // nil: evicted
	messages []store.Message
	snapshot snapshot
	record   record.Head
	next     uint64
	dirty    bool // something changes
}

func newDraft(base *state) *draft {
	d := &draft{
		base:     base,
		changes:  map[idHash]*entry{},
		snapshot: base.snapshot,
		record:   base.record,
		next:     base.head.Next,
	}
	d.record.Live = base.record.Live.Clone()
	d.record.History = base.record.History.Clone()
	return d
}

func (d *draft) lookup(h idHash) (entry, bool) {
	if e, ok := d.changes[h]; ok {
		if e == nil {
			return entry{}, false
		}
		return *e, true
	}
	e, ok := d.base.live[h]
	return e, ok
}

func (d *draft) save(s snapshot) {
	if s.sum != d.snapshot.sum {
		d.snapshot, d.dirty = s, true
	}
}

// append makes m history. What is there with the same bytes stays; with other bytes it
// is evicted.
func (d *draft) append(m *message) {
	if e, ok := d.lookup(m.hash); ok {
		if e.term == record.NewTerm(e.offset, m.id, m.sum) {
			return
		}
		d.evict(m.hash)
	}
	d.write(m)
}

func (d *draft) write(m *message) {
	e := entry{d.next, record.NewTerm(d.next, m.id, m.sum)}
	d.next++
	d.messages = append(d.messages, store.Message{
		Offset: e.offset, ID: m.id, Lamport: m.lamport, Body: record.Message(e.term, m.packed)})
	d.record.Live.Add(e.offset)
	d.record.History.Add(e.offset)
	d.record.Digest.Add(e.term)
	d.changes[m.hash] = &e
	d.dirty = true
}

// evict makes a message history no more. It was history, so it stays marked for the
// archive.
func (d *draft) evict(h idHash) {
	e, ok := d.lookup(h)
	if !ok {
		return
	}
	d.record.Live.Remove(e.offset)
	d.record.Digest.Sub(e.term)
	d.changes[h] = nil
	d.dirty = true
}

// move writes a message that is history again, at the end of the log. Its old place
// no longer counts as history, so that the archive gets it once.
func (d *draft) move(m *message) {
	e, ok := d.lookup(m.hash)
	if !ok {
		return
	}
	d.evict(m.hash)
	d.record.History.Remove(e.offset)
	d.write(m)
}

// start returns the lowest offset that the drafted head needs.
func (d *draft) start() uint64 {
	low, ok := d.record.Live.Min()
	if !ok {
		low = d.next
	}
	return max(low, d.base.head.Start)
}

// head returns the head that the draft would commit.
func (d *draft) head(key store.Key, now time.Time) store.Head {
	h := d.base.head
	h.CommitID = newCommitID()
	h.Start, h.Next = d.start(), d.next
	d.record.Snapshot = d.snapshot.packed
	d.record.Committed = now
	h.Body = d.record.Body(key, h)
	return h
}

// landed makes the draft's changes to its base, now that head is stored.
func (d *draft) landed(head store.Head) *state {
	s := d.base
	for h, e := range d.changes {
		if e == nil {
			delete(s.live, h)
		} else {
			s.live[h] = *e
		}
	}
	s.head, s.head.Body = head, nil
	s.snapshot, s.record = d.snapshot, d.record
	return s
}

// dropped returns a draft of the head that a drop of base leaves: nothing is
// history, and the log starts anew at its next offset.
func dropped(base *state) *draft {
	d := newDraft(emptyState())
	d.base.head = base.head
	d.base.head.Origin, d.base.head.Start = base.head.Next, base.head.Next
	d.next, d.dirty = base.head.Next, true
	d.record.Live, d.record.History = offsets.Set{}, offsets.Set{}
	return d
}
