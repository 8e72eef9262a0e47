package sdsaws

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// Verdict says what a [Finding] means for what is stored.
type Verdict int

const (
	// Broken: something that was committed is missing or damaged, or what is there
	// can't be told from that. Nothing of such a channel is repaired: what looks like garbage may
	// be what a restore from a backup needs.
	Broken Verdict = iota + 1

	// Unfinished: somebody has begun to archive, or to drop the channel, and may be at it. A
	// sweep goes on with it.
	Unfinished

	// Garbage: nothing refers to it, and no commit under way or delayed ever can.
	Garbage
)

func (v Verdict) String() string {
	switch v {
	case Broken:
		return "broken"
	case Unfinished:
		return "unfinished"
	case Garbage:
		return "garbage"
	default:
		return fmt.Sprintf("verdict %d", int(v))
	}
}

// Finding is one thing that is not as it should be.
type Finding struct {
	Verdict Verdict

	// Item says what it is about: the head, an offset of the log, a segment, an object by the
	// end of its name. It holds no message id and no content.
	Item string

	// Err says what is wrong. It is one of sds.ErrIncomplete, sds.ErrCorrupt,
	// sds.ErrUnsupportedFormat and sds.ErrSchemaVersion when Verdict is Broken.
	Err error

	Repaired bool // it was, and was looked for again in vain
}

// Checked is what a check has found of one channel.
type Checked struct {
	ChannelID string
	Found     bool // anything is stored of it

	Live     int   // messages that are history
	Buffered int   // messages in the snapshot that never were
	Evicted  int   // messages that were history and are in the log yet
	Archived int   // messages in segments
	Segments int   // segments whose objects are written
	Values   int   // objects of large messages and snapshots that are referred to
	Bytes    int64 // of those segments and values
	Hints    int   // retrieval hints of the messages in the log

	// Pending is how many staged messages and objects a commit that is under way, or delayed,
	// may need: leftovers, perhaps, but not proven to be before another commit or
	// claim has come.
	Pending int

	// Findings are at most 1000; More is how many were left out.
	Findings []Finding
	More     int
	more     uint // the verdicts of those that were left out, a bit each
}

// Has reports whether there is a finding with a verdict, shown or left out, that wasn't
// repaired.
func (c *Checked) Has(v Verdict) bool {
	return c.more&(1<<v) != 0 ||
		slices.ContainsFunc(c.Findings, func(f Finding) bool { return f.Verdict == v && !f.Repaired })
}

const maxFindings = 1000

// CheckOptions change what [Adapter.Check] and [Adapter.CheckAll] do. Nil and the zero
// value are the defaults.
type CheckOptions struct {
	// Repair goes on with what is unfinished and removes what is garbage, in channels
	// where nothing is broken. Findings that are gone then are marked as repaired. Away from a
	// channel's home it is refused with sds.ErrElsewhere.
	Repair bool

	// HeadsOnly makes CheckAll look for channels only where they are listed. Else it looks for
	// what is stored without a head as well, and on DynamoDB that reads the whole table.
	HeadsOnly bool
}

// checkRounds is how often a check starts over because the channel changes meanwhile.
const checkRounds = 10

// Check reads all that is stored of a channel, in the log, the hints and the archive, and
// reports every promise that doesn't hold: what is missing, damaged, left over or not
// finished. It claims nothing, changes nothing unless it is to repair, and may run while
// others commit, archive, sweep and drop: what changes meanwhile is read again, and when it
// never stays the same, what was found each of ten times is reported.
//
// It reads each segment of the channel once, and the log with its large messages once for each
// of those times. In memory there are one page of the log or one segment at a time, and about 100 bytes for each
// message in the log.
//
// With several regions check where the channel's home is: elsewhere what is on its way looks missing, or
// beyond the end of the log. What a takeover has lost of a commit does so too, until new
// messages get the same offsets.
//
// The error is of the check itself: something could not be read. Broken promises are
// findings.
func (a *Adapter) Check(ctx context.Context, channelID string, o *CheckOptions) (*Checked, error) {
	if err := a.checkChannel(ctx, channelID); err != nil {
		return nil, &sds.ChannelError{Op: "check", Channel: channelID, Err: err}
	}
	c := &checker{ref: a.ref(channelID), verified: map[store.Object]bool{}}
	found, err := c.run(ctx)
	if err != nil || o == nil || !o.Repair || len(found.Findings) == 0 || found.Has(Broken) {
		return found, err
	}
	if err := c.elsewhere("repair", c.head); err != nil {
		return found, err
	}
	if err := c.repair(ctx); err != nil {
		return found, err
	}
	after, err := c.run(ctx)
	if err != nil {
		return found, err
	}
	left := after.byItem()
	for _, f := range found.Findings {
		if _, ok := left[f.key()]; !ok {
			f.Repaired = true
			after.add(f)
		}
	}
	after.More += found.More
	return after, nil
}

