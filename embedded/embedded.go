// Package embedded keeps the logs and retrieval hints of package store on one machine: in
// a directory with an SQLite database, without cgo and without a server.
//
// A directory belongs to one process at a time. What a write has returned for survives
// a crash of the process and of the machine: the database is in WAL mode with
// synchronous=FULL.
package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite" // and the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sdsaws/sdsaws/store"
)

var (
	// ErrInUse says that another process, or another Store of this one, has the directory
	// open.
	ErrInUse = errors.New("directory is in use by another process: close it there, or use another directory")

	// ErrNewer says that the database was written by a newer version.
	ErrNewer = errors.New("database is of a newer version: update sdsaws")
)

// Options change what a Store does. Nil and the zero value are the defaults.
type Options struct {
	// Now replaces the machine's clock where hints expire, for tests.
	Now func() time.Time
}

// Store is a store.Log and a store.Hints in a directory. It is safe for concurrent
// use; writes are done one after another.
type Store struct {
	dir    string
	locked *os.File
	db     *sql.DB
	now    func() time.Time
}

var (
	_ store.Log   = (*Store)(nil)
	_ store.Hints = (*Store)(nil)
)

const schemaVersion = 1

// Keys are compared as bytes. Numbers that can pass SQLite's 63 bits are stored as their
// two's complement; offsets never do.
const schema = `
CREATE TABLE head (
	namespace BLOB NOT NULL, channel BLOB NOT NULL,
	commit_id BLOB NOT NULL, epoch INTEGER NOT NULL,
	writer BLOB NOT NULL, region BLOB NOT NULL,
	origin INTEGER NOT NULL, start INTEGER NOT NULL, next INTEGER NOT NULL,
	body BLOB NOT NULL,
	PRIMARY KEY (namespace, channel)) WITHOUT ROWID, STRICT;
CREATE TABLE message (
	namespace BLOB NOT NULL, channel BLOB NOT NULL, offset INTEGER NOT NULL,
	id BLOB NOT NULL, lamport INTEGER NOT NULL, body BLOB NOT NULL,
	staged BLOB, -- under which commit id, until a head takes it in
	UNIQUE (namespace, channel, offset)) STRICT;
CREATE INDEX message_id ON message (namespace, channel, id);
CREATE TABLE segment (
	namespace BLOB NOT NULL, channel BLOB NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
	body BLOB NOT NULL,
	PRIMARY KEY (namespace, channel, start)) WITHOUT ROWID, STRICT;
CREATE TABLE hint (
	namespace BLOB NOT NULL, id BLOB NOT NULL, value BLOB NOT NULL, expires INTEGER,
	UNIQUE (namespace, id)) STRICT;
`

// Open opens the store in a directory, which it creates where needed, readable by its
// owner alone. Close must be called to let another process have it.
func Open(dir string, o *Options) (*Store, error) {
	s := &Store{dir: dir, now: time.Now}
	if o != nil && o.Now != nil {
		s.now = o.Now
	}
	if err := s.open(); err != nil {
		_ = s.Close() // what failed says more
		return nil, fmt.Errorf("embedded: open %q: %w", dir, err)
	}
	return s, nil
}

func (s *Store) open() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	s.locked = f
	if err := lock(f); err != nil {
		return err
	}
	if err := os.RemoveAll(s.objects().partial()); err != nil { // of a process that was killed
		return err
	}
	path, err := filepath.Abs(filepath.Join(s.dir, "sdsaws.sqlite"))
	if err != nil {
		return err
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)"},
		"_txlock": {"immediate"},
	}.Encode()}
	if s.db, err = sql.Open("sqlite", dsn.String()); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(4)
	return s.migrate()
}

// migrate creates the tables of a new database, and refuses one of another version.
func (s *Store) migrate() error {
	return s.write(context.Background(), func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		switch {
		case version > schemaVersion:
			return fmt.Errorf("%w (its version is %d, this one knows %d)", ErrNewer, version, schemaVersion)
		case version == schemaVersion:
			return nil
		}
		if _, err := tx.Exec(schema); err != nil {
			return err
		}
		_, err := tx.Exec(fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
		return err
	})
}

