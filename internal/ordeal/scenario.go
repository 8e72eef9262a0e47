package ordeal

import (
	"context"
	"errors"
	"fmt"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

// step is one operation of the scenario.
type step struct {
	name    string
	channel string
	change  *change           // what it does to the channel
	drop    bool              // it empties the channel
	hints   map[string]string // what it sets
	run     func(ctx context.Context, w *worker) error

	open   bool // only accepted: stored when a later step is done
	stores bool // what the channel's steps have changed is stored when it is done
	free   bool // makes no request when nothing fails
	blind  bool // it claims the channel and commits, whatever others have done
}

// Two channels of a namespace, with bytes that no key has.
const (
	chat  = "/group/1/\x00chat"
	other = "\xff\xfe /%2F..\n"
)

// A value above inlineBytes, packed, goes to the archive.
const (
	inlineBytes  = 500
	largeContent = 900
)

func small(ids ...string) (all []sds.Message) {
	for _, id := range ids {
		all = append(all, sds.Message{MessageID: id, LamportTimestamp: int64(len(id)), Content: []byte("content of " + id)})
	}
	return all
}

func large(ids ...string) (all []sds.Message) {
	for _, id := range ids {
		all = append(all, sds.Message{MessageID: id, LamportTimestamp: 7, Content: noise(id, largeContent)})
	}
	return all
}

func numbered(prefix string, from, to int) (ids []string) {
	for i := from; i <= to; i++ {
		ids = append(ids, fmt.Sprint(prefix, i))
	}
	return ids
}

func join[T any](parts ...[]T) (all []T) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// clocked returns a snapshot that no other step has; a large one has a message in a buffer.
func clocked(clock int64, large bool) *sds.ChannelMeta {
	m := &sds.ChannelMeta{SchemaVersion: sds.SchemaVersion, LamportTimestamp: clock}
	if large {
		m.IncomingBuffer = []sds.IncomingMessage{{Message: sds.Message{
			MessageID: parked, Content: noise(fmt.Sprint("buffer", clock), largeContent)}}}
	}
	return m
}

// parked is the id of the messages in large snapshots, which are never history.
const parked = "buffered"

// script puts the steps of a scenario together.
type script struct {
	steps []step
	clock int64
}

func (s *script) add(st step) { s.steps = append(s.steps, st) }

// blind says that the last step is by a process that has not loaded the channel.
func (s *script) blind() { s.steps[len(s.steps)-1].blind = true }

func (s *script) snapshot(large bool) *sds.ChannelMeta {
	s.clock++
	return clocked(s.clock, large)
}

func (s *script) commit(channel, what string, big bool, appends []sds.Message, evicts ...string) {
	c := &change{s.snapshot(big), appends, evicts}
	s.add(step{name: "commit " + what, channel: channel, change: c, stores: true,
		run: func(ctx context.Context, w *worker) error {
			return w.main.a.Commit(ctx, channel, c.meta, c.update())
		}})
}

// pair is a snapshot and the update after it: stored when it is done, or, open, accepted.
func (s *script) pair(channel, what string, open bool, appends []sds.Message, evicts ...string) {
	c := &change{s.snapshot(false), appends, evicts}
	s.add(step{name: "save and update " + what, channel: channel, change: c, open: open, stores: !open,
		run: func(ctx context.Context, w *worker) error {
			if err := w.main.a.SaveChannelMeta(ctx, channel, c.meta); err != nil {
				return err
			}
			return w.main.a.UpdateHistory(ctx, channel, c.update())
		}})
}

func (s *script) save(channel string, meta *sds.ChannelMeta) {
	s.add(step{name: "save a snapshot", channel: channel, change: &change{meta: meta}, open: true,
		run: func(ctx context.Context, w *worker) error { return w.main.a.SaveChannelMeta(ctx, channel, meta) }})
}

func (s *script) flush(channel string, free bool) {
	s.add(step{name: "flush", channel: channel, stores: true, free: free,
		run: func(ctx context.Context, w *worker) error { return w.main.a.Flush(ctx) }})
}

func (s *script) load(channel string) {
	s.add(step{name: "load", channel: channel,
		run: func(ctx context.Context, w *worker) error { return w.load(ctx, channel) }})
}

func (s *script) hint(channel string, free bool, ids ...string) {
	hints := map[string]string{}
	for _, id := range ids {
		hints[id] = "hint of " + id
	}
	s.add(step{name: fmt.Sprintf("set %d hints", len(ids)), channel: channel, hints: hints, free: free,
		run: func(ctx context.Context, w *worker) error {
			for _, id := range ids {
				if err := w.main.a.SetRetrievalHint(ctx, id, []byte(hints[id])); err != nil {
					return err
				}
			}
			return w.main.a.Flush(ctx)
		}})
}

func (s *script) readHints(channel string, ids ...string) {
	s.add(step{name: "read hints", channel: channel,
		run: func(ctx context.Context, w *worker) error { return w.checkHints(ctx, w.main, ids) }})
}

func (s *script) archive(channel string) {
	s.add(step{name: "archive", channel: channel, stores: true,
		run: func(ctx context.Context, w *worker) error {
			_, err := w.main.a.Archive(ctx, channel)
			return err
		}})
}

func (s *script) sweep(channel string, onlyDue bool) {
	s.add(step{name: "sweep by another process", channel: channel,
		run: func(ctx context.Context, w *worker) error {
			_, err := w.helper().a.Sweep(ctx, channel, &sdsaws.SweepOptions{OnlyDue: onlyDue})
			return err
		}})
}

func (s *script) history(channel string) {
	s.add(step{name: "read the history", channel: channel,
		run: func(ctx context.Context, w *worker) error { return w.checkHistory(ctx, w.helper(), channel) }})
}

// message reads a message, by who holds the channel or by another.
func (s *script) message(channel, id string, another bool) {
	s.add(step{name: fmt.Sprintf("read message %q", id), channel: channel,
		run: func(ctx context.Context, w *worker) error {
			reader := w.main
			if another {
				reader = w.helper()
			}
			return w.checkMessage(ctx, reader, channel, id)
		}})
}

func (s *script) drop(channel string) {
	s.add(step{name: "drop", channel: channel, drop: true, stores: true,
		run: func(ctx context.Context, w *worker) error {
			if err := w.main.a.DropChannel(ctx, channel); err != nil || w.isAbandoned() {
				return err
			}
			return w.p.checkDropped(ctx, channel)
		}})
}

func (s *script) check(channel string) {
	s.add(step{name: "check", channel: channel,
		run: func(ctx context.Context, w *worker) error {
			c, err := w.helper().a.Check(ctx, channel, nil)
			if err != nil {
				return err
			}
			return w.findings(c, "in between", sdsaws.Unfinished, sdsaws.Garbage)
		}})
}

// replace lets a new process follow, while the old one doesn't know it yet.
func (s *script) replace(d sdsaws.Durability) {
	s.add(step{name: "start a new process", channel: chat, free: true,
		run: func(_ context.Context, w *worker) error {
			w.old, w.main = w.main, w.p.start(d)
			return nil
		}})
}

// stale lets the process that was replaced commit, twice.
func (s *script) stale(channel string) {
	s.add(step{name: "commit by the process that was replaced", channel: channel,
		run: func(ctx context.Context, w *worker) error {
			for range 2 {
				if w.old == nil || w.old.dead() {
					return nil // it was killed
				}
				c := &change{meta: clocked(1000, false), append: small("of the old process")}
				switch err := w.old.a.Commit(ctx, channel, c.meta, c.update()); {
				case err == nil:
					return w.violate("a process that was replaced has committed")
				case !errors.Is(err, sds.ErrFenced):
					return err
				}
			}
			return nil
		}})
}

func (s *script) channels() {
	s.add(step{name: "list channels", channel: chat,
		run: func(ctx context.Context, w *worker) error { return w.checkChannels(ctx, w.main) }})
}

// scenario returns the steps, which go through every flow of an adapter.
func scenario() []step {
	s := &script{}
	s.load(chat) // creates its head
	s.commit(chat, "a pair", false, small("a1", "a2", "a3", "a4"))
	s.pair(chat, "", false, small("a5"))
	meta := s.snapshot(false)
	s.save(chat, meta)
	s.flush(chat, false)
	s.save(chat, meta)
	s.flush(chat, true)
	s.commit(chat, "claim checks", true, large("big1", "big2"), "a3")
	s.commit(chat, "another large snapshot", true, nil, "a4")
	s.hint(chat, false, "a1", "big1", "buffered", "stray")
	s.hint(chat, true, "a1", "big1", "buffered", "stray")
	s.readHints(chat, "a1", "big1", "buffered", "stray", "none")
	s.commit(chat, "more than one transaction holds", false,
		join(small(numbered("s", 1, 104)...), large("s105", "s106"), small(numbered("s", 107, 112)...)))
	s.hint(chat, false, numbered("s", 1, 30)...)
	s.commit(chat, "evictions, large ones too", false, small("a6"), join(numbered("s", 1, 107), []string{"big1"})...)
	s.commit(other, "without a load", true, small("a1", "\x00", "x/../y", "\xff\xfe"))
	s.blind()
	s.pair(other, "with evictions", false, small("o1"), "x/../y")
	s.hint(other, false, "\x00", "\xff\xfe")
	s.message(other, "\x00", true)

	s.replace(sdsaws.Accepted)
	s.load(chat)
	s.stale(chat)
	s.pair(chat, "1", true, small(numbered("t", 1, 20)...))
	s.pair(chat, "2", true, small(numbered("t", 21, 40)...), "a5")
	s.pair(chat, "3", true, nil, numbered("t", 1, 38)...)
	s.flush(chat, false) // the log is kept bounded, and archived in the background
	s.commit(chat, "other bytes of a live id", false, []sds.Message{{MessageID: "a6", Content: []byte("other")}}, "t39")
	s.history(chat)
	s.message(chat, "a1", false)
	s.message(chat, "s3", false)
	s.message(chat, "big2", true)
	s.message(chat, "none", true)
	s.sweep(chat, false)
	s.commit(chat, "an eviction behind live messages", false, nil, "big2")
	s.archive(chat)
	s.load(chat)
	s.commit(other, "an eviction", false, large("big1"), "\xff\xfe")
	s.blind() // the new process hasn't loaded it
	s.sweep(other, true)
	s.channels()
	s.check(chat)

	s.drop(chat)
	s.load(chat)
	s.commit(chat, "after a drop", true, join(small("a1", "n2", "n3"), large("n1")))
	s.hint(chat, false, "a1", "n1")
	s.commit(chat, "an eviction after a drop", false, small("n4"), "n1", "n2")
	s.commit(chat, "an evicted id again", false, small("n2"), "n3")
	s.archive(chat)
	s.sweep(chat, false)
	s.history(chat)
	s.load(other)
	return s.steps
}
