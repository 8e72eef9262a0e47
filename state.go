package sdsaws

import (
	"bytes"
	"slices"
	"time"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// state is what is stored of a channel, as far as commits need to know it.
type state struct {
	head     store.Head // without its body
	snapshot snapshot
	needed   entries
	groups   []uint64    // where groups begin, from the head's start on, ascending
	record   record.Head // the sets, the digest

	// looked is the start at which it was last looked how far others have archived.
	looked uint64

	// skip is the end of what was staged with an unknown outcome: a delayed request may
	// still write there as long as the head stays, so no other message gets these offsets.
	skip uint64
}

// snapshot is a ChannelMeta, split: what lies between its messages, and which those are.
type snapshot struct {
	literals  [][]byte
	messages  []idHash          // of their bytes
	envelopes map[idHash][]byte // of the first different messages
	sum       record.Sum

	value *record.Value // where the skeleton is, when that is in the archive
}

// none reports whether it is that of a channel without one.
func (s *snapshot) none() bool { return s.sum == initialSum }

// initialMeta is what a channel without a snapshot loads as: schema version 1, Lamport
// timestamp 0.
var initialMeta = []byte{0x08, 0x01, 0x10, 0x00}

var initialSum = record.SnapshotSum([][]byte{initialMeta}, nil)

// small reports whether the skeleton is packed by itself.
func (s *snapshot) small() bool {
	size := 0
	for _, l := range s.literals {
		if size += len(l) + 1; size > smallPlain {
			return false
		}
	}
	return true
}

// add adds a message to the snapshot, whose literals are set.
func (s *snapshot) add(content idHash, plain []byte) {
	s.messages = append(s.messages, content)
	if _, ok := s.envelopes[content]; ok || len(s.envelopes) == record.MaxEnvelopes || s.small() {
		return
	}
	if s.envelopes == nil {
		s.envelopes = map[idHash][]byte{}
	}
	s.envelopes[content] = sds.Envelope(plain)
}

func initialSnapshot() snapshot { return snapshot{literals: [][]byte{initialMeta}, sum: initialSum} }

// saved is a snapshot that was accepted.
type saved struct {
	literals [][]byte
	messages []*message
	sum      record.Sum
	bytes    int64
}

func emptyState() *state {
	return &state{snapshot: initialSnapshot(), needed: newEntries()}
}

// message is an encoded message.
type message struct {
	plain   []byte
	sum     record.Sum
	content idHash       // of sum
	info    *messageInfo // nil: not looked into yet
}

// size is how much memory it takes.
func (m *message) size() int { return len(m.plain) + len(m.info.id) + messageOverhead }

// stored is how much of it goes into the log at most.
func (m *message) stored(inline int) int {
	return len(m.info.id) + max(record.MessageSize(nil)+min(len(m.plain)+packMargin, inline), record.MaxValueRef)
}

// packMargin is how much larger than a message its packed bytes can be, when it is short.
const packMargin = 64

type messageInfo struct {
	id      string
	hash    idHash // of the id
	lamport int64
	sender  string
}

// draft is a commit in the making: a state and what shall change in it. The state
// stays as it is until the commit has landed.
type draft struct {
	a        *Adapter
	limits   store.Limits
	base     *state
	id       store.CommitID
	inline   int                // bytes of a packed value from which on it goes to the archive
	needed   map[idHash]*entry  // changes by bytes; nil: not needed any more
	live     map[idHash]*idHash // changes by id; nil: evicted
	messages []store.Message
	large    []large // those of messages whose bodies go to the archive
	uploaded []store.Object
	snapshot snapshot
	groups   []uint64
	frame    *frame
	record   record.Head
	next     uint64
	dirty    bool // something changes

	plain, packed int64 // bytes of messages and skeleton, before and after packing

	movedLarge bool   // one of large only keeps the log bounded
	skeleton   []byte // packed, and too large for the head
}

// large is a message whose packed bytes go to the archive. It has no body until they
// are there.
type large struct {
	index  int // in draft.messages
	term   record.Term
	packed []byte
}

func newDraft(a *Adapter, limits store.Limits, base *state, f *frame) *draft {
	d := &draft{
		a:        a,
		limits:   limits,
		base:     base,
		id:       newCommitID(),
		inline:   a.inline(limits),
		needed:   map[idHash]*entry{},
		live:     map[idHash]*idHash{},
		snapshot: base.snapshot,
		groups:   base.groups,
		frame:    f,
		record:   base.record,
		next:     max(base.head.Next, base.skip),
	}
	if base.skip > base.head.Next {
		d.frame = nil // what was staged there can look like the begin of a group
	}
	d.record.Live = base.record.Live.Clone()
	d.record.History = base.record.History.Clone()
	return d
}

// find returns the needed message with these bytes.
func (d *draft) find(content idHash) (entry, bool) {
	if e, ok := d.needed[content]; ok {
		if e == nil {
			return entry{}, false
		}
		return *e, true
	}
	return d.base.needed.find(content)
}

// history returns the bytes of the message that is history under an id.
func (d *draft) history(id idHash) (idHash, bool) {
	if c, ok := d.live[id]; ok {
		if c == nil {
			return idHash{}, false
		}
		return *c, true
	}
	return d.base.needed.history(id)
}

// put adds a needed message.
func (d *draft) put(content idHash, e entry) {
	d.needed[content] = &e
	d.record.Digest.Add(e.term)
}

// set changes what a needed message is needed for, and forgets it when that is nothing.
func (d *draft) set(content idHash, e entry) {
	if e.live || e.kept {
		d.needed[content] = &e
	} else {
		d.remove(content, e)
	}
}

func (d *draft) remove(content idHash, e entry) {
	d.needed[content] = nil
	d.record.Digest.Sub(e.term)
}

// save replaces the snapshot. Its messages are written unless they are in the log.
func (d *draft) save(s *saved) error {
	if s.sum == d.snapshot.sum {
		return nil
	}
	d.dirty = true
	old := d.snapshot.messages
	d.snapshot = snapshot{literals: compact(s.literals), sum: s.sum, messages: make([]idHash, 0, len(s.messages))}
	now := make(map[idHash]bool, len(s.messages))
	for _, m := range s.messages {
		d.snapshot.add(m.content, m.plain)
		now[m.content] = true
		e, ok := d.find(m.content)
		if !ok {
			var err error
			if e, err = d.write(m); err != nil {
				return err
			}
			e.kept = true
			d.put(m.content, e)
		} else if !e.kept {
			e.kept = true
			d.set(m.content, e)
		}
	}
	for _, c := range old {
		if e, ok := d.find(c); ok && e.kept && !now[c] {
			e.kept = false
			d.set(c, e)
		}
	}
	return nil
}

// compact returns a copy that shares nothing with what the parts were cut from.
func compact(parts [][]byte) [][]byte {
	b := bytes.Join(parts, nil)
	all := make([][]byte, len(parts))
	for i, p := range parts {
		all[i], b = b[:len(p):len(p)], b[len(p):]
	}
	return all
}

// append makes m history. What is history with the same bytes stays; with other bytes it is
// evicted. What is in the log because a snapshot has it is not written again, unless it was
// history there once: the archive gets it as often as it was evicted.
func (d *draft) append(m *message) error {
	id := m.info.hash
	if content, ok := d.history(id); ok {
		if content == m.content {
			return nil
		}
		d.evict(id)
	}
	e, ok := d.find(m.content)
	if !ok || d.record.History.Contains(e.offset) {
		again, err := d.write(m)
		if err != nil {
			return err
		}
		if ok {
			d.remove(m.content, e)
		}
		again.kept = e.kept
		e = again
		d.put(m.content, e)
	}
	e.live = true
	d.set(m.content, e)
	d.live[id] = &m.content
	d.record.Live.Add(e.offset)
	d.record.History.Add(e.offset)
	d.dirty = true
	return nil
}

// evict makes a message history no more. It was history, so it stays marked for the
// archive.
func (d *draft) evict(id idHash) {
	content, ok := d.history(id)
	if !ok {
		return
	}
	e, _ := d.find(content)
	e.live = false
	d.live[id] = nil
	d.set(content, e)
	d.record.Live.Remove(e.offset)
	d.record.EvictedBytes += uint64(e.packed)
	d.dirty = true
}

// move writes a message that is needed again, at the end of the log. Its old place
// no longer counts as history if it is history now, so that the archive gets it once.
func (d *draft) move(m *message) error {
	e, ok := d.find(m.content)
	if !ok {
		return nil
	}
	again, err := d.write(m)
	if err != nil {
		return err
	}
	again.live, again.kept = e.live, e.kept
	d.remove(m.content, e)
	d.put(m.content, again)
	if e.live {
		d.record.Live.Remove(e.offset)
		d.record.History.Remove(e.offset)
		d.record.Live.Add(again.offset)
		d.record.History.Add(again.offset)
	}
	d.dirty = true
	return nil
}

// write adds m to the log, packed against earlier messages of its group.
func (d *draft) write(m *message) (entry, error) {
	if err := m.inspect(d.a); err != nil {
		return entry{}, err
	}
	info := m.info
	e := entry{offset: d.next, id: info.hash, term: record.NewTerm(d.next, info.id, m.sum)}
	f := d.open()
	var against []uint64
	var dictionary []byte
	if len(m.plain) > smallPlain {
		against, dictionary = f.against(info.sender)
	}
	packed, err := d.a.pack(m.plain, dictionary)
	if err != nil {
		return e, err
	}
	limit := min(d.inline, d.limits.MessageBytes-len(info.id)-record.MessageSize(nil))
	if len(packed) > limit && len(against) > 0 {
		f = nil
		if packed, err = d.a.pack(m.plain, nil); err != nil {
			return e, err
		}
	}
	d.plain, d.packed = d.plain+int64(len(m.plain)), d.packed+int64(len(packed))
	e.packed = uint32(len(packed)) //nolint:gosec // MaxPlain and some bytes at most
	stored := store.Message{Offset: e.offset, ID: info.id, Lamport: info.lamport}
	if len(packed) > limit || f == nil {
		d.groups = append(slices.Clip(d.groups), e.offset)
	}
	switch {
	case len(packed) > limit:
		d.large = append(d.large, large{len(d.messages), e.term, packed})
		d.frame = nil // nothing is packed against what is in the archive
	case f == nil:
		stored.Body = record.Message(e.term, packed)
		d.frame = newFrame(e.offset).with(e.offset, info.sender, m.plain)
	default:
		stored.Body = record.Delta(e.offset, e.term, against, packed)
		d.frame = f.with(e.offset, info.sender, m.plain)
	}
	d.messages = append(d.messages, stored)
	d.next++
	return e, nil
}

// open returns the frame of the group that the next message can join, or nil.
func (d *draft) open() *frame {
	if f := d.frame; f != nil && f.start >= d.base.head.Start && d.next-f.start < uint64(d.a.o.GroupSize) {
		return f
	}
	return nil
}

// group returns where the group begins that a message is in.
func (d *draft) group(offset uint64) uint64 {
	i, found := slices.BinarySearch(d.groups, offset)
	if found || i == 0 {
		return offset
	}
	return d.groups[i-1]
}

// groupEnd returns where the group ends that an offset is in.
func (d *draft) groupEnd(offset uint64) uint64 {
	i, found := slices.BinarySearch(d.groups, offset)
	if found {
		i++
	}
	if i == len(d.groups) {
		return d.base.head.Next
	}
	return d.groups[i]
}

// oldest returns the lowest offsets of needed messages below an offset, at most so many.
func (d *draft) oldest(below uint64, most int) []uint64 {
	var all []uint64
	for o := range d.record.Live.All() {
		if o >= below || len(all) >= most {
			break
		}
		all = append(all, o)
	}
	for _, c := range d.snapshot.messages {
		if e, ok := d.find(c); ok && e.offset < below && !e.live {
			all = append(all, e.offset)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:max(0, min(most, len(all)))]
}

// pack encodes the snapshot. What is too large for the head is left in d.skeleton.
func (d *draft) pack() error {
	s, r := &d.snapshot, &d.record
	r.Snapshot, r.Value, r.Messages, r.Envelopes, r.Against, r.Sum = nil, nil, nil, false, nil, record.Sum{}
	if s.none() {
		return nil
	}
	r.Sum = s.sum
	r.Messages = make([]uint64, len(s.messages))
	var envelopes map[uint64][]byte
	if !s.small() {
		envelopes = make(map[uint64][]byte, len(s.envelopes)+latestKept)
	}
	for i, c := range s.messages {
		e, _ := d.find(c)
		r.Messages[i] = e.offset
		if b, ok := s.envelopes[c]; ok {
			envelopes[e.offset] = b
		}
	}
	if r.Value = s.value; r.Value != nil {
		return nil
	}
	if envelopes != nil {
		d.againstLatest(envelopes)
	}
	plain := record.Skeleton(s.literals)
	packed, err := d.a.pack(plain, d.dictionary(envelopes))
	if err == nil && len(packed) > d.inline && r.Envelopes {
		r.Envelopes, r.Against = false, nil
		packed, err = d.a.pack(plain, nil)
	}
	if err != nil {
		return err
	}
	d.plain, d.packed = d.plain+int64(len(plain)), d.packed+int64(len(packed))
	if len(packed) > d.inline {
		d.skeleton = packed
		return nil
	}
	r.Snapshot = packed
	return nil
}

// againstLatest has the snapshot packed against envelopes, those of the latest messages too: it names
// many of their ids.
func (d *draft) againstLatest(envelopes map[uint64][]byte) {
	if f := d.frame; f != nil && f.start >= d.base.head.Start {
		for _, m := range f.latest {
			if _, ok := envelopes[m.offset]; !ok {
				envelopes[m.offset] = m.bytes
				d.record.Against = append(d.record.Against, m.offset)
			}
		}
	}
	size := 0
	for _, b := range envelopes {
		size += len(b)
	}
	if d.record.Envelopes = 0 < size && size <= maxDictionary; !d.record.Envelopes {
		d.record.Against = nil
	}
}

func (d *draft) dictionary(envelopes map[uint64][]byte) (b []byte) {
	if d.record.Envelopes {
		for _, o := range d.record.Dictionary() {
			b = append(b, envelopes[o]...)
		}
	}
	return b
}

// start returns the lowest offset that the drafted head needs.
func (d *draft) start() uint64 {
	low, ok := d.record.Live.Min()
	if !ok {
		low = d.next
	}
	for _, c := range d.snapshot.messages {
		if e, ok := d.find(c); ok {
			low = min(low, e.offset)
		}
	}
	for _, o := range d.record.Against {
		low = min(low, o)
	}
	if low < d.next {
		low = d.group(low)
	}
	return max(low, d.base.head.Start)
}

// head returns the head that the draft would commit.
func (d *draft) head(key store.Key, now time.Time) store.Head {
	h := d.base.head
	h.CommitID = d.id
	h.Start, h.Next = d.start(), d.next
	d.record.Committed = now
	switch {
	case d.record.Evicted() == 0:
		d.record.EvictedBytes, d.record.EvictedSince = 0, time.Time{}
	case d.record.EvictedSince.IsZero():
		d.record.EvictedSince = now
	}
	h.Body = d.record.Body(key, h)
	return h
}

// landed makes the draft's changes to its base, now that head is stored.
func (d *draft) landed(head store.Head) *state {
	s := d.base
	for c, e := range d.needed {
		if e == nil {
			s.needed.remove(c)
		} else {
			s.needed.put(c, *e)
		}
	}
	s.head, s.head.Body = head, nil
	s.snapshot, s.record, s.skip = d.snapshot, d.record, 0
	s.record.Snapshot = nil // it is made anew with each commit
	i, _ := slices.BinarySearch(d.groups, head.Start)
	s.groups = d.groups[i:]
	return s
}

// dropped returns a draft of the head that a drop of base leaves: nothing is
// history, and the log starts anew at its next offset.
func dropped(a *Adapter, limits store.Limits, base *state) *draft {
	d := newDraft(a, limits, emptyState(), nil)
	d.base.head = base.head
	d.next, d.dirty = max(base.head.Next, base.skip), true
	d.base.head.Origin, d.base.head.Start = d.next, d.next
	return d
}
