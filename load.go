package sdsaws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// maxRounds bounds how often a load starts over because others commit or claim
// meanwhile. Each round that it loses, somebody else has written; it wins when none does
// for the time of one request.
const maxRounds = 100

// view is what a load has read: a head and the messages known from here or earlier
// rounds. Messages are written once, so those of an older head stay good.
type view struct {
	head     *store.Head // nil: there is none
	messages map[uint64]store.Message
}

// load reads the channel, verifies it, claims it, and only then makes it this
// adapter's. When it fails before the claim nothing has changed. The turn is held.
func (ch *channel) load(ctx context.Context) (data sds.EncodedChannelData, err error) {
	ctx, ended := ch.a.o.Telemetry.loading(ctx, ch.id)
	defer func() { ended(data, err) }()
	v := view{messages: map[uint64]store.Message{}}
	for range maxRounds {
		if err := ch.read(ctx, &v); err != nil {
			return sds.EncodedChannelData{}, ch.unread(err)
		}
		if err := ch.mayClaim(v.head); err != nil {
			return sds.EncodedChannelData{}, err
		}
		st, data, err := ch.verify(ctx, v)
		if err != nil {
			changed, again := ch.changed(ctx, v)
			if again != nil {
				return data, ch.fail("load", "", again)
			}
			if changed {
				continue
			}
			return data, ch.apart(err)
		}
		claimed, err := ch.renew(ctx, v)
		if err == nil && claimed {
			claimed, err = ch.claim(ctx, st)
		}
		if err != nil {
			return sds.EncodedChannelData{}, err
		}
		if claimed {
			ch.mu.Lock()
			ch.phase, ch.state = held, st
			ch.mu.Unlock()
			ch.keepFrame(nil)
			ch.noteBacklog()
			ch.a.hints.forget() // another holder may have dropped the channel, and them
			return data, nil
		}
	}
	return sds.EncodedChannelData{}, ch.fail("load", "", fmt.Errorf(
		"%w: others claimed or wrote it during each of %d tries", sds.ErrFenced, maxRounds))
}

// read brings v up to date: all of the channel at first, later what is new. With several
// regions it reads all again, since the new head can be of another lineage.
func (r ref) read(ctx context.Context, v *view) error {
	var from uint64
	if r.a.o.Region != "" {
		clear(v.messages)
	} else if v.head != nil {
		from = v.head.Next
	}
	head, messages, err := r.a.log.Load(ctx, r.key, from)
	if err != nil {
		return err
	}
	v.head = head
	for _, m := range messages {
		v.messages[m.Offset] = m
	}
	return nil
}

// unread turns the error of a read into one of the contract.
func (r ref) unread(err error) error {
	var damaged *store.MalformedError
	if errors.As(err, &damaged) {
		return r.fail("load", damaged.Item, fmt.Errorf("%w: %w", sds.ErrCorrupt, damaged.Err))
	}
	return r.fail("load", "", err)
}

// changed reports whether the channel's head is another one by now. What looks missing
// may have been moved or dropped since the head was read.
func (r ref) changed(ctx context.Context, v view) (bool, error) {
	head, err := r.a.log.Head(ctx, r.key)
	if err != nil {
		return false, err
	}
	if v.head == nil {
		return head != nil, nil
	}
	return !is(head, v.head.CommitID), nil
}

// verify decodes a view and holds it against the head's promises. It returns a state
// whose head is the one read, and what the channel holds.
func (r ref) verify(ctx context.Context, v view) (*state, sds.EncodedChannelData, error) {
	st := emptyState()
	none := sds.EncodedChannelData{}
	if v.head == nil {
		return st, sds.EncodedChannelData{Meta: slices.Clone(initialMeta)}, nil
	}
	st.head = *v.head
	st.head.Body = nil
	rec, err := record.OpenHead(r.key, *v.head)
	if err != nil {
		return nil, none, r.fail("load", "head", contract(err))
	}
	st.record = *rec
	st.record.Snapshot = nil
	o := r.opener()
	o.keep = true
	for _, offset := range slices.Sorted(maps.Keys(v.messages)) {
		m := v.messages[offset]
		o.add(m)
		if record.Begins(m.Body) {
			st.groups = append(st.groups, offset)
		}
	}
	if err := o.prefetch(ctx, rec.Needed()); err != nil {
		return nil, none, err
	}
	meta, literals, err := o.snapshot(ctx, "load", rec)
	if err != nil {
		return nil, none, err
	}
	st.snapshot = snapshot{literals: literals, sum: cmp.Or(rec.Sum, initialSum), value: rec.Value}
	messages, err := r.verifyMessages(ctx, st, o)
	if err != nil {
		return nil, none, err
	}
	return st, sds.EncodedChannelData{Meta: meta, Messages: messages}, nil
}

