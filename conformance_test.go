package sdsaws_test

import (
	"context"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/sds/sdstest"
)

// TestTheAdapterKeepsTheContract runs the conformance suite over both backends that need
// no server; integration runs it over DynamoDB and S3.
func TestTheAdapterKeepsTheContract(t *testing.T) {
	backends := map[string]func(t *testing.T) sdsaws.Backend{
		"memory": func(*testing.T) sdsaws.Backend {
			m := newMemory()
			return sdsaws.Backend{Log: m, Hints: m, Archive: &m.archive}
		},
		"embedded": func(t *testing.T) sdsaws.Backend {
			s, err := embedded.Open(t.TempDir(), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return sdsaws.Backend{Log: s, Hints: s, Archive: s.Archive()}
		},
	}
	for backend, open := range backends {
		for name, d := range map[string]sdsaws.Durability{
			"committed": sdsaws.Committed, "accepted": sdsaws.Accepted,
		} {
			t.Run(backend+"/"+name, func(t *testing.T) {
				sdstest.Run(t, func(t *testing.T) sdstest.Harness { return &participant{open(t), d} })
			})
		}
	}
}

// participant is an sdstest.Harness.
type participant struct {
	backend    sdsaws.Backend
	durability sdsaws.Durability
}

func (p *participant) Open(t *testing.T) sdstest.Store      { return p.open(t, "one") }
func (p *participant) OpenOther(t *testing.T) sdstest.Store { return p.open(t, "another") }
func (p *participant) Durable() bool                        { return p.durability == sdsaws.Committed }

func (p *participant) open(t *testing.T, namespace string) sdstest.Store {
	a, err := sdsaws.New(p.backend, &sdsaws.Options{Namespace: namespace, Durability: p.durability})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) }) // it may be fenced
	return a
}