// CheckAll checks all channels of the adapter's namespace, one after the other: those that have
// a head, and those of which something else is stored in the log or the archive. After
// an error that is not about one channel it ends; what is checked is nil then. In memory there are
// the ids of all channels. What is stored of channels whose ids can't be known comes last, under an
// empty id.
func (a *Adapter) CheckAll(ctx context.Context, o *CheckOptions) iter.Seq2[*Checked, error] {
	return func(yield func(*Checked, error) bool) {
		if err := a.check(ctx); err != nil {
			yield(nil, fmt.Errorf("sdsaws: check: %w", err))
			return
		}
		// The folders first: whoever puts an object has a head.
		folders, err := a.folders(ctx)
		if err != nil {
			yield(nil, fmt.Errorf("sdsaws: check: archive: %w", err))
			return
		}
		list := a.log.Stored
		if o != nil && o.HeadsOnly {
			list = a.log.Channels
		}
		lost := &Checked{}
		ids := map[string]bool{}
		for id, err := range list(ctx, a.o.Namespace) {
			switch {
			case err == nil:
				ids[id] = true
			case errors.Is(err, store.ErrMalformed):
				lost.Found = true
				lost.broken("items of an unknown channel", fmt.Errorf("%w: %w", sds.ErrCorrupt, err))
			default:
				yield(nil, fmt.Errorf("sdsaws: check: channels: %w", err))
				return
			}
		}
		for id := range ids {
			delete(folders, record.ChannelFolder(id))
		}
		for folder := range folders {
			if id, ok := record.FolderChannel(folder); ok {
				ids[id] = true
				continue
			}
			lost.Found = true
			lost.broken("objects under "+folder, fmt.Errorf("%w: of a channel that has no head", sds.ErrCorrupt))
		}
		if ids[""] {
			delete(ids, "")
			lost.Found = true
			lost.broken("what is stored under an empty id", fmt.Errorf("%w: no channel has that", sds.ErrCorrupt))
		}
		for _, id := range slices.Sorted(maps.Keys(ids)) {
			c, err := a.Check(ctx, id, o)
			if c == nil {
				c = &Checked{ChannelID: id}
			}
			if !yield(c, err) || ctx.Err() != nil {
				return
			}
		}
		if lost.Found {
			yield(lost, nil)
		}
	}
}

// folders returns the folders of channels that hold objects of the namespace.
func (a *Adapter) folders(ctx context.Context) (map[string]bool, error) {
	folders := map[string]bool{}
	for _, kind := range []record.Kind{record.Segments, record.Values} {
		prefix := record.NamespaceFolder(kind, a.o.Namespace)
		for o, err := range a.archive.List(ctx, prefix) {
			if err != nil {
				return nil, err
			}
			folder, _, _ := strings.Cut(strings.TrimPrefix(o.Name, prefix), "/")
			folders[folder] = true
		}
	}
	return folders, nil
}

func (f *Finding) key() string { return f.Verdict.String() + " " + f.Item }

func (c *Checked) byItem() map[string]Finding {
	m := map[string]Finding{}
	for _, f := range c.Findings {
		m[f.key()] = f
	}
	return m
}

func (c *Checked) add(f Finding) {
	if len(c.Findings) == maxFindings {
		c.More++
		if !f.Repaired {
			c.more |= 1 << f.Verdict
		}
		return
	}
	c.Findings = append(c.Findings, f)
}

func (c *Checked) broken(item string, err error) {
	if e := (*sds.ChannelError)(nil); errors.As(err, &e) {
		err = e.Err // which says what is wrong; the rest is known
		if e.Item != "" && e.Item != item {
			err = fmt.Errorf("%s: %w", e.Item, e.Err) // that is missing, and this can't be read without it
		}
	}
	c.add(Finding{Verdict: Broken, Item: item, Err: err})
}
