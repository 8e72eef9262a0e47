package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/sdsaws/sdsaws/store"
)

var errFault = errors.New("injected")

// TestFaultsOfWrites has one fault at the second commit of a channel, whose first has
// created its head.
func TestFaultsOfWrites(t *testing.T) {
	hold := make(chan struct{})
	close(hold)
	for name, c := range map[string]struct {
		fault  Fault
		want   error
		landed bool
	}{
		"refused":  {Fault{Refuse: errFault}, errFault, false},
		"lost":     {Fault{Lose: errFault}, errFault, true},
		"part":     {Fault{Part: errFault}, errFault, false},
		"conflict": {Fault{Conflict: true}, store.ErrConflict, false},
		"twice":    {Fault{Twice: true}, store.ErrConflict, true},
		"late":     {Fault{Late: errFault, Hold: hold}, errFault, true},
		"held":     {Fault{Hold: hold}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			m, key := &Memory{}, store.Key{Namespace: "n", Channel: "c"}
			f := &Faulty{Hook: At(2, c.fault)}
			commit := func(prev, id byte) error {
				return f.Log(m).Commit(t.Context(), key, store.CommitID{prev},
					store.Head{CommitID: store.CommitID{id}, Body: []byte{1}}, nil)
			}
			if err := commit(0, 1); err != nil {
				t.Fatal(err)
			}
			if err := commit(1, 2); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			f.Wait()
			h, err := m.Head(t.Context(), key)
			if err != nil || (h.CommitID[0] == 2) != c.landed {
				t.Errorf("head %v, %v, want landed: %v", h, err, c.landed)
			}
			if f.Writes() != 2 || f.Reads() != 0 {
				t.Errorf("%d writes, %d reads", f.Writes(), f.Reads())
			}
		})
	}
}

// TestAPartOfABatch deletes a part of what is asked for.
func TestAPartOfABatch(t *testing.T) {
	m, a := &Memory{}, &MemoryArchive{}
	f := &Faulty{}
	f.Hook = func(string, int) Fault { return Fault{Part: errFault} }
	if err := f.Hints(m).SetHints(t.Context(), "n", []store.Hint{{MessageID: "1"}, {MessageID: "2"}}, 0); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	if _, _, _, hints := m.Count("n"); hints != 1 {
		t.Errorf("%d hints, want 1 of 2", hints)
	}
	objects := []store.Object{{Name: "1"}, {Name: "2"}}
	for _, o := range objects {
		if _, err := a.Put(t.Context(), o.Name, []byte(o.Name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Archive(a).Delete(t.Context(), objects...); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	if n, err := listed(t.Context(), a); n != 1 || err != nil {
		t.Errorf("%d objects, want 1 of 2: %v", n, err)
	}
}

func listed(ctx context.Context, a store.Archive) (n int, err error) {
	for _, err := range a.List(ctx, "") {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func TestFaultsOfReads(t *testing.T) {
	a := &MemoryArchive{}
	for _, name := range []string{"1", "2"} {
		if _, err := a.Put(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		fault Fault
		n     int
	}{
		"refused": {Fault{Refuse: errFault}, 0},
		"part":    {Fault{Part: errFault}, 1},
		"lost":    {Fault{Lose: errFault}, 2},
	} {
		f := &Faulty{ReadHook: At(1, c.fault)}
		if n, err := listed(t.Context(), f.Archive(a)); n != c.n || !errors.Is(err, errFault) {
			t.Errorf("%s: %d listed, %v, want %d", name, n, err, c.n)
		}
		f = &Faulty{ReadHook: At(1, c.fault)}
		if _, err := f.Archive(a).Get(t.Context(), store.Object{Name: "1"}); c.fault.Part == nil && !errors.Is(err, errFault) {
			t.Errorf("%s: get: %v", name, err)
		}
	}
}
