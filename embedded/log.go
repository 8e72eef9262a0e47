package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/sdsaws/sdsaws/store"
)

// maxValue is below what SQLite lets a row have, 10^9 bytes.
const maxValue = 500 << 20

// Limits are SQLite's, for a value, and none for a commit.
func (s *Store) Limits(store.Key) store.Limits {
	return store.Limits{
		Messages:     math.MaxInt,
		HeadBytes:    maxValue,
		MessageBytes: maxValue,
		CommitBytes:  math.MaxInt,
	}
}

const (
	headColumns    = "commit_id, epoch, writer, region, origin, start, next, body"
	messageColumns = "offset, id, lamport, body, staged"
)

type scanner interface{ Scan(dest ...any) error }

// offset reads an offset, which is never negative.
type offset uint64

func (o *offset) Scan(v any) error {
	n, ok := v.(int64)
	if !ok || n < 0 {
		return fmt.Errorf("%w: %v is no offset", store.ErrMalformed, v)
	}
	*o = offset(n)
	return nil
}

func setID(id *store.CommitID, b []byte) bool { return copy(id[:], b) == len(id) && len(b) == len(id) }

func scanHead(r scanner) (*store.Head, error) {
	var h store.Head
	var id, writer, region []byte
	var epoch int64
	err := r.Scan(&id, &epoch, &writer, &region,
		(*offset)(&h.Origin), (*offset)(&h.Start), (*offset)(&h.Next), &h.Body)
	if err == nil && !setID(&h.CommitID, id) {
		err = &store.MalformedError{Item: "head", Err: fmt.Errorf("%w: commit id", store.ErrMalformed)}
	}
	h.Epoch, h.Writer, h.Region = uint64(epoch), string(writer), string(region) //nolint:gosec // two's complement
	return &h, err
}

func scanMessage(r *sql.Rows) (store.Message, error) {
	var m store.Message
	var id, staged []byte
	err := r.Scan((*offset)(&m.Offset), &id, &m.Lamport, &m.Body, &staged)
	if m.ID = string(id); err == nil && staged != nil && !setID(&m.Staged, staged) {
		err = fmt.Errorf("message at offset %d: %w: staged", m.Offset, store.ErrMalformed)
	}
	return m, err
}

type rowQueryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readHead(ctx context.Context, q rowQueryer, key store.Key) (*store.Head, error) {
	h, err := scanHead(q.QueryRowContext(ctx,
		"SELECT "+headColumns+" FROM head WHERE namespace = ? AND channel = ?",
		blob(key.Namespace), blob(key.Channel)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("embedded: read head: %w", named(err))
	}
	return h, nil
}

// Head implements store.Log.
func (s *Store) Head(ctx context.Context, key store.Key) (*store.Head, error) {
	return readHead(ctx, s.db, key)
}

// Load implements store.Log. Head and messages are of one moment.
func (s *Store) Load(ctx context.Context, key store.Key, from uint64) (*store.Head, []store.Message, error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, nil, fmt.Errorf("embedded: load: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // it has only read
	h, err := readHead(ctx, tx, key)
	if err != nil || h == nil {
		return nil, nil, err
	}
	if from = max(from, h.Start); from >= h.Next {
		return h, nil, nil
	}
	messages, err := query(ctx, tx, scanMessage, "SELECT "+messageColumns+` FROM message
		WHERE namespace = ? AND channel = ? AND offset BETWEEN ? AND ? ORDER BY offset`,
		blob(key.Namespace), blob(key.Channel), number(from), number(h.Next-1))
	return h, messages, err
}

// number keeps an offset within SQLite's integers. No log gets that long.
func number(offset uint64) int64 { return int64(min(offset, math.MaxInt64)) } //nolint:gosec // bounded

// Messages implements store.Log.
func (s *Store) Messages(ctx context.Context, key store.Key, offsets []uint64) ([]store.Message, error) {
	var all []store.Message
	seen := make(map[uint64]bool, len(offsets))
	for _, o := range offsets {
		if seen[o] {
			continue
		}
		seen[o] = true
		found, err := query(ctx, s.db, scanMessage, "SELECT "+messageColumns+` FROM message
			WHERE namespace = ? AND channel = ? AND offset = ?`,
			blob(key.Namespace), blob(key.Channel), number(o))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// Commit implements store.Log.
func (s *Store) Commit(
	ctx context.Context, key store.Key, prev store.CommitID, head store.Head, messages []store.Message,
) error {
	if err := s.Limits(key).Check(head, messages); err != nil {
		return fmt.Errorf("embedded: commit: %w", err)
	}
	return s.conditional(ctx, "commit", key, prev, func(tx *sql.Tx, _ *store.Head) error {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO head (namespace, channel, "+headColumns+
			") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			blob(key.Namespace), blob(key.Channel), head.CommitID[:], int64(head.Epoch), //nolint:gosec // two's complement
			blob(head.Writer), blob(head.Region),
			number(head.Origin), number(head.Start), number(head.Next), head.Body)
		if err != nil {
			return err
		}
		return insert(ctx, tx, key, nil, messages)
	})
}

// insert writes messages; staged is the commit id that they are staged under, or nil.
func insert(ctx context.Context, tx *sql.Tx, key store.Key, staged []byte, messages []store.Message) error {
	if len(messages) == 0 {
		return nil
	}
	put, err := tx.PrepareContext(ctx, "INSERT OR REPLACE INTO message (namespace, channel, "+
		messageColumns+") VALUES (?, ?, ?, ?, ?, ?, ?)")
	if err != nil {
		return err
	}
	defer put.Close()
	for _, m := range messages {
		if _, err := put.ExecContext(ctx, blob(key.Namespace), blob(key.Channel),
			number(m.Offset), blob(m.ID), m.Lamport, m.Body, staged); err != nil {
			return err
		}
	}
	return nil
}

// conditional runs f in a transaction when the head's commit id is prev.
func (s *Store) conditional(
	ctx context.Context, what string, key store.Key, prev store.CommitID, f func(*sql.Tx, *store.Head) error,
) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		current, err := readHead(ctx, tx, key)
		if err != nil {
			return err
		}
		if current == nil && prev != (store.CommitID{}) || current != nil && current.CommitID != prev {
			return &store.ConflictError{Current: current}
		}
		return f(tx, current)
	})
	if err != nil {
		return fmt.Errorf("embedded: %s: %w", what, err)
	}
	return nil
}

// Claim implements store.Log.
func (s *Store) Claim(ctx context.Context, key store.Key, prev store.CommitID, c store.Claim) error {
	return s.conditional(ctx, "claim", key, prev, func(tx *sql.Tx, current *store.Head) error {
		if current == nil {
			return &store.ConflictError{}
		}
		_, err := tx.ExecContext(ctx, `UPDATE head SET commit_id = ?, writer = ?, region = ?, epoch = ?
			WHERE namespace = ? AND channel = ?`,
			c.CommitID[:], blob(c.Writer), blob(c.Region), int64(current.Epoch+1), //nolint:gosec // two's complement
			blob(key.Namespace), blob(key.Channel))
		return err
	})
}

// Delete implements store.Log, all at once.
func (s *Store) Delete(ctx context.Context, key store.Key, from, to uint64) error {
	if from >= to {
		return nil
	}
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx,
			"DELETE FROM message WHERE namespace = ? AND channel = ? AND offset BETWEEN ? AND ?",
			blob(key.Namespace), blob(key.Channel), number(from), number(to-1))
		return err
	})
	if err != nil {
		return fmt.Errorf("embedded: delete messages: %w", err)
	}
	return nil
}
