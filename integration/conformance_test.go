package integration_test

import (
	"context"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/sds/sdstest"
	"github.com/sdsaws/sdsaws/store"
	"github.com/sdsaws/sdsaws/store/storetest"
)

func TestDynamoKeepsWhatStorePromises(t *testing.T) {
	clock := storetest.NewClock()
	b := resources(t, &dynamo.Options{Now: clock.Now})
	storetest.TestLog(t, func(*testing.T) store.Log { return b })
	storetest.TestHints(t, func(*testing.T) store.Hints { return b }, clock)
}

func TestAdapterOnDynamoKeepsTheContract(t *testing.T) {
	b := resources(t, nil)
	for name, d := range map[string]sdsaws.Durability{
		"committed": sdsaws.Committed, "accepted": sdsaws.Accepted,
	} {
		t.Run(name, func(t *testing.T) {
			sdstest.Run(t, func(t *testing.T) sdstest.Harness { return &participant{b, t.Name(), d} })
		})
	}
}

// participant is an sdstest.Harness over tables that many share.
type participant struct {
	b          onAWS
	name       string
	durability sdsaws.Durability
}

func (p *participant) Open(t *testing.T) sdstest.Store      { return p.open(t, p.name) }
func (p *participant) OpenOther(t *testing.T) sdstest.Store { return p.open(t, p.name+"/other") }
func (p *participant) Durable() bool                        { return p.durability == sdsaws.Committed }

func (p *participant) open(t *testing.T, namespace string) sdstest.Store {
	a, err := sdsaws.New(p.b.backend(), &sdsaws.Options{Namespace: namespace, Durability: p.durability})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) }) // it may be fenced
	return a
}
