package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sdsaws/sdsaws/store"
)

// archive is a store.Archive in a directory, one file an object.
type archive struct{ root string }

// Archive returns the archive in the directory "archive" of the store. A file appears
// under its name when it is whole and on the disk. There are no versions. Nothing is created before
// the first Put.
func (s *Store) Archive() store.Archive { return s.objects() }

func (s *Store) objects() *archive { return &archive{root: filepath.Join(s.dir, "archive")} }

// path returns the file of an object. No two names have the same one, and none lies outside the
// archive: a name is taken as it is or refused, never cleaned.
func (a *archive) path(name string) (string, error) {
	if !fs.ValidPath(name) || name == "." || strings.HasPrefix(name, ".") || strings.ContainsFunc(name, foreign) {
		return "", fmt.Errorf("embedded: archive: %q is no name of an object", name)
	}
	return filepath.Join(a.root, filepath.FromSlash(name)), nil
}

// foreign reports whether a character is none that names of objects consist of: see [store.Object].
// Among the others are some that file systems take for something else, as Windows the backslash.
func foreign(c rune) bool {
	return (c < 'a' || 'z' < c) && (c < 'A' || 'Z' < c) && (c < '0' || '9' < c) && !strings.ContainsRune("-_.=/", c)
}

// Put implements store.Archive: it writes another file, syncs it, and links it to its name.
func (a *archive) Put(ctx context.Context, name string, body []byte) (store.Object, error) {
	o := store.Object{Name: name, Size: int64(len(body))}
	path, err := a.path(name)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = a.put(path, body)
	}
	if errors.Is(err, fs.ErrExist) {
		stored, failed := os.ReadFile(path) //nolint:gosec // path has made it
		switch {
		case failed != nil:
			err = failed
		case bytes.Equal(stored, body):
			return o, nil
		default:
			o.Size, err = int64(len(stored)), store.ErrExists
		}
	}
	if err != nil {
		return o, fmt.Errorf("embedded: archive: put %q: %w", name, err)
	}
	return o, nil
}

func (a *archive) put(path string, body []byte) (err error) {
	if err := a.mkdir(a.partial()); err != nil {
		return err
	}
	f, err := os.CreateTemp(a.partial(), "*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(body)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	for range 10 { // a delete may remove the directory while it is empty
		if err = a.mkdir(dir); err == nil {
			err = os.Link(f.Name(), path) // fails where there is one
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// partial is the directory of files that aren't whole yet. Opening the store empties it.
func (a *archive) partial() string { return filepath.Join(a.root, ".partial") }

// mkdir creates a directory so that it lasts.
func (a *archive) mkdir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if dir != a.root {
		if err := a.mkdir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// Get implements store.Archive.
func (a *archive) Get(ctx context.Context, o store.Object) ([]byte, error) {
	path, err := a.path(o.Name)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	b, err := read(path, o.Size)
	if errors.Is(err, fs.ErrNotExist) {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("embedded: archive: get %q: %w", o.Name, err)
	}
	return b, nil
}

// read reads a file, which must have size bytes unless that is 0.
func read(path string, size int64) ([]byte, error) {
	if size == 0 {
		return os.ReadFile(path) //nolint:gosec // path has made it
	}
	f, err := os.Open(path) //nolint:gosec // path has made it
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.Size() != size {
		return nil, fmt.Errorf("%w: %d bytes, not %d", store.ErrSize, info.Size(), size)
	}
	b := make([]byte, size)
	_, err = io.ReadFull(f, b)
	return b, err
}

// List implements store.Archive.
func (a *archive) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		var all []store.Object
		start := a.root
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			folder, err := a.path(prefix[:i])
			if err != nil {
				yield(store.Object{}, err)
				return
			}
			start = folder
		}
		err := filepath.WalkDir(start, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // deleted meanwhile, or never there
			}
			if err == nil {
				err = ctx.Err()
			}
			if err == nil && path == a.partial() {
				return fs.SkipDir
			}
			if err != nil || d.IsDir() {
				return err
			}
			relative, err := filepath.Rel(a.root, path)
			if err != nil {
				return err
			}
			name := filepath.ToSlash(relative)
			if !strings.HasPrefix(name, prefix) {
				return nil
			}
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil {
				all = append(all, store.Object{Name: name, Size: info.Size()})
			}
			return err
		})
		if err != nil {
			yield(store.Object{}, fmt.Errorf("embedded: archive: list: %w", err))
			return
		}
		slices.SortFunc(all, func(x, y store.Object) int { return strings.Compare(x.Name, y.Name) })
		for _, o := range all {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// Delete implements store.Archive. Directories that get empty go too: their names tell of
// channels.
func (a *archive) Delete(ctx context.Context, objects ...store.Object) error {
	touched := map[string]bool{}
	for _, o := range objects {
		path, err := a.path(o.Name)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		err = os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("embedded: archive: delete %q: %w", o.Name, err)
		}
		touched[filepath.Dir(path)] = true
	}
	for dir := range touched {
		for dir != a.root && os.Remove(dir) == nil { // fails when it isn't empty
			dir = filepath.Dir(dir)
		}
		if err := syncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("embedded: archive: delete: %w", err)
		}
	}
	return nil
}
