package sdsaws

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// maxRounds bounds how often a load starts over because others commit or claim
// meanwhile.
const maxRounds = 16

// view is what a load has read: a head and the messages known from here or earlier
// rounds. Messages are written once, so those of an older head stay good.
type view struct {
	head     *store.Head // nil: there is none
	messages map[uint64]store.Message
}

// load reads the channel, verifies it, claims it, and only then makes it this
// adapter's. When it fails before the claim nothing has changed. The turn is held.
func (ch *channel) load(ctx context.Context) (sds.EncodedChannelData, error) {
	v := view{messages: map[uint64]store.Message{}}
	for range maxRounds {
		if err := ch.read(ctx, &v); err != nil {
			return sds.EncodedChannelData{}, ch.fail("load", "", err)
		}
		st, data, err := ch.verify(v)
		if err != nil {
			changed, again := ch.changed(ctx, v)
			if again != nil {
				return data, ch.fail("load", "", again)
			}
			if changed {
				continue
			}
			return data, err
		}
		claimed, err := ch.claim(ctx, st)
		if err != nil {
			return sds.EncodedChannelData{}, err
		}
		if claimed {
			ch.mu.Lock()
			ch.phase, ch.state = held, st
			ch.mu.Unlock()
			return data, nil
		}
	}
	return sds.EncodedChannelData{}, ch.fail("load", "", fmt.Errorf(
		"%w: others claimed or wrote it during each of %d tries", sds.ErrFenced, maxRounds))
}

// read brings v up to date: all of the channel at first, later what is new.
func (ch *channel) read(ctx context.Context, v *view) error {
	var from uint64
	if v.head != nil {
		from = v.head.Next
	}
	head, messages, err := ch.a.log.Load(ctx, ch.key, from)
	if err != nil {
		return err
	}
	v.head = head
	for _, m := range messages {
		v.messages[m.Offset] = m
	}
	return nil
}

// changed reports whether the channel's head is another one by now. What looks missing
// may have been moved or dropped since the head was read.
func (ch *channel) changed(ctx context.Context, v view) (bool, error) {
	head, err := ch.a.log.Head(ctx, ch.key)
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
func (ch *channel) verify(v view) (*state, sds.EncodedChannelData, error) {
	st := emptyState()
	none := sds.EncodedChannelData{}
	if v.head == nil {
		return st, sds.EncodedChannelData{Meta: slices.Clone(initialMeta)}, nil
	}
	st.head = *v.head
	st.head.Body = nil
	rec, err := record.OpenHead(ch.key, *v.head)
	if err != nil {
		return nil, none, ch.fail("load", "head", contract(err))
	}
	st.record = *rec
	meta := slices.Clone(initialMeta)
	if len(rec.Snapshot) > 0 {
		if meta, err = ch.a.codec.OpenSnapshot(rec.Snapshot); err == nil {
			err = sds.ValidateMeta(meta)
		}
		if err != nil {
			return nil, none, ch.fail("load", "snapshot", contract(err))
		}
	}
	st.snapshot = snapshot{packed: rec.Snapshot, sum: sha256.Sum256(meta)}
	messages, err := ch.verifyMessages(st, v)
	if err != nil {
		return nil, none, err
	}
	return st, sds.EncodedChannelData{Meta: meta, Messages: messages}, nil
}

// verifyMessages decodes the history, fills in st.live and returns the plain messages
// in contract order.
func (ch *channel) verifyMessages(st *state, v view) ([][]byte, error) {
	type found struct {
		info  sds.MessageInfo
		plain []byte
	}
	history := make([]found, 0, st.record.Live.Len())
	var digest record.Digest
	for offset := range st.record.Live.All() {
		item := fmt.Sprintf("message at offset %d", offset)
		m, ok := v.messages[offset]
		if !ok {
			return nil, ch.fail("load", item, sds.ErrIncomplete)
		}
		plain, term, err := ch.a.codec.OpenMessage(offset, m.ID, m.Body)
		if err != nil {
			return nil, ch.fail("load", item, contract(err))
		}
		info, err := sds.InspectMessage(plain)
		if err != nil {
			return nil, ch.fail("load", item, contract(err))
		}
		if info.MessageID != m.ID {
			return nil, ch.fail("load", item, fmt.Errorf("%w: it is stored under another id", sds.ErrCorrupt))
		}
		digest.Add(term)
		st.live[ch.a.hash(m.ID)] = entry{offset, term}
		history = append(history, found{info, plain})
	}
	if digest != st.record.Digest || len(st.live) != len(history) {
		return nil, ch.fail("load", "digest", fmt.Errorf(
			"%w: the messages are not those that the head was committed with", sds.ErrCorrupt))
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
	ch.mu.Lock()
	if ch.phase == held {
		ch.phase = uncertain // until it is known who holds it
	}
	ch.mu.Unlock()

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
		return false, ch.fail("load", "claim", fmt.Errorf("%w: %w", sds.ErrUnknownOutcome, err))
	}
	st.head = head
	return true, nil
}
