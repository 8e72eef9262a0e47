package sdsaws_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

// A commit runs in the goroutine of the caller who waits for it. These tests say that others, and the
// adapter, don't depend on that caller.

// stuckAfterOne returns an adapter that holds a channel with clock 1 and one message, and whose next
// commits get no answer.
func stuckAfterOne(t *testing.T) (*memory, *sdsaws.Adapter) {
	t.Helper()
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	if err := a.Commit(t.Context(), channel, meta(1), appends("one")); err != nil {
		t.Fatal(err)
	}
	m.setFault(at("commit", stuck))
	return m, a
}

// TestACallerThatGoesAwayEndsItsWaitAlone: its pair is stored all the same, and so is that of another
// who came meanwhile, and who isn't told of it.
func TestACallerThatGoesAwayEndsItsWaitAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, a := stuckAfterOne(t)
		ctx, leave := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- a.Commit(ctx, channel, meta(2), appends("two")) }()
		synctest.Wait()
		go func() { second <- a.Commit(t.Context(), channel, meta(3), appends("three")) }()
		synctest.Wait()
		m.setFault(func(string) fault { return none })
		leave()
		if err := <-first; !errors.Is(err, sds.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
			t.Errorf("who goes away gets %v, want ErrUnknownOutcome and the end of its context", err)
		}
		if err := <-second; err != nil {
			t.Errorf("who stays gets %v", err)
		}
		loads(t, m, 3, "one", "two", "three")
	})
}

// TestCloseBreaksOffACallersCommit: as any other request that is under way when Close has no time left.
func TestCloseBreaksOffACallersCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a := stuckAfterOne(t)
		done := make(chan error, 1)
		go func() { done <- a.Commit(context.Background(), channel, meta(2), appends("two")) }()
		synctest.Wait()
		ended, end := context.WithCancel(t.Context())
		end()
		if err := a.Close(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("Close: %v, want the end of its context", err)
		}
		if err := <-done; !errors.Is(err, sds.ErrUnknownOutcome) {
			t.Errorf("%v, want ErrUnknownOutcome", err)
		}
	})
}

// TestAPanicInARequestLeavesTheChannelUsable: a caller may recover from what a backend or a client's
// middleware throws. What it has sent is sent again.
func TestAPanicInARequestLeavesTheChannelUsable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, a := stuckAfterOne(t)
		m.mu.Lock()
		m.wait = func() { panic("a middleware") }
		m.fault = nth(1, only("commit"), hold, func(string) {})
		m.mu.Unlock()
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is swallowed")
				}
			}()
			_ = a.Commit(t.Context(), channel, meta(2), appends("two")) // panics
		}()
		if err := a.Commit(t.Context(), channel, meta(3), appends("three")); err != nil {
			t.Error(err)
		}
		loads(t, m, 3, "one", "two", "three")
	})
}
