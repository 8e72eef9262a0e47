package sdsaws_test

import (
	"context"
	"errors"
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
