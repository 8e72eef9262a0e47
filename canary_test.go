package sdsaws_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/canary"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// What is planted: all that a caller hands over but the ids of channels, which errors name.
var birds = map[string]canary.Bird{
	"content": canary.New("Content"), "message id": canary.New("MessageID"), "sender": canary.New("Sender"),
	"hint": canary.New("Hint"), "bloom filter": canary.New("Bloom"), "missing": canary.New("Missing"),
}

func raw(what string) string { return birds[what].Raw() }

// silent fails the test when any canary is in what was collected.
func silent(t *testing.T, out *canary.Output, during string) {
	t.Helper()
	text := out.String()
	for what, b := range birds {
		if b.In(text) {
			t.Errorf("%s: the %s is shown in:\n%.3000s", during, what, text)
		}
	}
}

// planted is a message all of which is canaries, with an id of its own.
func planted(n int, size int) sds.Message {
	entry := sds.HistoryEntry{MessageID: raw("missing"), RetrievalHint: []byte(raw("hint")), SenderID: raw("sender")}
	return sds.Message{
		MessageID: fmt.Sprint(raw("message id"), n), LamportTimestamp: int64(n), ChannelID: channel, SenderID: raw("sender"),
		Content:     append([]byte(raw("content")), large(n)[:size]...),
		BloomFilter: []byte(raw("bloom filter")), CausalHistory: []sds.HistoryEntry{entry}, RepairRequest: []sds.HistoryEntry{entry},
	}
}

func plantedMeta(n int) *sds.ChannelMeta {
	m := planted(n, 0)
	entry := m.CausalHistory[0]
	return &sds.ChannelMeta{SchemaVersion: 1, LamportTimestamp: int64(n),
		OutgoingBuffer:       []sds.OutgoingMessage{{Message: m}},
		IncomingBuffer:       []sds.IncomingMessage{{Message: planted(n+1000, 600), MissingDeps: []string{raw("missing")}}},
		OutgoingRepairBuffer: []sds.OutgoingRepair{{MessageID: raw("message id"), HistoryEntry: entry}},
		IncomingRepairBuffer: []sds.IncomingRepair{{MessageID: raw("message id"), HistoryEntry: entry, CachedMessage: []byte(raw("content"))}},
	}
}

// everything calls each operation of an adapter, so that each can fail, and goes on whatever does.
func everything(ctx context.Context, t *testing.T, m *memory, out *canary.Output) {
	o := quiet
	o.Writer, o.Durability = "writer", sdsaws.Committed
	told := observe(t)
	o.Telemetry = told.Telemetry
	defer func() { fmt.Fprintln(out, told.all(t)) }()
	o.OnLag = func(_ string, _ time.Duration, err error) { out.Error(err) }
	o.OnArchiveLag = func(_ string, _ uint64, err error) { out.Error(err) }
	a := openAs(t, m, "alice", o)
	id := func(n int) string { return planted(n, 0).MessageID }
	commit := func(n int, evict ...string) {
		u := &sds.HistoryUpdate{Append: []sds.Message{planted(n, 0), planted(n+1, 600)}, Evict: evict}
		out.Error(a.SaveChannelMeta(ctx, channel, plantedMeta(n)))
		out.Error(a.UpdateHistory(ctx, channel, u))
	}
	reads := func(a *sdsaws.Adapter) {
		_, err := a.LoadChannel(ctx, channel)
		out.Error(err)
		for _, err := range a.History(ctx, channel, sdsaws.HistoryRange{}) {
			out.Error(err)
		}
		for _, n := range []int{0, 1, 2, 3, 77} {
			_, err := a.Message(ctx, channel, id(n))
			out.Error(err)
		}
		_, err = a.Hints(ctx, id(0), id(2))
		out.Error(err)
	}
	commit(0)
	out.Error(a.SetRetrievalHint(ctx, id(0), []byte(raw("hint"))))
	out.Error(a.Flush(ctx))
	commit(2, id(0), id(1))
	_, err := a.Archive(ctx, channel)
	out.Error(err)
	for c, err := range a.CheckAll(ctx, &sdsaws.CheckOptions{Repair: true}) {
		out.Error(err)
		shown(out, c)
	}
	reads(a)
	b := openAs(t, m, "alice", o) // takes the channel over
	reads(b)
	commit(4, id(2))
	for _, err := range a.Channels(ctx) {
		out.Error(err)
	}
	_, err = b.Sweep(ctx, channel, nil)
	out.Error(err)
	out.Error(b.DropChannel(ctx, channel))
	out.Error(errors.Join(a.Close(ctx), b.Close(ctx)))
}

// shown is what a check is printed as.
func shown(out *canary.Output, c *sdsaws.Checked) {
	if c == nil {
		return
	}
	fmt.Fprintf(out, "%v %+v %#v\n", c, c, c)
	for _, f := range c.Findings {
		fmt.Fprintf(out, "%s %s %+v\n", f.Verdict, f.Item, f)
		out.Error(f.Err)
	}
}

// TestNoErrorShowsAMessage, whichever request fails, and however.
func TestNoErrorShowsAMessage(t *testing.T) {
	failures := 0
	for _, f := range []fault{refuse, lose} {
		upwards(t, fmt.Sprint("fault ", f), func(t *testing.T, n int) bool {
			var out canary.Output
			defer out.Logs()()
			m := newMemory()
			op := ""
			m.setFault(nth(n, every, f, func(o string) { op = o }))
			everything(t.Context(), t, m, &out)
			silent(t, &out, op)
			if strings.Contains(out.String(), errInjected.Error()) {
				failures++
			}
			return op != ""
		})
	}
	if t.Logf("%d faults came up in an error", failures); failures < 50 {
		t.Errorf("%d faults came up in an error, want more", failures)
	}
}

