package sdsaws_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/store"
)

// TestAChannelThatIsCreatedMeanwhileIsNoHeadlessOne: it has no head when a check begins, and
// messages when it goes on.
func TestAChannelThatIsCreatedMeanwhileIsNoHeadlessOne(t *testing.T) {
	m := newMemory()
	a := open(t, m, sdsaws.Options{})
	created := false
	m.wait = func() {
		m.setFault(at("", none))
		created = true
		if err := a.Commit(t.Context(), channel, meta(1), appends("x")); err != nil {
			t.Error(err)
		}
	}
	m.setFault(at("page", hold))
	got, err := open(t, m, sdsaws.Options{}).Check(t.Context(), channel, nil)
	if err != nil || !created || !got.Found || len(got.Findings) > 0 || got.Live != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// malformed is a log in which the messages at some offsets can't be read, nor an item that lies
// between the keys of two messages.
type malformed struct {
	store.Log
	at      []uint64
	between uint64 // and the offset before it
	reads   int
}

func (m *malformed) Page(ctx context.Context, key store.Key, from, to uint64) ([]store.Message, uint64, error) {
	m.reads++
	for _, o := range m.at {
		if from <= o && o < to {
			return nil, 0, fmt.Errorf("message: %w", store.ErrMalformed)
		}
	}
	if from < m.between && m.between < to {
		return nil, 0, fmt.Errorf("message: %w", store.ErrMalformed)
	}
	return m.Log.Page(ctx, key, from, to)
}

// TestMalformedMessagesHideNothing: each is named, what else is wrong is found, and what
// they may refer to is not judged.
func TestMalformedMessagesHideNothing(t *testing.T) {
	s := newShelf(t)
	lost, large := s.offset(t, "new"), s.offset(t, "old and large")
	s.alter(t, "new", nil)
	s.put(t, record.Values, strings.Repeat("0", 32)+"-left-0")
	log := &malformed{Log: s.memory, at: []uint64{large, 1 << 40, 1<<40 + 1}, between: 1 << 50}
	a, err := sdsaws.New(sdsaws.Backend{Log: log, Hints: s.memory, Archive: &s.archive}, &sdsaws.Options{Namespace: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Check(t.Context(), channel, nil)
	if err != nil {
		t.Fatal(err)
	}
	var items []string
	for _, f := range got.Findings {
		items = append(items, f.Verdict.String()+" "+f.Item)
	}
	want := []string{}
	for _, o := range []uint64{large, 1 << 40, 1<<40 + 1, lost} {
		want = append(want, fmt.Sprint("broken message at offset ", o))
	}
	want = slices.Insert(want, 3, "broken log")
	if !slices.Equal(items, want) {
		t.Errorf("%q, want %q", items, want)
	}
	if log.reads > 1000 {
		t.Errorf("%d reads", log.reads)
	}
}

// malformedHints are hints of which one can't be read.
type malformedHints struct {
	allHints
	id string
}

type allHints = store.Hints

func (m malformedHints) Hints(ctx context.Context, namespace string, ids []string) ([]store.Hint, error) {
	if slices.Contains(ids, m.id) {
		return nil, fmt.Errorf("hint: %w", store.ErrMalformed)
	}
	return m.allHints.Hints(ctx, namespace, ids)
}

func TestAMalformedHintHidesNoOther(t *testing.T) {
	s := newShelf(t)
	if err := s.a.SetRetrievalHint(t.Context(), "old", []byte("hint")); err != nil {
		t.Fatal(err)
	}
	if err := s.a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, err := sdsaws.New(sdsaws.Backend{Log: s.memory, Hints: malformedHints{s.memory, "large"}, Archive: &s.archive},
		&sdsaws.Options{Namespace: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Check(t.Context(), channel, nil)
	item := fmt.Sprint("retrieval hint of the message at offset ", s.offset(t, "large"))
	if err != nil || len(got.Findings) != 1 || got.Findings[0].Item != item || !errors.Is(got.Findings[0].Err, store.ErrMalformed) ||
		got.Hints != 1 {
		t.Errorf("%+v, %v, want %q", got, err, item)
	}
}

// TestWhatIsLeftOutCounts: a finding behind the thousandth is not shown, but known.
func TestWhatIsLeftOutCounts(t *testing.T) {
	s := newShelf(t)
	for i := range 1001 {
		s.put(t, record.Segments, fmt.Sprintf("foreign%d", i))
	}
	s.alter(t, "new", nil)
	s.put(t, record.Values, strings.Repeat("0", 32)+"-left-0")
	got, err := s.a.Check(t.Context(), channel, &sdsaws.CheckOptions{Repair: true})
	if err != nil || len(got.Findings) != 1000 || got.More != 3 || !got.Has(sdsaws.Broken) || !got.Has(sdsaws.Garbage) {
		t.Errorf("%d findings, %d more, %v", len(got.Findings), got.More, err)
	}
}
