package sdsaws

import (
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

	// Region is noted in the heads that this adapter writes, for people. At most 64 bytes.
	Region string

	Durability Durability

	// Lag bounds how long what was accepted stays in memory alone: a snapshot that no
	// UpdateHistory follows, in both modes; every operation, when Durability is Accepted;
	// retrieval hints. Its commit starts early enough to leave a quarter of the
	// lag, at most 250 ms, for the request. Default 1 s.
	Lag time.Duration

	// MaxPending bounds the bytes of accepted work in memory, encoded and compressed,
	// over all channels. Past it operations fail with sds.ErrOverloaded. A pair whose
	// snapshot was accepted is never refused, so it can be passed by one update a
	// channel. Default 64 MiB.
	MaxPending int64

	// HintTTL lets retrieval hints expire that long after they were last set; 0: never.
	HintTTL time.Duration

	// OnFenced is called when another adapter was found to have claimed a channel: what
	// this one had accepted for it and not stored is given up.
	OnFenced func(channelID string)

	// OnLag is called when work on a channel could not be stored and its oldest part has
	// waited for longer than Lag; it is told the wait and the error. The work is kept and
	// tried again.
	OnLag func(channelID string, behind time.Duration, err error)

	// Clock replaces the machine's, for tests and simulations.
	Clock Clock
}

const maxLabel = 64

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
	if r.Lag < 0 || r.MaxPending < 0 || r.HintTTL < 0 {
		return r, fmt.Errorf("sdsaws: Options: %w: negative Lag, MaxPending or HintTTL",
			sds.ErrInvalidArgument)
	}
	if r.Durability != Committed && r.Durability != Accepted {
		return r, fmt.Errorf("sdsaws: Options.Durability: %w: %d", sds.ErrInvalidArgument, r.Durability)
	}
	if r.Lag == 0 {
		r.Lag = time.Second
	}
	if r.MaxPending == 0 {
		r.MaxPending = 64 << 20
	}
	if r.Clock == nil {
		r.Clock = wallClock{}
	}
	return r, nil
}

// patience is how long accepted work waits before its commit starts.
func (o *Options) patience() time.Duration {
	return o.Lag - min(o.Lag/4, 250*time.Millisecond)
}
