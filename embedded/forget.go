package embedded

import (
	"context"
	"database/sql"

	"github.com/sdsaws/sdsaws/store"
)

// Forget removes the head of a channel whose commit id is id, the last thing that a drop leaves of
// it. It is for channels whose id never comes back, with nobody at work on them.
func (s *Store) Forget(ctx context.Context, key store.Key, id store.CommitID) error {
	return s.conditional(ctx, "forget", key, id, func(tx *sql.Tx, _ *store.Head) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM head WHERE namespace = ? AND channel = ?",
			blob(key.Namespace), blob(key.Channel))
		return err
	})
}
