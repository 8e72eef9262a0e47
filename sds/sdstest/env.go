package sdstest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/sdsaws/sdsaws/sds"
)

// env is what a test of a guarantee works with.
type env struct {
	*testing.T
	ctx       context.Context
	openStore func(t *testing.T) Store
	openOther func(t *testing.T) Store
	durable   bool
	offers    need
}

func (e *env) open() Store {
	e.Helper()
	return e.openStore(e.T)
}

func (e *env) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// fails expects err to be one of want.
func (e *env) fails(what string, err error, want ...error) {
	e.Helper()
	if !slices.ContainsFunc(want, func(w error) bool { return errors.Is(err, w) }) {
		e.Errorf("%s: the error is %q, want one of %q", what, fmt.Sprint(err), want)
	}
}

// together runs n functions at the same time and waits for them.
func (e *env) together(n int, f func(i int) error) {
	e.Helper()
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	e.ok(errors.Join(errs...))
}

// state is what a channel must load as.
type state struct {
	meta    []byte
	history map[string][]byte // encoded messages by id
}

// initialMeta is the snapshot of a channel that has none: schema version 1, Lamport
// timestamp 0.
var initialMeta = []byte{0x08, 0x01, 0x10, 0x00}

func emptyState() state { return state{meta: initialMeta, history: map[string][]byte{}} }

func (s state) clone() state { return state{s.meta, maps.Clone(s.history)} }

func (s state) update(u sds.EncodedHistoryUpdate) {
	for _, b := range u.Append {
		s.history[inspect(b).MessageID] = b
	}
	for _, id := range u.Evict {
		delete(s.history, id)
	}
}

// sorted returns the history in contract order.
func (s state) sorted() [][]byte {
	return slices.SortedFunc(maps.Values(s.history), func(a, b []byte) int {
		x, y := inspect(a), inspect(b)
		return cmp.Or(cmp.Compare(x.LamportTimestamp, y.LamportTimestamp),
			cmp.Compare(x.MessageID, y.MessageID))
	})
}

// difference says in what a loaded channel isn't s; empty: in nothing.
func (s state) difference(got sds.EncodedChannelData) string {
	want := s.sorted()
	same := slices.EqualFunc(got.Messages, want, bytes.Equal)
	switch {
	case !same && slices.Equal(names(got.Messages), names(want)):
		return fmt.Sprintf("messages %q have other bytes", names(want))
	case !same:
		return fmt.Sprintf("the history is %q, want %q", names(got.Messages), names(want))
	case !bytes.Equal(got.Meta, s.meta):
		return fmt.Sprintf("the snapshot is %s, want %s", clip(got.Meta), clip(s.meta))
	}
	return ""
}

// names returns ids and clocks of encoded messages, for people.
func names(messages [][]byte) []string {
	all := make([]string, len(messages))
	for i, b := range messages {
		info, err := sds.InspectMessage(b)
		if all[i] = clip([]byte(info.MessageID)) + fmt.Sprintf("@%d", info.LamportTimestamp); err != nil {
			all[i] = err.Error()
		}
	}
	return all
}

func clip(b []byte) string {
	const shown = 32
	if len(b) > shown {
		return fmt.Sprintf("%q… (%d bytes)", b[:shown], len(b))
	}
	return fmt.Sprintf("%q", b)
}

// chat is a channel, and what it must hold after what was done to it. Each of its
// operations uses a snapshot of its own.
type chat struct {
	e  *env
	id string
	state
	saves int64
}

func (e *env) chat(id string) *chat { return &chat{e: e, id: id, state: emptyState()} }

func (c *chat) snapshot() []byte {
	c.saves++
	c.meta = snapshot(c.saves)
	return c.meta
}

func (c *chat) save(s Store) {
	c.e.Helper()
	c.e.ok(s.SaveEncodedMeta(c.e.ctx, c.id, c.snapshot()))
}

// edit updates the history alone.
func (c *chat) edit(s Store, appended [][]byte, evicted ...string) {
	c.e.Helper()
	u := sds.EncodedHistoryUpdate{Append: appended, Evict: evicted}
	c.e.ok(s.UpdateEncodedHistory(c.e.ctx, c.id, u))
	c.update(u)
}

func (c *chat) pair(s Store, appended [][]byte, evicted ...string) {
	c.e.Helper()
	c.save(s)
	c.edit(s, appended, evicted...)
}

func (c *chat) commit(s Store, appended [][]byte, evicted ...string) {
	c.e.Helper()
	u := sds.EncodedHistoryUpdate{Append: appended, Evict: evicted}
	c.e.ok(s.CommitEncoded(c.e.ctx, c.id, c.snapshot(), u))
	c.update(u)
}

func (c *chat) drop(s Store) {
	c.e.Helper()
	c.e.ok(s.DropChannel(c.e.ctx, c.id))
	c.state = emptyState()
}

func (c *chat) load(s Store) sds.EncodedChannelData {
	c.e.Helper()
	got, err := s.LoadEncodedChannel(c.e.ctx, c.id)
	c.e.ok(err)
	return got
}

// holds expects the channel to load from s as it must.
func (c *chat) holds(s Store) {
	c.e.Helper()
	if d := c.difference(c.load(s)); d != "" {
		c.e.Fatalf("channel %s: %s", clip([]byte(c.id)), d)
	}
}

// holdsAnew flushes and expects the channel to load from a new store as it must.
func (c *chat) holdsAnew(s Store) Store {
	c.e.Helper()
	c.e.ok(s.Flush(c.e.ctx))
	fresh := c.e.open()
	c.holds(fresh)
	return fresh
}
