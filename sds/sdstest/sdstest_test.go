package sdstest

import (
	"testing"

	"github.com/sdsaws/sdsaws/sds"
)

// processes is a Harness of stores in memory.
type processes struct {
	*place
	of    func(m *memory) bytesOnly
	other string // the name of the other participant
}

func (p processes) Open(*testing.T) Store      { return whole{p.of(newMemory(p.place, "one"))} }
func (p processes) OpenOther(*testing.T) Store { return whole{p.of(newMemory(p.place, p.other))} }
func (p processes) Durable() bool              { return true }

func right(m *memory) bytesOnly { return m }

func TestARightStorePasses(t *testing.T) {
	Run(t, func(*testing.T) Harness { return processes{newPlace(), right, "another"} })
}

// fiveOperations hides what a store has beside them.
type fiveOperations struct{ sds.Persistence }

type persistences func() sds.Persistence

func (open persistences) Open(*testing.T) sds.Persistence { return open() }

func TestFiveOperationsAreEnough(t *testing.T) {
	RunPersistence(t, func(*testing.T) PersistenceHarness {
		p := newPlace()
		return persistences(func() sds.Persistence { return fiveOperations{whole{newMemory(p, "one")}} })
	})
}