// verifyMessages decodes what is needed, fills in st.needed and returns the plain
// messages of the history in contract order.
func (r ref) verifyMessages(ctx context.Context, st *state, o *opener) ([][]byte, error) {
	type found struct {
		info  sds.MessageInfo
		plain []byte
	}
	var history []found
	var digest record.Digest
	need := func(offset uint64, live bool) (content idHash, err error) {
		plain, term, err := o.open(ctx, offset)
		if err != nil {
			return content, err
		}
		m := r.a.bare(plain, nil)
		if e, ok := st.needed.find(m.content); ok && e.offset == offset {
			return m.content, nil
		}
		if err := m.inspect(r.a); err != nil {
			return content, r.fail("load", itemName(offset), contract(err))
		}
		_, twice := st.needed.find(m.content)
		if _, ok := st.needed.history(m.info.hash); ok && live {
			twice = true
		}
		if twice {
			return content, r.fail("load", itemName(offset), misfit{fmt.Errorf("%w: it is there twice", sds.ErrCorrupt)})
		}
		digest.Add(term)
		st.needed.put(m.content, entry{offset: offset, id: m.info.hash, term: term,
			packed: uint32(len(o.items[offset].Body)), live: live}) //nolint:gosec // an item's bytes
		if live {
			history = append(history, found{sds.MessageInfo{MessageID: m.info.id, LamportTimestamp: m.info.lamport}, plain})
		}
		return m.content, nil
	}
	for offset := range st.record.Live.All() {
		if _, err := need(offset, true); err != nil {
			return nil, err
		}
	}
	for _, offset := range st.record.Messages {
		content, err := need(offset, false)
		if err != nil {
			return nil, err
		}
		e, _ := st.needed.find(content)
		e.kept = true
		st.needed.put(content, e)
		st.snapshot.add(content, o.plain[offset].bytes)
	}
	if digest != st.record.Digest {
		return nil, r.fail("load", "digest", misfit{fmt.Errorf(
			"%w: the messages are not those that the head was committed with", sds.ErrCorrupt)})
	}
	slices.SortFunc(history, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.info.LamportTimestamp, b.info.LamportTimestamp),
			cmp.Compare(a.info.MessageID, b.info.MessageID))
	})
	messages := make([][]byte, len(history))
	for i, f := range history {
		messages[i] = f.plain
	}
	return messages, nil
}

// contract turns an error of the encodings into one of the contract.
func contract(err error) error {
	switch {
	case errors.Is(err, record.ErrFormat):
		return fmt.Errorf("%w: %w", sds.ErrUnsupportedFormat, err)
	case errors.Is(err, sds.ErrSchemaVersion):
		return err
	default:
		return fmt.Errorf("%w: %w", sds.ErrCorrupt, err)
	}
}

// claim makes this adapter the holder of the channel as st has it, and st.head the
// head that is then stored. It returns false when the head was not st's any more. A
// channel without a head gets one: what was loaded as empty is fenced too.
func (ch *channel) claim(ctx context.Context, st *state) (bool, error) {
	a := ch.a
	head := st.head
	head.CommitID, head.Epoch = newCommitID(), head.Epoch+1
	head.Writer, head.Region = a.writer, a.o.Region
	var err error
	if st.head.CommitID == (store.CommitID{}) {
		st.record.Committed = a.o.Clock.Now()
		first := head
		first.Body = st.record.Body(ch.key, first)
		err = a.log.Commit(ctx, ch.key, store.CommitID{}, first, nil)
	} else {
		err = a.log.Claim(ctx, ch.key, st.head.CommitID,
			store.Claim{CommitID: head.CommitID, Writer: head.Writer, Region: head.Region})
	}
	var conflict *store.ConflictError
	if errors.As(err, &conflict) {
		if !is(conflict.Current, head.CommitID) {
			return false, nil
		}
		err = nil // it had landed before its reply was lost
	}
	if err != nil {
		err = ch.fail("load", "claim", fmt.Errorf("%w: %w", sds.ErrUnknownOutcome, err))
		ch.mu.Lock()
		if ch.phase == held { // it isn't known any more who holds it
			ch.phase, ch.state = uncertain, nil
			ch.abandon(err)
		}
		ch.mu.Unlock()
		return false, err
	}
	st.head = head
	return true, nil
}
