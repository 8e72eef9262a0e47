package embedded

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/sdsaws/sdsaws/store"
)

// HintLimit is SQLite's, for a value.
func (s *Store) HintLimit(string) int { return maxValue }

// SetHints implements store.Hints, all or none.
func (s *Store) SetHints(ctx context.Context, namespace string, hints []store.Hint, ttl time.Duration) error {
	var expires any
	if ttl > 0 {
		expires = s.now().Add(ttl).UnixMilli()
	}
	for _, h := range hints {
		if n := len(h.MessageID) + len(h.Value); n > maxValue {
			return fmt.Errorf("embedded: %w: hint of %d bytes, at most %d fit", store.ErrTooLarge, n, maxValue)
		}
	}
	err := s.write(ctx, func(tx *sql.Tx) error {
		for _, h := range hints {
			_, err := tx.ExecContext(ctx,
				"INSERT OR REPLACE INTO hint (namespace, id, value, expires) VALUES (?, ?, ?, ?)",
				blob(namespace), blob(h.MessageID), append([]byte{}, h.Value...), expires)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("embedded: write hints: %w", err)
	}
	return nil
}

// Hints implements store.Hints. Expired hints stay until they are set again or deleted.
func (s *Store) Hints(ctx context.Context, namespace string, ids []string) ([]store.Hint, error) {
	var all []store.Hint
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		found, err := query(ctx, s.db, func(r *sql.Rows) (store.Hint, error) {
			h := store.Hint{MessageID: id}
			return h, r.Scan(&h.Value)
		}, "SELECT value FROM hint WHERE namespace = ? AND id = ? AND (expires IS NULL OR expires > ?)",
			blob(namespace), blob(id), s.now().UnixMilli())
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// DeleteHints implements store.Hints, all or none.
func (s *Store) DeleteHints(ctx context.Context, namespace string, ids []string) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		for _, id := range ids {
			_, err := tx.ExecContext(ctx, "DELETE FROM hint WHERE namespace = ? AND id = ?",
				blob(namespace), blob(id))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("embedded: delete hints: %w", err)
	}
	return nil
}
