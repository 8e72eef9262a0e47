package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/internal/price"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/internal/replay"
	"github.com/sdsaws/sdsaws/internal/trace"
)

// ours and oursAccepted are sdsaws in its two modes.
const (
	ours         = "sdsaws"
	oursAccepted = "sdsaws-accepted"
)

// Accepted mode is played at the heaviest documented rate.
const (
	rate = 6 // saves a second
	lag  = time.Second
)

// Account is what a trace takes, kept in several ways.
type Account struct {
	Trace    string     `json:"trace"`
	Saves    int        `json:"saves"`
	Appended int        `json:"appended"`
	Evicted  int        `json:"evicted"` // of what wasn't dropped before
	HintsSet int        `json:"hints_set"`
	Prices   price.List `json:"prices"`

	// Bytes a message: encoded, of those that were evicted, and in segments.
	EvictedBytesAMessage  float64 `json:"evicted_bytes_per_message"`
	ArchivedBytesAMessage float64 `json:"archived_bytes_per_message"`

	Ways []Ledger `json:"ways"`
}

// account replays a trace in committed mode and, when accepted, in accepted mode, and
// computes the others.
func account(ctx context.Context, file string, accepted bool, prices price.List) (*Account, error) {
	a := &Account{Trace: traceName(file), Prices: prices}
	f, err := newFormulas()
	if err != nil {
		return nil, err
	}
	r, committed, err := play(ctx, file, replay.Options{}, &prices, f.play)
	if err != nil {
		return nil, err
	}
	f.finish()
	a.Saves, a.Appended, a.Evicted, a.HintsSet = f.saves, f.appended, f.ways[0].evicted, f.hints
	a.EvictedBytesAMessage = float64(f.ways[0].evictedBytes) / float64(max(1, a.Evicted))
	a.ArchivedBytesAMessage = float64(r.ArchivedBytes) / float64(max(1, r.ArchiveMatched))
	a.Ways = append(a.Ways, committed)
	if accepted {
		_, l, err := play(ctx, file, replay.Options{Durability: sdsaws.Accepted, Rate: rate}, &prices, nil)
		if err != nil {
			return nil, err
		}
		l.Way = oursAccepted
		a.Ways = append(a.Ways, l)
	}
	for _, w := range f.ways {
		l := w.book.ledger(w.name, &prices, f.saves)
		l.StoredBytes, l.ValueBytes = w.stored()
		l.HintsWritten = f.hints
		a.Ways = append(a.Ways, l)
	}
	return a, nil
}

func traceName(file string) string {
	return strings.TrimSuffix(strings.TrimSuffix(filepath.Base(file), ".zst"), ".jsonl")
}

// play replays a trace over an embedded store, and checks every load on the way.
func play(
	ctx context.Context, file string, o replay.Options, prices *price.List, each func(trace.Op) error,
) (r replay.Result, l Ledger, err error) {
	in, err := os.Open(file) //nolint:gosec // it was told to
	if err != nil {
		return r, l, err
	}
	defer in.Close()
	t, err := trace.NewReader(in)
	if err != nil {
		return r, l, err
	}
	defer t.Close()
	dir, err := os.MkdirTemp("", "sdsaws-cost-")
	if err != nil {
		return r, l, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := embedded.Open(dir, nil)
	if err != nil {
		return r, l, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	b := newBook()
	failed := error(nil)
	o.Namespace, o.Lag = "cost", lag
	o.OnOperation = func(op trace.Op) {
		if each != nil {
			failed = errors.Join(failed, each(op))
		}
	}
	o.OnPlayed = func(r *replay.Result) { l = b.ledger(ours, prices, r.Saves) } // what checks read after that isn't counted
	p := replay.NewPlayer(traceName(file), replay.OnPaper(s, b.add, b.addS3), o)
	r, err = p.Run(ctx, t)
	if wrong := r.Wrong(); err == nil && wrong != "" {
		err = errors.New(wrong)
	}
	if err = errors.Join(err, failed); err != nil {
		return r, l, err
	}
	l.HintsWritten, l.ArchivedBytes = r.HintsWritten, r.ArchivedBytes
	for _, c := range p.Channels() {
		n, err := s.Size(ctx, c.Key)
		if err != nil {
			return r, l, err
		}
		l.StoredBytes += n
		for o, err := range s.Archive().List(ctx, record.Folder(record.Values, c.Key)) {
			if err != nil {
				return r, l, err
			}
			l.ValueBytes += o.Size
		}
	}
	return r, l, nil
}
