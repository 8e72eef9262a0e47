package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// cleanUp is how long the doctor tries to remove what it has made.
const cleanUp = 30 * time.Second

// trip is a round trip with a channel of its own.
type trip struct {
	o       *opened
	adapter *sdsaws.Adapter
	channel string
	meta    *sds.ChannelMeta
	update  *sds.HistoryUpdate
}

// roundTrip stores a channel, reads it in each way that there is, and removes it.
func (r *diagnosis) roundTrip(o *opened) {
	// So small that one of the messages goes to the archive by itself.
	a, err := sdsaws.New(sdsaws.Backend{Log: o.backend, Hints: o.backend, Archive: o.backend.Archive()},
		&sdsaws.Options{Namespace: o.namespace, Region: o.backend.region, InlineBytes: 1 << 10, GroupSize: 1})
	if err != nil {
		r.fail("round trip", err, "")
		return
	}
	t := &trip{o: o, adapter: a, channel: "sdsaws-doctor-" + strings.ToLower(rand.Text())}
	t.meta = &sds.ChannelMeta{SchemaVersion: sds.SchemaVersion, LamportTimestamp: 3}
	noise := make([]byte, 4<<10)
	_, _ = rand.Read(noise) // never fails
	t.update = &sds.HistoryUpdate{Evict: []string{t.id(0)}}
	for i := range 3 {
		t.update.Append = append(t.update.Append, sds.Message{MessageID: t.id(i), ChannelID: t.channel,
			LamportTimestamp: int64(i + 1), Content: noise[:i*2<<10]})
	}
	var took []string
	for _, step := range []struct {
		name string
		do   func(ctx context.Context) error
	}{{"commit", t.commit}, {"load", t.load}, {"archive", t.archive}, {"history", t.history}, {"hint", t.hint}} {
		begin := time.Now()
		if err = step.do(r.ctx); err != nil {
			r.fail("round trip", fmt.Errorf("%s: %w", step.name, err), "")
			break
		}
		took = append(took, fmt.Sprintf("%s %d ms", step.name, time.Since(begin).Milliseconds()))
	}
	if err == nil {
		r.ok("round trip", "%s", strings.Join(took, ", "))
	}
	r.remove(t)
}

func (t *trip) id(i int) string { return fmt.Sprintf("%s-%d", t.channel, i) }

func (t *trip) commit(ctx context.Context) error {
	return t.adapter.Commit(ctx, t.channel, t.meta, t.update)
}

var errOther = errors.New("what was read isn't what was stored")

func (t *trip) load(ctx context.Context) error {
	d, err := t.o.adapter.LoadChannel(ctx, t.channel)
	if err != nil {
		return err
	}
	if d.Meta.LamportTimestamp != 3 || len(d.MessageHistory) != 2 ||
		!bytes.Equal(d.MessageHistory[1].Content, t.update.Append[2].Content) {
		return errOther
	}
	return nil
}

func (t *trip) archive(ctx context.Context) error {
	s, err := t.o.adapter.Sweep(ctx, t.channel, nil)
	if err == nil && s.Messages != 1 {
		err = fmt.Errorf("%d messages were archived instead of 1", s.Messages)
	}
	return err
}

func (t *trip) history(ctx context.Context) error {
	i := 0
	for m, err := range t.o.adapter.History(ctx, t.channel, sdsaws.HistoryRange{}) {
		if err != nil {
			return err
		}
		if m.MessageID != t.id(i) || m.Live != (i > 0) {
			return errOther
		}
		i++
	}
	if i != 3 {
		return errOther
	}
	return nil
}

func (t *trip) hint(ctx context.Context) error {
	if err := t.adapter.SetRetrievalHint(ctx, t.id(2), []byte("hint")); err != nil {
		return err
	}
	if err := t.adapter.Flush(ctx); err != nil && !errors.Is(err, sds.ErrFenced) { // as it should be: it was loaded elsewhere
		return err
	}
	found, err := t.o.adapter.Hints(ctx, t.id(2))
	if err == nil && string(found[t.id(2)]) != "hint" {
		err = errOther
	}
	return err
}

// remove removes all that was made, after an interrupt too.
func (r *diagnosis) remove(t *trip) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(r.ctx), cleanUp)
	defer stop()
	_ = t.adapter.Close(ctx) // it was fenced, and its hint is stored, or told
	err := t.o.adapter.DropChannel(ctx, t.channel)
	if err == nil {
		err = t.forget(ctx)
	}
	if err != nil {
		r.fail("clean up", err, fmt.Sprintf("channel %s of namespace %s may be left: sdsaws drop %s",
			quoteID(t.channel), quoteID(t.o.namespace), t.channel))
		return
	}
	r.ok("clean up", "all of it is removed again")
}

// forget removes the head that a drop leaves.
func (t *trip) forget(ctx context.Context) error {
	key := store.Key{Namespace: t.o.namespace, Channel: t.channel}
	head, err := t.o.backend.Head(ctx, key)
	if err != nil || head == nil {
		return err
	}
	return t.o.backend.forget(ctx, key, head.CommitID)
}
