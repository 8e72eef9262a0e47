package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/export"
	"github.com/sdsaws/sdsaws/store"
)

// inFile is a channel of the file.
type inFile struct {
	id     string
	counts export.Counts
	sum    export.Sum
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
	r, err := export.NewReader(&interruptible{i.ctx, i.file})
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
				i.channels = append(i.channels, inFile{id, item.Counts, item.Sum})
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

// mayWrite looks for channels that hold something.
func (i *importer) mayWrite() error {
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

// write imports one channel after the other.
func (i *importer) write() error {
	return i.read(func(r *export.Reader, item *export.Item) error {
		if item.Kind != export.Channel || !i.wants(item.ID) {
			return nil
		}
		c := i.channels[i.done]
		if item.ID != c.id {
			return errors.New("the file has changed since it was verified")
		}
		if err := i.channel(r, c); err != nil {
			return fmt.Errorf("channel %s: %w", quoteID(c.id), err)
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
	first, err := r.Next()
	if err != nil {
		return err
	}
	s := &source{importer: i, r: r}
	if err := i.to.adapter.Restore(i.ctx, c.id, first.Snapshot, s.history); err != nil {
		return err
	}
	if s.end == nil || s.end.Sum != c.sum {
		return errors.New("the file has changed since it was verified")
	}
	reading, err := i.to.adapter.ReadChannel(i.ctx, c.id)
	if err != nil {
		return err
	}
	w, err := export.NewWriter(io.Discard, "")
	if err != nil {
		return err
	}
	_, sum, err := i.to.write(i.ctx, w, reading, false)
	if err == nil && sum != c.sum {
		err = errors.New("what was read back has another sum than the file: did others work on it?")
	}
	return err
}

// source is the rest of a channel's records in the file.
type source struct {
	*importer
	r       *export.Reader
	waiting int          // hints that aren't known to be stored
	end     *export.Item // of the channel
}

// history yields the messages, and stores the hints on the way.
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
			err = s.storeHints()
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

func (s *source) hint(h store.Hint) error {
	if err := s.hints.SetRetrievalHint(s.ctx, h.MessageID, h.Value); err != nil {
		return err
	}
	if s.waiting++; s.waiting < hintBatch {
		return nil
	}
	return s.storeHints()
}

func (s *source) storeHints() error {
	s.waiting = 0
	return s.hints.Flush(s.ctx)
}
