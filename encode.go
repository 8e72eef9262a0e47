package sdsaws

import (
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

// snapshot checks and packs an encoded snapshot.
func (a *Adapter) snapshot(meta []byte) (*snapshot, error) {
	if err := sds.ValidateMeta(meta); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	packed, err := a.pack(meta)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	return &snapshot{packed: packed, sum: sha256.Sum256(meta)}, nil
}

// update checks, packs and copies an update.
func (a *Adapter) update(u sds.EncodedHistoryUpdate) (*update, error) {
	packed := &update{append: make([]*message, len(u.Append)), evict: make([]idHash, len(u.Evict))}
	var err error
	for i, plain := range u.Append {
		if packed.append[i], err = a.message(plain); err != nil {
			return nil, fmt.Errorf("appended message %d: %w", i, err)
		}
	}
	for i, id := range u.Evict {
		packed.evict[i] = a.hash(id)
	}
	return packed, nil
}

// message checks and packs an encoded message.
func (a *Adapter) message(plain []byte) (*message, error) {
	info, err := sds.InspectMessage(plain)
	if err != nil {
		return nil, err
	}
	packed, err := a.pack(plain)
	if err != nil {
		return nil, err
	}
	return &message{
		id:      info.MessageID,
		hash:    a.hash(info.MessageID),
		lamport: info.LamportTimestamp,
		sum:     sha256.Sum256(plain),
		packed:  packed,
	}, nil
}

func (a *Adapter) pack(plain []byte) ([]byte, error) {
	packed, err := a.codec.Pack(plain)
	if errors.Is(err, record.ErrTooLarge) {
		err = fmt.Errorf("%w: %w", sds.ErrTooLarge, err)
	}
	return packed, err
}

// compareIDs orders ids by their bytes.
func compareIDs(x, y string) int { return strings.Compare(x, y) }
