package storetest

import (
	"testing"

	"github.com/sdsaws/sdsaws/store"
)

func TestMemory(t *testing.T) {
	TestLog(t, func(*testing.T) store.Log { return &Memory{} })
	clock := NewClock()
	TestHints(t, func(*testing.T) store.Hints { return &Memory{Now: clock.Now} }, clock)
}

// limited has limits like those of a real backend.
func limited() *Memory {
	return &Memory{MaxHint: 150_000, Max: store.Limits{
		Messages: 99, HeadBytes: 350_000, MessageBytes: 150_000, CommitBytes: 1_000_000}}
}

func TestMemoryWithLimits(t *testing.T) {
	m := limited() // one that all tests share
	TestLog(t, func(*testing.T) store.Log { return m })
	TestHints(t, func(*testing.T) store.Hints { return m })
}

func TestMemoryArchive(t *testing.T) {
	m := &MemoryArchive{}
	TestArchive(t, func(*testing.T) store.Archive { return m })
}
