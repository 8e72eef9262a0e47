package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/export"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// inFile is a channel of the file.
type inFile struct {
	id      string
	counts  export.Counts
	sum     export.Sum
	hintSum export.Sum
}

// importer brings the channels of a file into a store.
type importer struct {
	ctx      context.Context
	f        importFlags
	file     *os.File
	wanted   []string // all when there are none
	channels []inFile // those of the file that are wanted
	sum      export.Sum
	to       *opened
	hints    *sdsaws.Adapter // for hints alone: the other one is busy with a channel meanwhile
	occupied []string        // channels that are dropped before
	report   *transferReport
	done     int
}

func (i *importer) wants(id string) bool { return len(i.wanted) == 0 || slices.Contains(i.wanted, id) }

// read reads the file from its begin on.
func (i *importer) read(each func(r *export.Reader, item *export.Item) error) error {
	if _, err := i.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r, err := export.NewReader(i.file)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		if err := i.ctx.Err(); err != nil {
			return err
		}
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = each(r, item)
		}
		if err != nil {
			return err
		}
	}
}

// verify reads all of the file.
func (i *importer) verify() error {
	id := ""
	return i.read(func(_ *export.Reader, item *export.Item) error {
		switch item.Kind {
		case export.Channel:
			id = item.ID
		case export.EndChannel:
			if i.wants(id) {
				i.channels = append(i.channels, inFile{id, item.Counts, item.Sum, item.HintSum})
			}
		case export.End:
			i.sum = item.Sum
		}
		return nil
	})
}

func (i *importer) haveAll() error {
	for _, id := range i.wanted {
		if !slices.ContainsFunc(i.channels, func(c inFile) bool { return c.id == id }) {
			return fmt.Errorf("it has no channel %s; --check shows what it has", quoteID(id))
		}
	}
	return nil
}

// show shows what the file has.
func (i *importer) show() error {
	for _, c := range i.channels {
		i.report.total.Add(c.counts)
		if err := i.report.add(c.id, c.counts, c.sum); err != nil {
			return err
		}
	}
	return i.report.end()
}

// mayWrite looks whether all channels can be restored, and for those that hold something.
func (i *importer) mayWrite() error {
	if err := i.each(i.fits); err != nil {
		return fmt.Errorf("%w; nothing is imported", err)
	}
	for _, c := range i.channels {
		s, err := i.to.adapter.Status(i.ctx, c.id)
		switch {
		case i.f.replace && (err != nil && i.ctx.Err() == nil || err == nil && !s.Empty):
			i.occupied = append(i.occupied, c.id) // what is damaged can be dropped too
		case err != nil:
			return err
		case !s.Empty:
			return fmt.Errorf("channel %s of namespace %s isn't empty; nothing is imported: drop it, or replace it with --replace",
				quoteID(c.id), quoteID(i.to.namespace))
		}
	}
	return nil
}

// progress says what was imported before something failed.
func (i *importer) progress() string {
	if i.done == len(i.channels) {
		return "all channels are imported"
	}
	return fmt.Sprintf("%d of %d channels are imported; from %s on, import them with --replace",
		i.done, len(i.channels), quoteID(i.channels[i.done].id))
}

// each goes through the wanted channels of the file.
func (i *importer) each(do func(r *export.Reader, c inFile) error) error {
	n := 0
	return i.read(func(r *export.Reader, item *export.Item) error {
		if item.Kind != export.Channel || !i.wants(item.ID) {
			return nil
		}
		if n == len(i.channels) || i.channels[n].id != item.ID {
			return errChanged
		}
		n++
		if err := do(r, i.channels[n-1]); err != nil {
			return fmt.Errorf("channel %s: %w", quoteID(item.ID), err)
		}
		return nil
	})
}

var errChanged = errors.New("the file has changed since it was verified")

// fits reports whether the channel whose first record was read could be stored.
func (i *importer) fits(r *export.Reader, c inFile) error {
	limit := i.to.backend.HintLimit(i.to.namespace) - record.HintOverhead
	return i.restore(r, c, i.to.adapter.CheckRestore, func(h store.Hint) error {
		if n := len(h.MessageID) + len(h.Value); n > limit {
			return fmt.Errorf("hint of message %s: %w: %d bytes with the id, at most %d fit", quoteID(h.MessageID), sds.ErrTooLarge, n, limit)
		}
		return nil
	})
}

