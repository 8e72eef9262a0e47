package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/sdsaws/sdsaws/store"
)

// Stage implements store.Log.
func (s *Store) Stage(ctx context.Context, key store.Key, prev store.CommitID, messages []store.Message) error {
	if err := s.Limits(key).Check(store.Head{}, messages); err != nil {
		return fmt.Errorf("embedded: stage: %w", err)
	}
	return s.conditional(ctx, "stage", key, prev, func(tx *sql.Tx, _ *store.Head) error {
		return insert(ctx, tx, key, prev[:], messages)
	})
}

// Unstage implements store.Log, all at once.
func (s *Store) Unstage(ctx context.Context, key store.Key) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		h, err := readHead(ctx, tx, key)
		if err != nil {
			return err
		}
		if h == nil {
			h = &store.Head{}
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM message WHERE namespace = ? AND channel = ? AND offset >= ?
			AND staged IS NOT NULL AND staged != ?`,
			blob(key.Namespace), blob(key.Channel), number(h.Next), h.CommitID[:])
		return err
	})
	if err != nil {
		return fmt.Errorf("embedded: unstage: %w", err)
	}
	return nil
}

// pageSize is how many messages a page has.
const pageSize = 1000

// Page implements store.Log.
func (s *Store) Page(ctx context.Context, key store.Key, from, to uint64) ([]store.Message, uint64, error) {
	if from >= to {
		return nil, from, ctx.Err()
	}
	page, err := query(ctx, s.db, scanMessage, "SELECT "+messageColumns+` FROM message
		WHERE namespace = ? AND channel = ? AND offset BETWEEN ? AND ? ORDER BY offset LIMIT ?`,
		blob(key.Namespace), blob(key.Channel), number(from), number(to-1), pageSize)
	if err != nil || len(page) < pageSize {
		return page, to, err
	}
	return page, page[pageSize-1].Offset + 1, nil
}

// Find implements store.Log.
func (s *Store) Find(ctx context.Context, key store.Key, id string) (*store.Head, []store.Message, error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, nil, fmt.Errorf("embedded: find: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // it has only read
	h, err := readHead(ctx, tx, key)
	if err != nil || h == nil || h.Origin == h.Next {
		return h, nil, err
	}
	found, err := query(ctx, tx, scanMessage, "SELECT "+messageColumns+` FROM message
		WHERE namespace = ? AND channel = ? AND id = ? AND offset BETWEEN ? AND ? ORDER BY offset`,
		blob(key.Namespace), blob(key.Channel), blob(id), number(h.Origin), number(h.Next-1))
	return h, found, err
}

// AddSegment implements store.Log.
func (s *Store) AddSegment(ctx context.Context, key store.Key, origin uint64, seg store.Segment) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		h, err := readHead(ctx, tx, key)
		if err != nil {
			return err
		}
		if h == nil || h.Origin != origin {
			return &store.ConflictError{Current: h}
		}
		done, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO segment (namespace, channel, start, stop, body)
			VALUES (?, ?, ?, ?, ?)`,
			blob(key.Namespace), blob(key.Channel), number(seg.From), number(seg.To), seg.Body)
		return affected(done, err, store.ErrExists)
	})
	if err != nil {
		return fmt.Errorf("embedded: add segment: %w", err)
	}
	return nil
}

// affected returns otherwise when a write has found no row.
func affected(done sql.Result, err, otherwise error) error {
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return otherwise
}

// ReplaceSegment implements store.Log.
func (s *Store) ReplaceSegment(ctx context.Context, key store.Key, seg store.Segment) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `UPDATE segment SET stop = ?, body = ?
			WHERE namespace = ? AND channel = ? AND start = ?`,
			number(seg.To), seg.Body, blob(key.Namespace), blob(key.Channel), number(seg.From))
		return affected(done, err, store.ErrNotFound)
	})
	if err != nil {
		return fmt.Errorf("embedded: replace segment: %w", err)
	}
	return nil
}

type scanOne func(dest ...any) error

func scanSegment(scan scanOne) (seg store.Segment, err error) {
	err = scan((*offset)(&seg.From), (*offset)(&seg.To), &seg.Body)
	return seg, err
}

// Segments implements store.Log.
func (s *Store) Segments(ctx context.Context, key store.Key, from uint64, limit int) ([]store.Segment, error) {
	return query(ctx, s.db, func(r *sql.Rows) (store.Segment, error) { return scanSegment(r.Scan) },
		`SELECT start, stop, body FROM segment
		WHERE namespace = ? AND channel = ? AND start >= ? ORDER BY start LIMIT ?`,
		blob(key.Namespace), blob(key.Channel), number(from), limit)
}

// LastSegment implements store.Log.
func (s *Store) LastSegment(ctx context.Context, key store.Key, below uint64) (*store.Segment, error) {
	seg, err := scanSegment(s.db.QueryRowContext(ctx, `SELECT start, stop, body FROM segment
		WHERE namespace = ? AND channel = ? AND start < ? ORDER BY start DESC LIMIT 1`,
		blob(key.Namespace), blob(key.Channel), number(below)).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("embedded: last segment: %w", named(err))
	}
	return &seg, nil
}

// DeleteSegments implements store.Log.
func (s *Store) DeleteSegments(ctx context.Context, key store.Key, below uint64) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM segment WHERE namespace = ? AND channel = ? AND start < ?",
			blob(key.Namespace), blob(key.Channel), min(number(below), math.MaxInt64))
		return err
	})
	if err != nil {
		return fmt.Errorf("embedded: delete segments: %w", err)
	}
	return nil
}
