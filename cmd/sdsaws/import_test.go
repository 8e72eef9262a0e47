package main

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/internal/replay"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
	"github.com/sdsaws/sdsaws/store/storetest"
)

// narrow is a backend with other limits.
type narrow struct {
	replay.Backend
	message, head, hint int
}

func (n narrow) HintLimit(string) int { return n.hint }

func (n narrow) Limits(store.Key) store.Limits {
	return store.Limits{Messages: math.MaxInt, HeadBytes: n.head, MessageBytes: n.message, CommitBytes: math.MaxInt}
}

// TestNothingIsDroppedForWhatDoesNotFit: import --replace looks for the limits of the backend first.
func TestNothingIsDroppedForWhatDoesNotFit(t *testing.T) {
	dir, name := t.TempDir(), filepath.Join(t.TempDir(), "out")
	if err := fill(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		cmd := rootCommand()
		cmd.SetOut(t.Output())
		cmd.SetArgs(append(args, "--backend", "embedded:"+dir, "--namespace", "alice"))
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	run("hint", "set", "id-7", "0123456789")
	run("export", "chat", "--output", name)
	for what, n := range map[string]narrow{
		"hint":    {message: math.MaxInt, head: math.MaxInt, hint: 20},
		"id":      {message: 1303, head: math.MaxInt, hint: math.MaxInt},
		"head":    {message: math.MaxInt, head: 50, hint: math.MaxInt},
		"nothing": {message: math.MaxInt, head: math.MaxInt, hint: math.MaxInt},
	} {
		t.Run(what, func(t *testing.T) {
			s, err := embedded.Open(dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			before, err := s.Head(t.Context(), store.Key{Namespace: "alice", Channel: "chat"})
			if err != nil {
				t.Fatal(err)
			}
			n.Backend = s
			a, err := sdsaws.New(sdsaws.Backend{Log: n, Hints: n, Archive: n.Archive()}, &sdsaws.Options{Namespace: "alice"})
			if err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = file.Close() }()
			i := &importer{ctx: t.Context(), f: importFlags{replace: true}, file: file}
			if err := i.verify(); err != nil {
				t.Fatal(err)
			}
			i.report = newTransferReport(rootCommand(), t.Output(), "import", true, 1)
			err = i.into(&opened{backend: &backend{Backend: n}, adapter: a, namespace: "alice"})
			if what == "nothing" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, sds.ErrTooLarge) || !strings.Contains(err.Error(), "nothing is imported") {
				t.Errorf("%v, want an ErrTooLarge, and that nothing is imported", err)
			}
			after, err := s.Head(t.Context(), store.Key{Namespace: "alice", Channel: "chat"})
			if err != nil || after == nil || after.CommitID != before.CommitID {
				t.Errorf("the channel was changed, %v", err)
			}
		})
	}
}

func TestHintsAreReadBack(t *testing.T) {
	adapter := func(m *storetest.Memory) *sdsaws.Adapter {
		a, err := sdsaws.New(sdsaws.Backend{Log: m, Hints: m, Archive: &storetest.MemoryArchive{}}, &sdsaws.Options{Namespace: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Close(t.Context()) })
		return a
	}
	one, other := &storetest.Memory{}, &storetest.Memory{}
	for name, c := range map[string]struct {
		back *storetest.Memory
		ok   bool
	}{"there": {one, true}, "lost": {other, false}} {
		h := &hintWriter{ctx: t.Context(), to: adapter(one), back: adapter(c.back), waiting: map[string][]byte{}}
		if err := h.set(store.Hint{MessageID: "a", Value: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if err := h.flush(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAFileThatAppearedMeanwhileStays: an export doesn't take its name.
func TestAFileThatAppearedMeanwhileStays(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out")
	f, err := newOutputFile(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("another's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.sync(), f.appear()); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("%v, want that it is there", err)
	}
	if err := f.discard(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "another's" {
		t.Errorf("%q, %v", b, err)
	}
}
