package sdsaws

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
)

// encodeMeta encodes what SaveChannelMeta is given.
func encodeMeta(m *sds.ChannelMeta) ([]byte, error) {
	if m == nil {
		return nil, fmt.Errorf("%w: nil snapshot", sds.ErrInvalidArgument)
	}
	if m.SchemaVersion != sds.SchemaVersion {
		return nil, fmt.Errorf("snapshot: %w: SchemaVersion is %d, set sds.SchemaVersion", sds.ErrSchemaVersion, m.SchemaVersion)
	}
	return m.MarshalBinary()
}

// encodeUpdate encodes what UpdateHistory is given.
func encodeUpdate(u *sds.HistoryUpdate) (e sds.EncodedHistoryUpdate, err error) {
	if u == nil {
		return e, fmt.Errorf("%w: nil update", sds.ErrInvalidArgument)
	}
	e.Evict = u.Evict
	e.Append = make([][]byte, len(u.Append))
	for i := range u.Append {
		if e.Append[i], err = u.Append[i].MarshalBinary(); err != nil {
			return e, fmt.Errorf("appended message %d: %w", i, err)
		}
	}
	return e, nil
}

// known is messages whose bytes needn't be hashed again: most of a snapshot is in the one before, and what
// is appended is in the one that was saved right before.
type known struct {
	all  []*message
	next int // the one to look at first
}

// maxCompared is how many messages one is compared with.
const maxCompared = 16

// find returns the message with these bytes, if it is among those that are likely.
func (k *known) find(plain []byte) *message {
	if k == nil {
		return nil
	}
	for i := range min(len(k.all), maxCompared) {
		at := (k.next + i) % len(k.all)
		if m := k.all[at]; bytes.Equal(m.plain, plain) {
			k.next = at + 1
			return m
		}
	}
	return nil
}

// snapshot checks, copies and splits an encoded snapshot.
func (a *Adapter) snapshot(meta []byte, k *known) (*saved, error) {
	if len(meta) > record.MaxPlain {
		return nil, fmt.Errorf("snapshot: %w: %w", sds.ErrTooLarge, record.ErrTooLarge)
	}
	meta = bytes.Clone(meta)
	spans, err := sds.MessageSpans(meta)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if len(spans) > record.MaxBuffered {
		return nil, fmt.Errorf("snapshot: %w: %d messages in its buffers, use at most %d", sds.ErrTooLarge, len(spans), record.MaxBuffered)
	}
	s := &saved{bytes: snapshotBytes(len(meta), len(spans)), messages: make([]*message, len(spans)),
		literals: make([][]byte, 0, len(spans)+1)}
	all := make([]message, len(spans))
	sums := make([]record.Sum, len(spans))
	pos := 0
	for i, at := range spans {
		all[i] = a.bare(meta[at.From:at.To], k)
		s.messages[i] = &all[i]
		sums[i] = s.messages[i].sum
		s.literals = append(s.literals, meta[pos:at.From])
		pos = at.To
	}
	s.literals = append(s.literals, meta[pos:])
	s.sum = record.SnapshotSum(s.literals, sums)
	return s, nil
}

// snapshotBytes is how much memory a snapshot takes.
func snapshotBytes(encoded, messages int) int64 {
	return int64(encoded) + operationOverhead + int64(messages)*messageOverhead
}

// update checks and copies an update.
func (a *Adapter) update(u sds.EncodedHistoryUpdate, k *known) (*update, error) {
	made := &update{append: make([]*message, len(u.Append)), evict: make([]idHash, len(u.Evict))}
	var err error
	for i, plain := range u.Append {
		if made.append[i], err = a.message(bytes.Clone(plain), k); err != nil {
			return nil, fmt.Errorf("appended message %d: %w", i, err)
		}
	}
	for i, id := range u.Evict {
		made.evict[i] = a.hash(id)
	}
	return made, nil
}

// message checks an encoded message, and keeps its bytes.
func (a *Adapter) message(plain []byte, k *known) (*message, error) {
	if len(plain) > record.MaxPlain {
		return nil, fmt.Errorf("%w: %w", sds.ErrTooLarge, record.ErrTooLarge)
	}
	m := a.bare(plain, k)
	return &m, m.inspect(a)
}

// bare is a message whose bytes are not looked into yet.
func (a *Adapter) bare(plain []byte, k *known) message {
	if m := k.find(plain); m != nil {
		return message{plain: plain, sum: m.sum, content: m.content}
	}
	sum := sha256.Sum256(plain)
	return message{plain: plain, sum: sum, content: a.hash(string(sum[:]))}
}

func (m *message) inspect(a *Adapter) error {
	if m.info != nil {
		return nil
	}
	info, err := sds.InspectMessage(m.plain)
	if err != nil {
		return err
	}
	m.info = &messageInfo{info.MessageID, a.hash(info.MessageID), info.LamportTimestamp, info.SenderID}
	return nil
}

func (a *Adapter) pack(plain, dictionary []byte) ([]byte, error) {
	packed, err := a.codec.Pack(plain, dictionary)
	if errors.Is(err, record.ErrTooLarge) {
		err = fmt.Errorf("%w: %w", sds.ErrTooLarge, err)
	}
	return packed, err
}

// compareIDs orders ids by their bytes.
func compareIDs(x, y string) int { return strings.Compare(x, y) }
