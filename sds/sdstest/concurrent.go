package sdstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/sdsaws/sdsaws/sds"
)

const (
	goroutines = 8
	rounds     = 8 // of each goroutine
)

func manyChannels(e *env) {
	s := e.open()
	chats := make([]*chat, goroutines)
	for i := range chats {
		chats[i] = e.chat(fmt.Sprint(i))
	}
	e.together(goroutines, func(i int) error {
		c := chats[i]
		for n := range rounds {
			u := sds.EncodedHistoryUpdate{
				Append: one(fmt.Sprint(n), int64(n), fmt.Sprint("of ", i)), Evict: []string{fmt.Sprint(n - 2)}}
			err := s.SaveEncodedMeta(e.ctx, c.id, c.snapshot())
			if err == nil {
				err = s.UpdateEncodedHistory(e.ctx, c.id, u)
			}
			if err == nil {
				err = s.SetRetrievalHint(e.ctx, fmt.Sprint(i), []byte("hint"))
			}
			if err == nil && n%3 == i%3 {
				err = s.Flush(e.ctx)
			}
			if err != nil {
				return err
			}
			c.update(u)
			got, err := s.LoadEncodedChannel(e.ctx, c.id)
			if err != nil {
				return err
			}
			if d := c.difference(got); d != "" {
				return fmt.Errorf("goroutine %d: %s", i, d)
			}
		}
		return nil
	})
	e.ok(s.Flush(e.ctx))
	s = e.open()
	for _, c := range chats {
		c.holds(s)
	}
}

// oneChannel has goroutines write to one channel: some pairs in one call, some in two,
// which others may come between. All messages are there, and one of the snapshots.
func oneChannel(e *env) {
	s := e.open()
	c := e.chat("c")
	var metas [][]byte
	for i := range goroutines * rounds {
		metas = append(metas, snapshot(int64(i)))
		c.update(sds.EncodedHistoryUpdate{Append: one(fmt.Sprint(i), int64(i%5), "x")})
	}
	e.together(goroutines, func(i int) error {
		var errs []error
		for n := range rounds {
			k := i*rounds + n
			u := sds.EncodedHistoryUpdate{Append: one(fmt.Sprint(k), int64(k%5), "x")}
			if i%2 == 0 {
				errs = append(errs, s.CommitEncoded(e.ctx, c.id, metas[k], u))
			} else {
				errs = append(errs, s.SaveEncodedMeta(e.ctx, c.id, metas[k]),
					s.UpdateEncodedHistory(e.ctx, c.id, u))
			}
			if n == i {
				errs = append(errs, loadEncoded(s, e.ctx, c.id), s.Flush(e.ctx))
			}
		}
		return errors.Join(errs...)
	})
	e.ok(s.Flush(e.ctx))
	s = e.open()
	got := c.load(s)
	for _, meta := range metas {
		if bytes.Equal(meta, got.Meta) {
			c.meta = meta
		}
	}
	c.holds(s)
}

const promptly = 10 * time.Second

// within calls f and expects it to return promptly.
func (e *env) within(what string, f func() error) error {
	e.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	limit := time.NewTimer(promptly)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-limit.C:
		e.Fatalf("%s has not returned %v after its context ended", what, promptly)
		return nil
	}
}

// settled expects the channel to load as one of the states, flushed and anew.
func (c *chat) settled(what string, s Store, may ...state) {
	c.e.Helper()
	c.e.ok(s.Flush(c.e.ctx))
	got := c.load(s)
	for _, m := range may {
		if m.difference(got) == "" {
			c.state = m
			c.holds(c.e.open())
			c.holds(s)
			return
		}
	}
	c.e.Fatalf("%s: neither done nor not: %s", what, may[0].difference(got))
}

func cancelledBefore(e *env) {
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	s := e.open()
	c := e.chat("c")
	c.pair(s, some("a"))
	before := c.clone()
	saved, updated := before.clone(), before.clone()
	saved.meta = snapshot(99)
	updated.update(sds.EncodedHistoryUpdate{Append: some("z")})
	done := updated.clone()
	done.meta = saved.meta
	for _, a := range append(operations(ctx, c.id), e.others(ctx)...) {
		e.fails(a.what, e.within(a.what, func() error { return a.call(s) }), context.Canceled)
		c.settled(a.what, s, before, saved, updated, done, emptyState())
		if c.difference(sds.EncodedChannelData{Meta: before.meta, Messages: before.sorted()}) == "" {
			continue
		}
		_ = s.DropChannel(e.ctx, c.id) // what counts is what then loads
		u := sds.EncodedHistoryUpdate{Append: some("a")}
		e.ok(s.SaveEncodedMeta(e.ctx, c.id, before.meta))
		e.ok(s.UpdateEncodedHistory(e.ctx, c.id, u))
		c.state = before.clone()
	}
}

// cancelledDuring cancels a commit after more and more steps of the scheduler.
func cancelledDuring(e *env) {
	s := e.open()
	c := e.chat("c")
	c.holds(s)
	for i := range 30 {
		before := c.clone()
		after := before.clone()
		u := stepUpdate(i)
		after.meta = snapshot(int64(i))
		after.update(u)
		ctx, cancel := context.WithCancel(e.ctx)
		go func() {
			for range i * i {
				runtime.Gosched()
			}
			cancel()
		}()
		err := e.within("CommitEncoded", func() error { return s.CommitEncoded(ctx, c.id, after.meta, u) })
		cancel()
		if err == nil {
			c.settled("CommitEncoded", s, after)
			continue
		}
		e.fails("CommitEncoded", err, context.Canceled)
		c.settled("CommitEncoded", s, after, before)
	}
}
