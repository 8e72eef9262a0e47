package torture_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sdsaws/sdsaws/internal/ordeal"
	"github.com/sdsaws/sdsaws/internal/torture"
	"github.com/sdsaws/sdsaws/store"
)

// TestWeakBackendsAreFound plays on backends that don't keep a promise each: the model must see it.
func TestWeakBackendsAreFound(t *testing.T) {
	for name, guard := range map[string]func(store.Log) store.Log{
		"commits without a condition":        func(l store.Log) store.Log { return blindCommits{l} },
		"claims that do nothing":             func(l store.Log) store.Log { return noClaims{l} },
		"commits without their last message": func(l store.Log) store.Log { return shortCommits{l} },
		"deletes of one more":                func(l store.Log) store.Log { return longDeletes{l} },
		"deletes that do nothing":            func(l store.Log) store.Log { return noDeletes{l} },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range 300 {
				var v *torture.Violation
				if errors.As(playOne(seed, guard), &v) {
					t.Logf("run %d: %s", seed+1, v.What)
					return
				}
			}
			t.Error("300 runs have not shown it")
		})
	}
}

// playOne plays one run on a backend in memory.
func playOne(seed int, guard func(store.Log) store.Log) error {
	return rapid.Custom(func(r *rapid.T) error {
		return torture.Play(r, torture.Options{Counts: &torture.Counts{},
			Open: func(now func() time.Time) (ordeal.Site, string, error) {
				s, _, err := openMemory(now, guard)
				return s, "alice", err
			}})
	}).Example(seed)
}

func current(ctx context.Context, l store.Log, key store.Key) store.CommitID {
	if h, err := l.Head(ctx, key); err == nil && h != nil {
		return h.CommitID
	}
	return store.CommitID{}
}

type blindCommits struct{ store.Log }

func (l blindCommits) Commit(ctx context.Context, key store.Key, _ store.CommitID, head store.Head, all []store.Message) error {
	return l.Log.Commit(ctx, key, current(ctx, l.Log, key), head, all)
}

type noClaims struct{ store.Log }

func (noClaims) Claim(context.Context, store.Key, store.CommitID, store.Claim) error { return nil }

type shortCommits struct{ store.Log }

func (l shortCommits) Commit(ctx context.Context, key store.Key, prev store.CommitID, head store.Head, all []store.Message) error {
	return l.Log.Commit(ctx, key, prev, head, all[:max(0, len(all)-1)])
}

type longDeletes struct{ store.Log }

func (l longDeletes) Delete(ctx context.Context, key store.Key, from, to uint64) error {
	return l.Log.Delete(ctx, key, from, to+1)
}

type noDeletes struct{ store.Log }

func (noDeletes) Delete(context.Context, store.Key, uint64, uint64) error { return nil }