// write imports one channel after the other.
func (i *importer) write() error {
	return i.each(func(r *export.Reader, c inFile) error {
		if err := i.channel(r, c); err != nil {
			return err
		}
		i.done++
		i.report.total.Add(c.counts)
		return i.report.add(c.id, c.counts, c.sum)
	})
}

// channel imports the channel whose first record was read, and compares it.
func (i *importer) channel(r *export.Reader, c inFile) error {
	if slices.Contains(i.occupied, c.id) {
		if err := i.to.adapter.DropChannel(i.ctx, c.id); err != nil {
			return err
		}
	}
	h := &hintWriter{ctx: i.ctx, to: i.hints, back: i.to.adapter, expire: i.f.hintTTL > 0, waiting: map[string][]byte{}}
	if err := i.restore(r, c, i.to.adapter.Restore, h.set); err != nil {
		return err
	}
	if err := h.flush(); err != nil {
		return err
	}
	reading, err := i.to.adapter.ReadChannel(i.ctx, c.id)
	if err != nil {
		return err
	}
	w, err := export.NewWriter(io.Discard, i.to.namespace)
	if err != nil {
		return err
	}
	_, sum, err := i.to.write(i.ctx, w, reading, false)
	if err == nil && sum != c.sum {
		err = errors.New("what was read back has another sum than the file: did others work on it?")
	}
	return err
}

type restore func(ctx context.Context, id string, meta []byte, history iter.Seq2[sdsaws.HistoryMessage, error]) error

// restore hands a channel's records to do, and its hints to hint.
func (i *importer) restore(r *export.Reader, c inFile, do restore, hint func(store.Hint) error) error {
	first, err := r.Next()
	if err != nil {
		return err
	}
	s := &source{ctx: i.ctx, r: r, hint: hint}
	if err := do(i.ctx, c.id, first.Snapshot, s.history); err != nil {
		return err
	}
	if s.end == nil || s.end.Sum != c.sum || s.end.HintSum != c.hintSum {
		return errChanged
	}
	return nil
}

// source is the rest of a channel's records in the file.
type source struct {
	ctx  context.Context
	r    *export.Reader
	hint func(store.Hint) error // takes the hints that lie between
	end  *export.Item           // of the channel
}

// history yields the messages.
func (s *source) history(yield func(sdsaws.HistoryMessage, error) bool) {
	for s.end == nil {
		item, err := s.r.Next()
		if err == nil {
			err = s.ctx.Err()
		}
		switch {
		case err != nil:
		case item.Kind == export.EndChannel:
			s.end = item
		case item.Kind == export.Hint:
			err = s.hint(item.Hint)
		default:
			m := sdsaws.HistoryMessage{Encoded: item.Message, Live: item.Where == export.History, ArchivedAt: item.ArchivedAt}
			if !yield(m, nil) {
				return
			}
		}
		if err != nil {
			yield(sdsaws.HistoryMessage{}, err)
			return
		}
	}
}

// hintWriter stores hints, some at a time, and reads them back.
type hintWriter struct {
	ctx      context.Context
	to, back *sdsaws.Adapter
	expire   bool              // one may be gone when it is read back
	waiting  map[string][]byte // by message id
}

func (h *hintWriter) set(hint store.Hint) error {
	if err := h.to.SetRetrievalHint(h.ctx, hint.MessageID, hint.Value); err != nil {
		return err
	}
	if h.waiting[hint.MessageID] = hint.Value; len(h.waiting) < hintBatch {
		return nil
	}
	return h.flush()
}

// flush returns when what waits is stored.
func (h *hintWriter) flush() error {
	if len(h.waiting) == 0 {
		return nil
	}
	if err := h.to.Flush(h.ctx); err != nil {
		return err
	}
	found, err := h.back.Hints(h.ctx, slices.Collect(maps.Keys(h.waiting))...)
	if err != nil {
		return err
	}
	for id, want := range h.waiting {
		if got, ok := found[id]; ok && !bytes.Equal(got, want) || !ok && !h.expire {
			return fmt.Errorf("the hint of message %s was read back as another: did others set it?", quoteID(id))
		}
	}
	clear(h.waiting)
	return nil
}
