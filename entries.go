package sdsaws

import (
	"encoding/binary"

	"github.com/sdsaws/sdsaws/internal/record"
)

// idHash stands in memory for a message id, or for the bytes of a message. It is keyed at random for
// each adapter, so that nobody can make two that share one; by chance, one in 2^86 is taken for one of
// 1000 others.
type idHash [12]byte

// entry is a message of the log that is needed: history, or in the snapshot.
type entry struct {
	offset uint64
	id     idHash
	term   record.Term
	packed uint32 // bytes, below 2^30
	live   bool   // it is history
	kept   bool   // it is in the snapshot
}

// entries are a channel's needed messages. An open channel has one for each message of its history, so
// they lie densely, 52 bytes each, beside two tables that find them: a map of each kind would take
// three times as much.
type entries struct {
	rows      []row
	byContent index
	byID      index // what is history
}

// row is an entry without the gaps that alignment would leave.
type row struct {
	content, id idHash
	term        record.Term
	offset      [2]uint32 // high, low
	rest        uint32    // packed, and the bits below
}

const (
	liveBit = 1 << 31
	keptBit = 1 << 30
)

func newRow(content idHash, e entry) row {
	r := row{content, e.id, e.term, [2]uint32{uint32(e.offset >> 32), uint32(e.offset)}, e.packed} //nolint:gosec // split
	if e.live {
		r.rest |= liveBit
	}
	if e.kept {
		r.rest |= keptBit
	}
	return r
}

func (r *row) live() bool { return r.rest&liveBit != 0 }

func (r *row) entry() entry {
	return entry{uint64(r.offset[0])<<32 | uint64(r.offset[1]), r.id, r.term,
		r.rest &^ (liveBit | keptBit), r.live(), r.rest&keptBit != 0}
}

func newEntries() entries {
	return entries{
		byContent: index{key: func(r *row) idHash { return r.content }},
		byID:      index{key: func(r *row) idHash { return r.id }},
	}
}

// find returns what is needed with these bytes.
func (t *entries) find(content idHash) (entry, bool) {
	i, ok := t.byContent.find(t.rows, content)
	if !ok {
		return entry{}, false
	}
	return t.rows[i].entry(), true
}

// history returns the bytes of the message that is history under an id.
func (t *entries) history(id idHash) (content idHash, ok bool) {
	i, ok := t.byID.find(t.rows, id)
	if !ok {
		return content, false
	}
	return t.rows[i].content, true
}

// put adds what is needed with these bytes, or replaces it. Of one id two may be history until one
// of them is removed or replaced.
func (t *entries) put(content idHash, e entry) {
	i, ok := t.byContent.find(t.rows, content)
	if !ok {
		i = len(t.rows)
		t.grow()
		t.rows = append(t.rows, newRow(content, e))
		t.byContent.add(t.rows, i)
	} else {
		if t.rows[i].live() {
			t.byID.remove(t.rows, i)
		}
		t.rows[i] = newRow(content, e)
	}
	if e.live {
		t.byID.add(t.rows, i)
	}
}

// remove removes what is needed with these bytes. The last row takes its place.
func (t *entries) remove(content idHash) {
	i, ok := t.byContent.find(t.rows, content)
	if !ok {
		return
	}
	last := len(t.rows) - 1
	t.unlist(i)
	if i != last {
		t.unlist(last)
		t.rows[i] = t.rows[last]
		t.byContent.add(t.rows, i)
		if t.rows[i].live() {
			t.byID.add(t.rows, i)
		}
	}
	t.rows = t.rows[:last]
	if len(t.rows) < cap(t.rows)/4 {
		t.resize(len(t.rows))
	}
}

func (t *entries) unlist(i int) {
	t.byContent.remove(t.rows, i)
	if t.rows[i].live() {
		t.byID.remove(t.rows, i)
	}
}

// grow makes room for a row: by a sixteenth, for there may be thousands of channels.
func (t *entries) grow() {
	if n := len(t.rows); n == cap(t.rows) {
		t.resize(n + max(8, n/16))
	}
}

// resize makes room for so many rows.
func (t *entries) resize(room int) {
	t.rows = append(make([]row, 0, room), t.rows...)
	t.byContent.reset(room)
	t.byID.reset(room)
	for i := range t.rows {
		t.byContent.add(t.rows, i)
		if t.rows[i].live() {
			t.byID.add(t.rows, i)
		}
	}
}

// index finds rows by a key: a table with linear probing, three quarters full at most.
type index struct {
	key   func(*row) idHash
	slots []uint32 // 1 + the number of a row, or 0; as many as a power of two
}

func (x *index) reset(rows int) {
	size := 8
	for size*3/4 < rows {
		size *= 2
	}
	if size == len(x.slots) {
		clear(x.slots)
	} else {
		x.slots = make([]uint32, size)
	}
}

// home is where the search for a key begins. Keys are hashes, so any bits do.
func (x *index) home(key idHash) int {
	return int(binary.LittleEndian.Uint32(key[:])) & (len(x.slots) - 1)
}

func (x *index) next(slot int) int { return (slot + 1) & (len(x.slots) - 1) }

func (x *index) find(rows []row, key idHash) (int, bool) {
	if len(x.slots) == 0 {
		return 0, false
	}
	for s := x.home(key); x.slots[s] != 0; s = x.next(s) {
		if i := int(x.slots[s] - 1); x.key(&rows[i]) == key {
			return i, true
		}
	}
	return 0, false
}

func (x *index) add(rows []row, i int) {
	s := x.home(x.key(&rows[i]))
	for x.slots[s] != 0 {
		s = x.next(s)
	}
	x.slots[s] = uint32(i) + 1 //nolint:gosec // an index of what is in memory
}

// remove takes row i out, and closes the gap: what could not be at its home because of it moves up.
func (x *index) remove(rows []row, i int) {
	gap := x.home(x.key(&rows[i]))
	for x.slots[gap] != uint32(i)+1 { //nolint:gosec // as above
		gap = x.next(gap)
	}
	for s := x.next(gap); x.slots[s] != 0; s = x.next(s) {
		home := x.home(x.key(&rows[x.slots[s]-1]))
		if (s-home)&(len(x.slots)-1) >= (s-gap)&(len(x.slots)-1) {
			x.slots[gap], gap = x.slots[s], s
		}
	}
	x.slots[gap] = 0
}
