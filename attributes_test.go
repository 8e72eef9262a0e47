package sdsaws_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// What stands beside a body, in attributes of its item, is damaged: where the log begins and ends, the clock
// and id of a message, the end of a segment.

// partlyArchived is a channel with a segment, history, and something that was evicted since.
func partlyArchived(t *testing.T) *memory {
	t.Helper()
	m := newMemory()
	a := openAs(t, m, "alice", quiet)
	var ids []string
	for i := range 8 {
		ids = append(ids, fmt.Sprint("m", i))
	}
	k := &kept{}
	k.commit(t, a, meta(1), update(ids, nil))
	k.commit(t, a, meta(2), update(nil, ids[:3]))
	if _, err := a.Archive(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	k.commit(t, a, meta(3), update([]string{"L"}, ids[3:5]))
	return m
}

// attributes are edits of what partlyArchived has stored.
var attributes = map[string]func(t *testing.T, m *memory){
	"origin at the next message": editHead(func(h *store.Head) { h.Origin, h.Start = h.Next, h.Next }),
	"origin one later":           editHead(func(h *store.Head) { h.Origin++ }),
	"start at the next message":  editHead(func(h *store.Head) { h.Start = h.Next }),
	"start one earlier":          editHead(func(h *store.Head) { h.Start-- }),
	"next one less":              editHead(func(h *store.Head) { h.Next-- }),
	"next one more":              editHead(func(h *store.Head) { h.Next++ }),
	"next 0":                     editHead(func(h *store.Head) { h.Start, h.Next = 0, 0 }),
	"clock of an evicted one":    editMessage(3, func(m *store.Message) { m.Lamport = 1 << 40 }),
	"clock of a live one":        editMessage(6, func(m *store.Message) { m.Lamport = 1 << 40 }),
	"id of an evicted one":       editMessage(3, func(m *store.Message) { m.ID = "m9" }),
	"id of a live one":           editMessage(6, func(m *store.Message) { m.ID = "m9" }),
	"end of the segment":         editSegment(func(s *store.Segment) { s.To++ }),
	"segment ends early":         editSegment(func(s *store.Segment) { s.To-- }),
}

func editHead(edit func(*store.Head)) func(*testing.T, *memory) {
	return func(_ *testing.T, m *memory) {
		m.Edit(key, func(h *store.Head, _ map[uint64]store.Message) { edit(h) })
	}
}

func editMessage(offset uint64, edit func(*store.Message)) func(*testing.T, *memory) {
	return func(t *testing.T, m *memory) {
		t.Helper()
		m.Edit(key, func(_ *store.Head, all map[uint64]store.Message) {
			s, ok := all[offset]
			if !ok {
				t.Fatalf("no message at %d", offset)
			}
			edit(&s)
			all[offset] = s
		})
	}
}

func editSegment(edit func(*store.Segment)) func(*testing.T, *memory) {
	return func(t *testing.T, m *memory) {
		t.Helper()
		s, err := m.LastSegment(t.Context(), key, math.MaxUint64)
		if err != nil || s == nil {
			t.Fatalf("segment %v, %v", s, err)
		}
		edit(s)
		if err := m.ReplaceSegment(t.Context(), key, *s); err != nil {
			t.Fatal(err)
		}
	}
}

// readings are what readers and movers say of the channel, or an error.
var readings = map[string]func(t *testing.T, a *sdsaws.Adapter) (string, error){
	"load": func(t *testing.T, a *sdsaws.Adapter) (string, error) {
		d, err := a.LoadEncodedChannel(t.Context(), channel)
		return fmt.Sprintf("%q %q", d.Meta, d.Messages), err
	},
	"history":          historyOf(sdsaws.HistoryRange{}),
	"history by clock": historyOf(sdsaws.HistoryRange{MaxLamport: 6}),
	"archived history": historyOf(sdsaws.HistoryRange{Part: sdsaws.ArchivedHistory}),
	"an evicted message": func(t *testing.T, a *sdsaws.Adapter) (string, error) {
		m, err := a.Message(t.Context(), channel, "m3")
		return fmt.Sprintf("%+v", m), err
	},
	"a live message": func(t *testing.T, a *sdsaws.Adapter) (string, error) {
		m, err := a.Message(t.Context(), channel, "m6")
		return fmt.Sprintf("%+v", m), err
	},
	"an archived message": func(t *testing.T, a *sdsaws.Adapter) (string, error) {
		m, err := a.Message(t.Context(), channel, "m1")
		return fmt.Sprintf("%+v", m), err
	},
	"sweep": func(t *testing.T, a *sdsaws.Adapter) (string, error) {
		_, err := a.Sweep(t.Context(), channel, nil)
		return "", err
	},
	"archive": func(t *testing.T, a *sdsaws.Adapter) (string, error) {
		_, err := a.Archive(t.Context(), channel)
		return "", err
	},
	"repair": func(t *testing.T, a *sdsaws.Adapter) (string, error) {
		_, err := a.Check(t.Context(), channel, &sdsaws.CheckOptions{Repair: true})
		return "", err
	},
}

func historyOf(r sdsaws.HistoryRange) func(t *testing.T, a *sdsaws.Adapter) (string, error) {
	return func(t *testing.T, a *sdsaws.Adapter) (text string, failed error) {
		for m, err := range a.History(t.Context(), channel, r) {
			m.ArchivedAt = m.ArchivedAt.UTC()
			text += fmt.Sprintf("%+v\n", m)
			failed = errors.Join(failed, err)
		}
		return text, failed
	}
}

// TestEachDamagedAttributeIsNoticed, or changes nothing: what is read is as it was or an error, and nothing is
// deleted because of it. When the attribute is as it was again, all is there.
func TestEachDamagedAttributeIsNoticed(t *testing.T) {
	from := partlyArchived(t)
	all := idsOf(t, from)
	whole := map[string]string{}
	for name, read := range readings {
		m := from.copy()
		var err error
		if whole[name], err = read(t, openAs(t, m, "alice", quiet)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for what, edit := range attributes {
		for name, read := range readings {
			t.Run(what+", "+name, func(t *testing.T) {
				m := from.copy()
				edit(t, m)
				got, err := read(t, openAs(t, m, "alice", quiet))
				known := errors.Is(err, sds.ErrCorrupt) || errors.Is(err, sds.ErrIncomplete)
				if errors.Is(err, sds.ErrNotFound) && (what == "id of an evicted one" || what == "id of a live one") {
					known = true // nothing else has the id
				}
				if err == nil && got != whole[name] || err != nil && !known {
					t.Errorf("%v\n%s\nwant an error that says so, or\n%s", err, got, whole[name])
				}
				undo(t, m, from)
				if _, err := openAs(t, m, "alice", quiet).LoadChannel(t.Context(), channel); err != nil {
					t.Errorf("when it is as it was: %v", err)
				}
				if ids := idsOf(t, m); !slices.Equal(ids, all) {
					t.Errorf("when it is as it was there are %q, want %q", ids, all)
				}
			})
		}
	}
}

// undo makes attributes what they were, where the bodies beside them are.
func undo(t *testing.T, m, from *memory) {
	t.Helper()
	head := from.head(t)
	messages := map[uint64]store.Message{}
	from.Edit(key, func(_ *store.Head, all map[uint64]store.Message) {
		for o, s := range all {
			messages[o] = s
		}
	})
	m.Edit(key, func(h *store.Head, all map[uint64]store.Message) {
		if slices.Equal(h.Body, head.Body) {
			h.Origin, h.Start, h.Next = head.Origin, head.Start, head.Next
		}
		for o, s := range all {
			if was, ok := messages[o]; ok {
				s.ID, s.Lamport = was.ID, was.Lamport
				all[o] = s
			}
		}
	})
	was, err := from.LastSegment(t.Context(), key, math.MaxUint64)
	if err != nil {
		t.Fatal(err)
	}
	now, err := m.LastSegment(t.Context(), key, was.From+1)
	if err == nil && now != nil && slices.Equal(now.Body, was.Body) {
		err = m.ReplaceSegment(t.Context(), key, *was)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// idsOf returns the ids of all that is and was history.
func idsOf(t *testing.T, m *memory) (ids []string) {
	t.Helper()
	for h, err := range openAs(t, m, "alice", quiet).History(t.Context(), channel, sdsaws.HistoryRange{}) {
		if err != nil {
			t.Error(err)
		}
		ids = append(ids, h.MessageID)
	}
	return ids
}
