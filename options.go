package sdsaws

import (
	"cmp"
	"fmt"
	"time"

	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// Durability says when UpdateHistory returns.
type Durability int

const (
	// Committed: when the pair is stored. It is the default.
	Committed Durability = iota
	// Accepted: at once; it is stored within [Options.Lag]. For an event loop that must
	// not wait.
	Accepted
)

// Options change what an [Adapter] does. The zero value, and nil, are the defaults but
// for Namespace, which has none.
type Options struct {
	// Namespace sets this participant's channels apart from those of all others:
	// 1 to 256 bytes without '*' and '?'.
	Namespace string

	// Writer names this adapter in heads and in the errors of others that it fences, for
	// people; a random part is added to it. At most 64 bytes.
	Writer string

	// Region is the AWS region whose replicas of table and bucket this adapter works on, where
	// there are several: a global table of eventual consistency, a bucket with replication.
	// Whoever claims a channel makes its region the channel's home. Loads, and so writes,
	// drops, sweeps and repairs of a channel whose home is another one fail with
	// sds.ErrElsewhere. Give each adapter of a table one, or none: without it nothing of
	// this is checked. At most 64 bytes.
	Region string

	// Takeover lets loads and drops claim channels whose home is another region. Claims look at
	// this region's replica, and of two writes to one item the later one stays everywhere. So it
	// loses the commits that had not been replicated here, and when the old region still
	// writes, in the worst case more: see sds.ErrForked. First stop the old region's writers,
	// then wait until replication is done, then set it: docs/design.md, section 9.
	Takeover bool

	Durability Durability

	// Lag bounds how long what was accepted stays in memory alone: a snapshot that no
	// UpdateHistory follows, in both modes; every operation, when Durability is Accepted;
	// retrieval hints. Its commit starts early enough to leave a quarter of the
	// lag, at most 250 ms, for the request. Default 1 s.
	Lag time.Duration

	// MaxPending bounds the bytes of accepted work in memory over all channels, retrieval
	// hints included: as they are encoded, and some 256 more for each message and each
	// operation. Past it operations fail with an *sds.OverloadedError, and what passes it
	// alone with sds.ErrTooLarge. One channel, or the hints, may take four times as much as is
	// left: four fifths, when nobody else needs any. The update of a pair whose snapshot was
	// accepted is refused only when the bound is passed already, so these can pass it by as much
	// again. What is being written takes memory once more, compressed. Default 64 MiB.
	MaxPending int64

	// MaxInFlight is how many channels commit at once; the others wait for a place. A
	// quarter of the places, at least one, can be had by channels whose last commit has
	// failed, so that a throttled partition doesn't keep the others waiting. Who waits for a
	// commit that gets no place within 30 s is told that it isn't stored yet. With 64, the
	// default, commits that take 10 ms are 6,400 a second. LoadChannel, DropChannel, Archive
	// and what reads take no place: how many of them run is the caller's choice.
	MaxInFlight int

	// InlineBytes is from which size on, in bytes compressed, a message or a snapshot goes to
	// the archive, and only a reference to it into the log. A smaller one is cheaper, down
	// to 4 KB, but more commits wait for S3, and loads for as many objects: docs/design.md,
	// section 7, has the arithmetic. Default 16 KiB. What passes an item always goes to the
	// archive.
	InlineBytes int

	// GroupSize is how many offsets of the log a group spans at most: the first message of a
	// group is compressed by itself, the others against earlier ones of it. Larger groups cost
	// less; but a damaged item can make those behind it in its group unreadable, so that it takes up
	// to as many messages with it, and a needed message keeps its whole group in the log. 1: each by
	// itself. From 1 to 64, default 16: docs/design.md, section 6, weighs it.
	GroupSize int

	// When enough of the evicted history lies below the start of the log, it goes into a
	// segment in the archive: so many messages (default 1000), so many bytes of them as
	// they are stored (default 8 MiB, estimated), or any, the first of which was evicted so
	// long ago (default 24 h). Archiving is started by commits and by Flush; a sweep does
	// it for channels that nobody works on. A segment costs one PUT, three writes
	// of its manifest and the deletion of its messages.
	ArchiveMessages int
	ArchiveBytes    int64
	ArchiveAge      time.Duration

	// HintTTL lets retrieval hints expire that long after they were last set; 0: never.
	HintTTL time.Duration

	// The callbacks below are called by whoever works on the channel, which can be the caller of an
	// operation that has not returned yet: they must not take a lock that is held around one. They must
	// return soon, and not call the adapter.

	// OnFenced is called when another adapter was found to have claimed a channel, another
	// region to have replaced it (sds.ErrForked), or its home to be elsewhere when it was to be
	// written (sds.ErrElsewhere): what this one had accepted for it and not stored is given
	// up.
	OnFenced func(channelID string)

	// OnLag is called when work on a channel could not be stored and its oldest part has
	// waited for longer than Lag; it is told the wait and the error. The work is kept and
	// tried again.
	OnLag func(channelID string, behind time.Duration, err error)

	// OnArchiveLag is called when archiving has failed; it is told how many offsets of the
	// log wait to be archived. They stay in the log, commits go on, and archiving is tried
	// again with a later commit or Flush.
	OnArchiveLag func(channelID string, behind uint64, err error)

	// Telemetry is told what the adapter does; nil: nobody is.
	Telemetry *Telemetry

	// Clock replaces the machine's, for tests and simulations.
	Clock Clock
}

const (
	maxLabel = 64
	maxGroup = 64
)

func (o *Options) withDefaults() (Options, error) {
	var r Options
	if o != nil {
		r = *o
	}
	if err := store.CheckNamespace(r.Namespace); err != nil {
		return r, fmt.Errorf("sdsaws: Options.Namespace: %w: %w", sds.ErrInvalidArgument, err)
	}
	for name, v := range map[string]string{"Writer": r.Writer, "Region": r.Region} {
		if len(v) > maxLabel {
			return r, fmt.Errorf("sdsaws: Options.%s: %w: %d bytes, use at most %d",
				name, sds.ErrInvalidArgument, len(v), maxLabel)
		}
	}
	if r.Takeover && r.Region == "" {
		return r, fmt.Errorf("sdsaws: Options.Takeover: %w: without a Region", sds.ErrInvalidArgument)
	}
	if r.Lag < 0 || r.MaxPending < 0 || r.MaxInFlight < 0 || r.HintTTL < 0 || r.InlineBytes < 0 ||
		r.ArchiveMessages < 0 || r.ArchiveBytes < 0 || r.ArchiveAge < 0 {
		return r, fmt.Errorf("sdsaws: Options: %w: negative Lag, MaxPending, MaxInFlight, InlineBytes, HintTTL, "+
			"ArchiveMessages, ArchiveBytes or ArchiveAge", sds.ErrInvalidArgument)
	}
	if r.GroupSize < 0 || r.GroupSize > maxGroup {
		return r, fmt.Errorf("sdsaws: Options.GroupSize: %w: %d, use 1 to %d", sds.ErrInvalidArgument, r.GroupSize, maxGroup)
	}
	if r.Durability != Committed && r.Durability != Accepted {
		return r, fmt.Errorf("sdsaws: Options.Durability: %w: %d", sds.ErrInvalidArgument, r.Durability)
	}
	r.Lag = cmp.Or(r.Lag, time.Second)
	r.MaxPending = cmp.Or(r.MaxPending, 64<<20)
	r.MaxInFlight = cmp.Or(r.MaxInFlight, 64)
	r.InlineBytes = cmp.Or(r.InlineBytes, 16<<10)
	r.GroupSize = cmp.Or(r.GroupSize, 16)
	r.ArchiveMessages = cmp.Or(r.ArchiveMessages, 1000)
	r.ArchiveBytes = cmp.Or(r.ArchiveBytes, 8<<20)
	r.ArchiveAge = cmp.Or(r.ArchiveAge, 24*time.Hour)
	if r.Clock == nil {
		r.Clock = wallClock{}
	}
	return r, nil
}

// patience is how long accepted work waits before its commit starts.
func (o *Options) patience() time.Duration {
	return o.Lag - min(o.Lag/4, 250*time.Millisecond)
}