// Close closes the store. Calls that are under way fail. Closing again is no error.
func (s *Store) Close() error {
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	if s.locked != nil {
		_ = unlock(s.locked) // closing it gives the lock back as well, perhaps later
		if closed := s.locked.Close(); !errors.Is(closed, os.ErrClosed) {
			err = errors.Join(err, closed)
		}
	}
	return err
}

// write runs f in a transaction that is durable when write returns nil.
func (s *Store) write(ctx context.Context, f func(*sql.Tx) error) error {
	err := named(s.transact(ctx, f))
	if ended := ctx.Err(); err != nil && ended != nil && !errors.Is(err, ended) {
		err = fmt.Errorf("%w: %w", ended, err) // database/sql tells of its consequences
	}
	return err
}

func (s *Store) transact(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			return errors.Join(err, undo)
		}
		return err
	}
	return tx.Commit()
}

// named makes an error that tells of a damaged database a store.MalformedError.
func named(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	const primary = 0xff // of a result code; the rest says more
	if code := e.Code() & primary; code != sqlite3.SQLITE_CORRUPT && code != sqlite3.SQLITE_NOTADB {
		return err
	}
	return &store.MalformedError{Item: "database", Err: fmt.Errorf(
		"%w, restore the directory from a copy or use another: %w", store.ErrMalformed, err)}
}

// Channels implements store.Log, in the order of the channels' bytes.
func (s *Store) Channels(ctx context.Context, namespace string) iter.Seq2[string, error] {
	return s.names(ctx, "SELECT channel FROM head WHERE namespace = ?1 ORDER BY channel", namespace)
}

// Stored implements store.Log, in the order of the channels' bytes.
func (s *Store) Stored(ctx context.Context, namespace string) iter.Seq2[string, error] {
	return s.names(ctx, `SELECT channel FROM head WHERE namespace = ?1
		UNION SELECT channel FROM message WHERE namespace = ?1
		UNION SELECT channel FROM segment WHERE namespace = ?1 ORDER BY channel`, namespace)
}

// names yields the first column of what is asked for of a namespace.
func (s *Store) names(ctx context.Context, statement, namespace string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		names, err := query(ctx, s.db, func(r *sql.Rows) (string, error) {
			var channel []byte
			err := r.Scan(&channel)
			return string(channel), err
		}, statement, blob(namespace))
		if err != nil {
			yield("", err)
			return
		}
		for _, name := range names {
			if !yield(name, nil) {
				return
			}
		}
	}
}

// Size returns how many bytes are stored of a channel: the bodies of its head,
// messages and manifests, and the ids of messages.
func (s *Store) Size(ctx context.Context, key store.Key) (int64, error) {
	var n int64
	err := s.db.QueryRowContext(ctx, `SELECT
		(SELECT coalesce(sum(length(body)), 0) FROM head WHERE namespace = ?1 AND channel = ?2) +
		(SELECT coalesce(sum(length(id) + length(body)), 0) FROM message WHERE namespace = ?1 AND channel = ?2) +
		(SELECT coalesce(sum(length(body)), 0) FROM segment WHERE namespace = ?1 AND channel = ?2)`,
		blob(key.Namespace), blob(key.Channel)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("embedded: size: %w", named(err))
	}
	return n, nil
}

// blob turns a string of arbitrary bytes into a parameter.
func blob(s string) []byte { return append([]byte{}, s...) }

type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// query returns what scan makes of each row.
func query[T any](
	ctx context.Context, q queryer, scan func(*sql.Rows) (T, error), text string, args ...any,
) (all []T, err error) {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("embedded: %w", named(err))
	}
	defer rows.Close()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("embedded: %w", named(err))
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("embedded: %w", named(err))
	}
	return all, nil
}
