package sdsaws_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/store"
)

// neighbour fills the tests' channel of a participant with something of everything: history,
// segments, values, what waits to be archived and what was staged and put in vain, and hints.
func neighbour(t *testing.T, m *memory, namespace string) *kept {
	t.Helper()
	k, a := &kept{}, openAs(t, m, namespace, quiet)
	k.commit(t, a, largeMeta(1), update(append(names(0, 12), "L0", "L1"), []string{"m0", "m1", "L0"}))
	if _, err := a.Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
	k.commit(t, a, largeMeta(2), update([]string{"L2", "m12"}, []string{"m2", "m3", "L1"}))
	for _, id := range append(names(0, 12), "in", "L0", "another") {
		if err := a.SetRetrievalHint(t.Context(), id, []byte(namespace+" "+id)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.setFault(at("commit", refuse))
	err := a.Commit(t.Context(), channel, meta(3), update(append(names(500, 100), "L3"), nil))
	m.setFault(func(string) fault { return none })
	if !errors.Is(err, errInjected) {
		t.Fatal(err)
	}
	return k
}

// everything tells all that is stored of a participant's channel, and the hints of its messages.
func (m *memory) everything(t *testing.T, namespace string) string {
	t.Helper()
	key := store.Key{Namespace: namespace, Channel: channel}
	var all []string
	m.Edit(key, func(h *store.Head, messages map[uint64]store.Message) {
		all = append(all, fmt.Sprintf("head %x", *h))
		for _, s := range messages {
			all = append(all, fmt.Sprintf("message %x", s))
		}
	})
	for _, s := range m.manifests(t, key) {
		all = append(all, fmt.Sprintf("manifest %x", s))
	}
	for _, kind := range []record.Kind{record.Segments, record.Values} {
		for o, err := range m.archive.MemoryArchive.List(t.Context(), record.Folder(kind, key)) {
			if err != nil {
				t.Fatal(err)
			}
			body, err := m.archive.MemoryArchive.Get(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprintf("object %s %x", o.Name, body))
		}
	}
	hints, err := m.Hints(t.Context(), namespace, append(names(0, 600), "in", "L0", "another"))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hints {
		all = append(all, fmt.Sprintf("hint %s %s", h.MessageID, h.Value))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// TestTwoNamespacesWithOneChannelName: whatever one participant does with its channel, nothing
// of another's channel of the same name changes, and none of its hints.
func TestTwoNamespacesWithOneChannelName(t *testing.T) {
	for _, other := range []string{"bob", "alic", "alice/" + channel} {
		t.Run(other, func(t *testing.T) {
			m := newMemory()
			theirs := neighbour(t, m, other)
			k := neighbour(t, m, "alice")
			before := m.everything(t, other)
			a := open(t, m, quiet)
			untouched := func(what string, err error) {
				t.Helper()
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if m.everything(t, other) != before {
					t.Fatalf("%s has changed what another participant has stored", what)
				}
			}
			_, err := a.Sweep(t.Context(), channel, nil)
			untouched("a sweep", err)
			loadsExactly(t, a, k)
			untouched("a load", nil)
			goesOn(t, a, k)
			untouched("a commit", nil)
			_, err = a.Archive(t.Context(), channel)
			untouched("archiving", err)
			if err := a.SetRetrievalHint(t.Context(), "m5", []byte("new")); err != nil {
				t.Fatal(err)
			}
			untouched("a hint", a.Flush(t.Context()))
			yieldsExactly(t, a, k)
			untouched("a drop", a.DropChannel(t.Context(), channel))
			if hints, err := m.Hints(t.Context(), "alice", append(names(0, 12), "in", "L0")); err != nil || len(hints) > 0 {
				t.Fatalf("%d hints are left, %v", len(hints), err)
			}
			_, err = a.Sweep(t.Context(), channel, &sdsaws.SweepOptions{OnlyDue: true})
			untouched("a sweep of what is dropped", err)
			m.judgeOf(t, other, theirs)
			m.nothingAtAll(t, key)
		})
	}
}
