package storetest

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/sdsaws/sdsaws/store"
)

// MemoryArchive is a store.Archive in memory, without versions. Its zero value is empty and
// ready.
type MemoryArchive struct {
	mu      sync.Mutex // protects objects
	objects map[string][]byte
}

var _ store.Archive = (*MemoryArchive)(nil)

// Put implements store.Archive.
func (m *MemoryArchive) Put(ctx context.Context, name string, body []byte) (store.Object, error) {
	o := store.Object{Name: name, Size: int64(len(body))}
	if err := ctx.Err(); err != nil {
		return o, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.objects == nil {
		m.objects = map[string][]byte{}
	}
	if stored, ok := m.objects[name]; ok && !bytes.Equal(stored, body) {
		o.Size = int64(len(stored))
		return o, fmt.Errorf("memory: put %q: %w", name, store.ErrExists)
	}
	m.objects[name] = bytes.Clone(body)
	return o, nil
}

// CopyFrom makes m hold the objects of other, and no others.
func (m *MemoryArchive) CopyFrom(other *MemoryArchive) {
	other.mu.Lock()
	defer other.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects = make(map[string][]byte, len(other.objects))
	for name, body := range other.objects {
		m.objects[name] = bytes.Clone(body)
	}
}

// Edit damages the objects whose names begin with prefix: change returns what is stored
// instead; a nil change removes them.
func (m *MemoryArchive) Edit(prefix string, change func(body []byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, body := range m.objects {
		switch {
		case !strings.HasPrefix(name, prefix):
		case change == nil:
			delete(m.objects, name)
		default:
			m.objects[name] = change(body)
		}
	}
}

// Get implements store.Archive.
func (m *MemoryArchive) Get(ctx context.Context, o store.Object) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.objects[o.Name]
	if !ok {
		return nil, fmt.Errorf("memory: get %q: %w", o.Name, store.ErrNotFound)
	}
	if o.Size > 0 && o.Size != int64(len(b)) {
		return nil, fmt.Errorf("memory: get %q: %w: %d bytes, not %d", o.Name, store.ErrSize, len(b), o.Size)
	}
	return bytes.Clone(b), nil
}

// List implements store.Archive.
func (m *MemoryArchive) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(store.Object{}, err)
			return
		}
		m.mu.Lock()
		var all []store.Object
		for _, name := range slices.Sorted(maps.Keys(m.objects)) {
			if strings.HasPrefix(name, prefix) {
				all = append(all, store.Object{Name: name, Size: int64(len(m.objects[name]))})
			}
		}
		m.mu.Unlock()
		for _, o := range all {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// Delete implements store.Archive.
func (m *MemoryArchive) Delete(ctx context.Context, objects ...store.Object) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range objects {
		delete(m.objects, o.Name)
	}
	return nil
}
