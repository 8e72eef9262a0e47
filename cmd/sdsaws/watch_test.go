package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// watching returns a watcher of a store that others use, and one of these.
func watching(t *testing.T) (*watcher, *sdsaws.Adapter) {
	t.Helper()
	s, a, err := openAlice(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	reader, err := sdsaws.New(sdsaws.Backend{Log: s, Hints: s, Archive: s.Archive()}, &sdsaws.Options{Namespace: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	return &watcher{o: &opened{&backend{Backend: s}, reader, "alice"}}, a
}

func appended(t *testing.T, a *sdsaws.Adapter, channel string, n int) {
	t.Helper()
	u := &sds.HistoryUpdate{}
	for i := range n {
		m := newMessage(channel, fmt.Sprint(time.Now().UnixNano(), i), 1)
		u.Append = append(u.Append, m)
	}
	if err := a.UpdateHistory(t.Context(), channel, u); err != nil {
		t.Fatal(err)
	}
}

// TestAWatcherSeesWhatHasChanged between two looks.
func TestAWatcherSeesWhatHasChanged(t *testing.T) {
	w, a := watching(t)
	appended(t, a, "busy", 1)
	appended(t, a, "idle", 1)
	for _, c := range w.look(t.Context()).channels {
		if c.change != nil {
			t.Fatalf("changes at the first look: %+v", c.change)
		}
	}
	first := w.before["busy"].at
	appended(t, a, "busy", 3)
	appended(t, a, "new", 1)
	if _, err := w.o.adapter.LoadChannel(t.Context(), "idle"); err != nil { // another claims it
		t.Fatal(err)
	}
	l := w.look(t.Context())
	if len(l.channels) != 3 || len(l.errors) > 0 || l.channels[0].id != "busy" {
		t.Fatalf("%+v", l)
	}
	seconds := l.at.Sub(first).Seconds()
	for _, c := range l.channels {
		switch c.id {
		case "busy": // a transaction of three messages and a head of 1 KB each takes 8 units
			if m, u := c.change.Messages*seconds, c.change.WriteUnits*seconds; fmt.Sprintf("%.3f %.3f %d", m, u, c.change.Claims) != "3.000 8.000 0" {
				t.Errorf("busy: %.3f messages, %.3f units, %d claims", m, u, c.change.Claims)
			}
		case "idle": // and a head alone one
			if u := c.change.WriteUnits * seconds; c.change.Messages != 0 || fmt.Sprintf("%.3f", u) != "1.000" || c.change.Claims != 1 {
				t.Errorf("idle: %+v", c.change)
			}
		case "new":
			if c.change != nil {
				t.Errorf("new: %+v", c.change)
			}
		}
	}
	if l = w.look(t.Context()); l.channels[0].change.WriteUnits != 0 {
		t.Errorf("without changes: %+v", l.channels[0].change)
	}
	// What was dropped, and appended to since, has no negative rates.
	if err := a.DropChannel(t.Context(), "busy"); err != nil {
		t.Fatal(err)
	}
	for _, c := range w.look(t.Context()).channels {
		if c.change != nil && (c.change.Messages < 0 || c.change.WriteUnits < 0) {
			t.Errorf("%s: %+v", c.id, c.change)
		}
	}
}

// TestAScreenIsAsHighAsItsTerminal: what doesn't fit is counted.
func TestAScreenIsAsHighAsItsTerminal(t *testing.T) {
	null, err := os.Open(os.DevNull) // no terminal: 24 lines
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	l := look{at: time.Now(), errors: []lookError{{"chat", fmt.Errorf("broken: %w", store.ErrMalformed)}}}
	for i := range 30 {
		l.channels = append(l.channels, &watched{id: fmt.Sprint("c", i), status: &sdsaws.ChannelStatus{}})
	}
	var out strings.Builder
	if err := (&fullScreen{&out, null, &watchFlags{interval: time.Second}}).show(l); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n > 23 || !strings.Contains(out.String(), "and 14 more\n") ||
		!strings.HasPrefix(out.String(), "\x1b[H\x1b[2Jnamespace ") || !strings.Contains(out.String(), "sdsaws: broken") {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}

// TestAnInterruptEndsTheWait for the next look.
func TestAnInterruptEndsTheWait(t *testing.T) {
	dir := t.TempDir()
	if err := fill(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := rootCommand()
	cmd.SetOut(&canceler{cancel: cancel})
	cmd.SetArgs([]string{"watch", "--json", "--interval", "24h", "--backend", "embedded:" + dir, "--namespace", "alice"})
	if err := cmd.ExecuteContext(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want that it was canceled", err)
	}
}
