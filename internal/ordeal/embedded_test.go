package ordeal_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/internal/ordeal"
	"github.com/sdsaws/sdsaws/internal/ordeal/ordealtest"
	"github.com/sdsaws/sdsaws/store"
)

// limited is a log with DynamoDB's limits, so that commits are staged on any backend.
type limited struct{ store.Log }

func (limited) Limits(store.Key) store.Limits { return ordeal.DynamoLimits }

// newEmbedded returns a site over a store in a directory of its own.
func newEmbedded(t *testing.T) ordeal.Site {
	t.Helper()
	dir := t.TempDir()
	s, err := embedded.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	// A connection of its own looks at the database.
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, "sdsaws.sqlite"))+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return ordeal.NewSite(sdsaws.Backend{Log: limited{s}, Hints: s, Archive: s.Archive()},
		func(ctx context.Context, namespace string) (map[string]int, error) {
			n := map[string]int{}
			for _, kind := range []string{"head", "message", "segment", "hint"} {
				var rows int
				err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+kind+" WHERE namespace = ?", //nolint:gosec // ours
					[]byte(namespace)).Scan(&rows)
				if err != nil {
					return nil, err
				}
				n[kind] = rows
			}
			var err error
			n["object"], err = ordeal.Objects(ctx, s.Archive(), namespace)
			return n, err
		})
}

// TestEmbedded plays a part of the scenarios on SQLite and a directory.
func TestEmbedded(t *testing.T) {
	part := 200
	if raceDetector {
		part = 30
	}
	ordealtest.Run(t, part, newEmbedded(t), newEmbedded(t))
}
