package sdsaws_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

// readers are the calls on a channel that the contract's suite doesn't know.
func readers(a *sdsaws.Adapter, ctx context.Context, id string) map[string]error { //nolint:revive // as methods have it
	_, message := a.Message(ctx, id, "x")
	_, sweep := a.Sweep(ctx, id, nil)
	_, archive := a.Archive(ctx, id)
	_, check := a.Check(ctx, id, nil)
	var history error
	for _, err := range a.History(ctx, id, sdsaws.HistoryRange{}) {
		history = errors.Join(history, err)
	}
	return map[string]error{"Message": message, "Sweep": sweep, "Archive": archive, "Check": check, "History": history}
}

func channels(a *sdsaws.Adapter, ctx context.Context) (all error) { //nolint:revive // likewise
	for _, err := range a.Channels(ctx) {
		all = errors.Join(all, err)
	}
	return all
}

func TestReadersRefuseWhatTheContractRefuses(t *testing.T) {
	a := open(t, newMemory(), sdsaws.Options{})
	var none context.Context
	expect := func(what string, want error, got map[string]error) {
		t.Helper()
		for name, err := range got {
			var named *sds.ChannelError
			if !errors.Is(err, want) || !errors.As(err, &named) {
				t.Errorf("%s: %s: %v, want %v and the channel", what, name, err, want)
			}
		}
	}
	expect("nil context", sds.ErrInvalidArgument, readers(a, none, channel))
	expect("empty channel id", sds.ErrInvalidArgument, readers(a, t.Context(), ""))
	if err := channels(a, none); !errors.Is(err, sds.ErrInvalidArgument) {
		t.Errorf("nil context: Channels: %v", err)
	}
	if err := a.Close(none); !errors.Is(err, sds.ErrInvalidArgument) {
		t.Errorf("nil context: Close: %v", err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("after Close", sds.ErrClosed, readers(a, t.Context(), channel))
	if err := channels(a, t.Context()); !errors.Is(err, sds.ErrClosed) {
		t.Errorf("after Close: Channels: %v", err)
	}
}

// TestAnIDThatFitsNoItemIsRefused: wherever its message is, before anything is accepted. What comes
// later is stored.
func TestAnIDThatFitsNoItemIsRefused(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	far := sds.Message{MessageID: strings.Repeat("x", m.Limits(key).MessageBytes)}
	outgoing, incoming, cached := meta(1), meta(1), meta(1)
	outgoing.OutgoingBuffer = []sds.OutgoingMessage{{Message: far}}
	incoming.IncomingBuffer = []sds.IncomingMessage{{Message: far}}
	cached.IncomingRepairBuffer = []sds.IncomingRepair{{MessageID: "m", HistoryEntry: sds.HistoryEntry{MessageID: "m"},
		CachedMessage: []byte(encoded(t, &far))}}
	for name, err := range map[string]error{
		"appended": a.Commit(t.Context(), channel, meta(1), &sds.HistoryUpdate{Append: []sds.Message{far}}),
		"outgoing": a.SaveChannelMeta(t.Context(), channel, outgoing),
		"incoming": a.SaveChannelMeta(t.Context(), channel, incoming),
		"cached":   a.SaveChannelMeta(t.Context(), channel, cached),
	} {
		if !errors.Is(err, sds.ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", name, err)
		}
	}
	if err := a.Commit(t.Context(), channel, meta(2), appends("m")); err != nil {
		t.Fatal(err)
	}
	loads(t, m, 2, "m")
}
