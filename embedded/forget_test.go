package embedded_test

import (
	"errors"
	"testing"

	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/store"
)

func TestForgetRemovesTheHeadThatItWasTold(t *testing.T) {
	s, err := embedded.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key, id := store.Key{Namespace: "a", Channel: "\xff"}, store.CommitID{1}
	if err := s.Commit(t.Context(), key, store.CommitID{}, store.Head{CommitID: id, Body: []byte{1}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget(t.Context(), key, store.CommitID{2}); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("with another commit id: %v", err)
	}
	if err := s.Forget(t.Context(), key, id); err != nil {
		t.Fatal(err)
	}
	if h, err := s.Head(t.Context(), key); h != nil || err != nil {
		t.Fatalf("%v, %v", h, err)
	}
}