// TestNoFindingShowsAMessage: each body that is stored is damaged in several ways, or of another place, and all
// that reads it is asked what is wrong.
func TestNoFindingShowsAMessage(t *testing.T) {
	from := newMemory()
	a := openAs(t, from, "alice", quiet)
	for n := range 4 {
		u := &sds.HistoryUpdate{Append: []sds.Message{planted(2*n, 0), planted(2*n+1, 600)}}
		if n > 1 {
			u.Evict = []string{planted(2*n-4, 0).MessageID, planted(2*n-3, 0).MessageID}
		}
		if err := a.Commit(t.Context(), channel, plantedMeta(n), u); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Archive(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	look := func(m *memory, during string) {
		var out canary.Output
		defer out.Logs()()
		for c, err := range openAs(t, m, "alice", quiet).CheckAll(t.Context(), &sdsaws.CheckOptions{Repair: true}) {
			out.Error(err)
			shown(&out, c)
		}
		everything(t.Context(), t, m, &out)
		silent(t, &out, during)
	}
	places, bodies := from.bodies()
	plain := []byte(raw("content"))
	for _, place := range places {
		b := bodies[place]
		changed := bytes.Clone(b)
		changed[len(b)-1] ^= 1
		for name, body := range map[string][]byte{
			"cut": b[:len(b)/2], "changed": changed, "another format": append([]byte{0xee}, b[1:]...), "plain text": plain,
			"another's": bodies[places[(slices.Index(places, place)+1)%len(places)]], "a bad name": append(b[:9:9], plain...),
		} {
			m := from.copy()
			m.Edit(key, func(head *store.Head, all map[uint64]store.Message) {
				if place < 0 {
					head.Body = body
					return
				}
				s := all[uint64(place)]
				s.Body = body
				all[uint64(place)] = s
			})
			look(m, fmt.Sprint(name, " at ", place))
		}
	}
	for name, change := range map[string]func([]byte) []byte{
		"removed": nil, "longer": func(b []byte) []byte { return append(bytes.Clone(b), plain...) }, "text": func([]byte) []byte { return plain },
		"changed": func(b []byte) []byte { return append(bytes.Clone(b[:len(b)-1]), b[len(b)-1]^1) },
	} {
		for _, folder := range []string{"segments/", "values/"} {
			m := from.copy()
			m.archive.Edit(folder, change)
			look(m, folder+" "+name)
		}
	}
	m := from.copy() // under another id, with the right bytes
	m.Edit(key, func(_ *store.Head, all map[uint64]store.Message) {
		for o, s := range maps.Clone(all) {
			s.ID += raw("message id")
			all[o] = s
		}
	})
	look(m, "another id")
}

// TestNoRefusalShowsAMessage: arguments that can't be used.
func TestNoRefusalShowsAMessage(t *testing.T) {
	var out canary.Output
	defer out.Logs()()
	m := newMemory()
	m.MaxHint = 5000
	o := quiet
	o.MaxPending = 3000
	a := openAs(t, m, "alice", o)
	ctx := t.Context()
	encodedMessage := []byte(encoded(t, ptr(planted(1, 0))))
	encodedMeta := []byte(encoded(t, plantedMeta(1)))
	refused := 0
	note := func(err error) {
		if err != nil {
			refused++
		}
		out.Error(err)
	}
	for i := range encodedMeta {
		if i%7 == 0 {
			bad := bytes.Clone(encodedMeta)
			bad[i] ^= 0x55
			note(a.SaveEncodedMeta(ctx, channel, bad))
			note(a.SaveEncodedMeta(ctx, channel, encodedMeta[:i]))
		}
	}
	for i := range encodedMessage {
		bad := bytes.Clone(encodedMessage)
		bad[i] ^= 0x55
		for _, b := range [][]byte{bad, encodedMessage[:i]} {
			note(a.UpdateEncodedHistory(ctx, channel, sds.EncodedHistoryUpdate{Append: [][]byte{b}}))
		}
	}
	negative := planted(1, 0)
	negative.LamportTimestamp = -1
	note(a.Commit(ctx, channel, plantedMeta(1), &sds.HistoryUpdate{Append: []sds.Message{negative}}))
	note(a.Commit(ctx, "", plantedMeta(1), &sds.HistoryUpdate{Append: []sds.Message{planted(1, 0)}}))
	tooLarge := planted(1, 0)
	tooLarge.MessageID += strings.Repeat("x", 500<<10)
	note(a.Commit(ctx, channel, plantedMeta(1), &sds.HistoryUpdate{Append: []sds.Message{tooLarge}}))
	tooLarge = planted(1, 0)
	tooLarge.Content = append(tooLarge.Content, make([]byte, record.MaxPlain)...)
	note(a.Commit(ctx, channel, plantedMeta(1), &sds.HistoryUpdate{Append: []sds.Message{tooLarge}}))
	for range 5 { // more than may wait
		note(a.SaveChannelMeta(ctx, channel, plantedMeta(1)))
		note(a.SetRetrievalHint(ctx, raw("message id"), append([]byte(raw("hint")), make([]byte, 4000)...)))
	}
	note(a.SetRetrievalHint(ctx, raw("message id"), append([]byte(raw("hint")), make([]byte, 5000)...)))
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	note(a.Commit(canceled, channel, plantedMeta(9), &sds.HistoryUpdate{Append: []sds.Message{planted(9, 0)}}))
	note(a.Close(ctx))
	note(a.SetRetrievalHint(ctx, raw("message id"), []byte(raw("hint"))))
	_, err := a.Message(ctx, channel, raw("message id"))
	note(err)
	if silent(t, &out, "arguments"); refused < 100 {
		t.Errorf("%d were refused, want more", refused)
	}
}

func ptr[T any](v T) *T { return &v }
