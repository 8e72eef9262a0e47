package sdsaws

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/sdsaws/sdsaws/internal/offsets"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// opener turns messages as the log has them into what was handed over. It is given them in
// the order of their offsets and keeps those of the latest group, against which others are packed;
// what it wasn't given it reads.
type opener struct {
	ref
	keep  bool // all groups, not only the latest
	items map[uint64]store.Message
	plain map[uint64]plainMessage
}

type plainMessage struct {
	bytes []byte
	term  record.Term
}

func (r ref) opener() *opener {
	return &opener{ref: r, items: map[uint64]store.Message{}, plain: map[uint64]plainMessage{}}
}

// add takes note of a message. The latest group ends where another begins.
func (o *opener) add(m store.Message) {
	if record.Begins(m.Body) && !o.keep {
		clear(o.items)
		clear(o.plain)
	}
	o.items[m.Offset] = m
}

// fetch reads the messages at these offsets that aren't known, and those that they can be packed
// against.
func (o *opener) fetch(ctx context.Context, wanted ...uint64) error {
	var missing []uint64
	group := uint64(o.a.o.GroupSize) //nolint:gosec // above 0; of others it may be larger, then it takes more requests
	for _, w := range wanted {
		for i := w - min(w, group-1); i <= w; i++ {
			if _, ok := o.items[i]; !ok {
				missing = append(missing, i)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	found, err := o.a.log.Messages(ctx, o.key, slices.Compact(missing))
	if err != nil {
		return o.fail("read", "messages", err)
	}
	for _, m := range found {
		o.items[m.Offset] = m
	}
	return nil
}

// open returns the bytes of the message at an offset as they were handed over, and its
// term.
func (o *opener) open(ctx context.Context, offset uint64) ([]byte, record.Term, error) {
	return o.openFor(ctx, offset, offset)
}

// openFor opens the message at offset for one at top, whose group it must be of. So what says that it is
// packed against an endless chain of others ends at the first that lies too far off.
func (o *opener) openFor(ctx context.Context, offset, top uint64) ([]byte, record.Term, error) {
	if p, ok := o.plain[offset]; ok {
		return p.bytes, p.term, nil
	}
	m, ok := o.items[offset]
	if !ok {
		return nil, record.Term{}, o.fail("read", itemName(offset), sds.ErrIncomplete)
	}
	against, err := record.Against(offset, m.Body)
	if err == nil && top-offset >= maxGroup {
		err = fmt.Errorf("%w: a group of more than %d messages", record.ErrCorrupt, maxGroup)
	}
	if err != nil {
		return nil, record.Term{}, o.fail("read", itemName(offset), contract(err))
	}
	if err := o.have(ctx, against); err != nil {
		return nil, record.Term{}, err
	}
	dictionary, err := o.dictionary(ctx, against, top)
	if err != nil {
		return nil, record.Term{}, err
	}
	one := []store.Message{m}
	if err := o.inlined(ctx, one); err != nil {
		return nil, record.Term{}, err
	}
	plain, term, err := o.decode(one[0], dictionary)
	if err != nil {
		if len(against) > 0 {
			err = misfit{err}
		}
		return nil, term, o.fail("read", itemName(offset), err)
	}
	o.plain[offset] = plainMessage{plain, term}
	return plain, term, nil
}

// decode decodes a message of the log whose body is inline. What the item says of it must be what it says
// itself: the term has its id, but not its clock.
func (o *opener) decode(m store.Message, dictionary []byte) ([]byte, record.Term, error) {
	plain, term, err := o.a.codec.OpenMessage(m.Offset, m.ID, m.Body, dictionary)
	if err != nil {
		return nil, term, contract(err)
	}
	return plain, term, matches(plain, m.ID, m.Lamport)
}

// dictionary returns what the message at top is packed against: the bytes of the first of these
// messages and the envelopes of the others, one after the other.
func (o *opener) dictionary(ctx context.Context, against []uint64, top uint64) ([]byte, error) {
	var b []byte
	for i, d := range against {
		plain, _, err := o.openFor(ctx, d, top)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			plain = sds.Envelope(plain)
		}
		b = append(b, plain...)
	}
	return b, nil
}

// envelopes returns the envelopes of the messages at these offsets, one after the other.
func (o *opener) envelopes(ctx context.Context, against []uint64) ([]byte, error) {
	if err := o.have(ctx, against); err != nil {
		return nil, err
	}
	var b []byte
	for _, d := range against {
		plain, _, err := o.open(ctx, d)
		if err != nil {
			return nil, err
		}
		b = append(b, sds.Envelope(plain)...)
	}
	return b, nil
}

// prefetch reads what the messages at these offsets refer to in the archive, several at once.
func (o *opener) prefetch(ctx context.Context, set offsets.Set) error {
	var large []store.Message
	for x := range set.All() {
		if _, ok := o.plain[x]; ok {
			continue
		}
		if m, ok := o.items[x]; ok {
			if v, err := record.MessageValue(m.Body); err == nil && v != nil {
				large = append(large, m)
			}
		}
	}
	if err := o.inlined(ctx, large); err != nil {
		return err
	}
	for _, m := range large {
		plain, term, err := o.decode(m, nil)
		if err != nil {
			return o.fail("read", itemName(m.Offset), err)
		}
		o.plain[m.Offset] = plainMessage{plain, term}
	}
	return nil
}

// openMessage returns the bytes of a message of the log as they were handed over.
func (r ref) openMessage(ctx context.Context, m store.Message) ([]byte, error) {
	o := r.opener()
	o.add(m)
	plain, _, err := o.open(ctx, m.Offset)
	return plain, err
}

// have reads those of the messages at these offsets that it wasn't given.
func (o *opener) have(ctx context.Context, offsets []uint64) error {
	missing := slices.DeleteFunc(slices.Clone(offsets), func(x uint64) bool { _, ok := o.items[x]; return ok })
	if len(missing) == 0 {
		return nil
	}
	return o.fetch(ctx, missing...)
}

// skeleton returns what lies between the messages of a head's snapshot.
func (o *opener) skeleton(ctx context.Context, op string, rec *record.Head) ([][]byte, error) {
	if rec.Sum == (record.Sum{}) {
		return [][]byte{initialMeta}, nil
	}
	packed := rec.Snapshot
	if rec.Value != nil {
		var err error
		if packed, err = o.fetchValue(ctx, rec.Value); err != nil {
			return nil, o.fail(op, "snapshot", err)
		}
	}
	var dictionary []byte
	if rec.Envelopes {
		var err error
		if dictionary, err = o.envelopes(ctx, rec.Dictionary()); err != nil {
			return nil, err
		}
	}
	literals, err := o.a.codec.OpenSkeleton(packed, len(rec.Messages), dictionary)
	if err != nil {
		err = contract(err)
		if rec.Envelopes {
			err = misfit{err}
		}
		return nil, o.fail(op, "snapshot", err)
	}
	return literals, nil
}

// snapshot returns a head's snapshot, encoded as it was handed over, and what lies between its
// messages.
func (o *opener) snapshot(ctx context.Context, op string, rec *record.Head) (meta []byte, literals [][]byte, err error) {
	if err := o.have(ctx, rec.Messages); err != nil {
		return nil, nil, err
	}
	var set offsets.Set
	for _, at := range rec.Messages {
		set.Add(at)
	}
	if err := o.prefetch(ctx, set); err != nil {
		return nil, nil, err
	}
	if literals, err = o.skeleton(ctx, op, rec); err != nil {
		return nil, nil, err
	}
	messages := make([][]byte, len(rec.Messages))
	sums := make([]record.Sum, len(rec.Messages))
	for i, at := range rec.Messages {
		if messages[i], _, err = o.open(ctx, at); err != nil {
			return nil, nil, err
		}
		sums[i] = sha256.Sum256(messages[i])
	}
	meta, err = record.Join(literals, messages)
	if err == nil && rec.Sum != (record.Sum{}) && record.SnapshotSum(literals, sums) != rec.Sum {
		err = record.ErrCorrupt
	}
	if err == nil {
		err = sds.ValidateMeta(meta)
	}
	if err != nil {
		return nil, nil, o.fail(op, "snapshot", misfit{contract(err)})
	}
	return meta, literals, nil
}
