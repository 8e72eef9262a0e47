package export

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// What a file may have: so much memory a reader takes at most, whatever it is given.
const (
	maxChannelID = 64 << 10 // bytes
	maxIDs       = 64 << 20 // bytes of all channel ids in a file
	maxChannels  = 1 << 20  // in a file
	maxHint      = 1 << 20  // bytes of a hint and its message id
	maxTime      = 8        // bytes of when a message was archived
	uvarint      = 10       // bytes at most
	window       = 64       // messages behind which their hints come
)

// maxPayload is how many bytes a record's payload has at most.
func maxPayload(k Kind) int {
	switch k {
	case Namespace:
		return store.MaxNamespace
	case Channel:
		return maxChannelID
	case Snapshot:
		return record.MaxPlain
	case Message:
		return 1 + maxTime + record.MaxPlain
	case Hint:
		return uvarint + maxHint
	case EndChannel:
		return 2 * sha256.Size
	default:
		return 5*uvarint + sha256.Size
	}
}

// name stands for an id: there may be many, and long ones.
type name [16]byte

func nameOf[T string | []byte](id T) name {
	sum := sha256.Sum256([]byte(id))
	return name(sum[:])
}

type names map[name]struct{}

// add reports whether an id is new.
func (n names) add(id name) bool {
	before := len(n)
	n[id] = struct{}{}
	return len(n) > before
}

func (n names) has(id name) bool { _, ok := n[id]; return ok }

// rules are what a file must be for a channel to be restored from it. Writer and Reader hold each record against them.
type rules struct {
	last     Kind  // of the record before
	inside   bool  // a channel
	channels names // of the file
	bytes    int   // of their ids

	// Of the channel:
	logged   bool         // a message is in the log
	live     names        // messages that are history
	buffered names        // messages in the snapshot's buffers
	latest   [window]name // messages
	messages int
}

func newRules() rules { return rules{channels: names{}, live: names{}, buffered: names{}} }

// follows reports whether a record of a kind, with a payload of so many bytes, may come where it does.
func (r *rules) follows(k Kind, size uint64) error {
	ok := false
	switch k {
	case Namespace:
		ok = r.last == 0
	case Channel, End:
		ok = r.last != 0 && !r.inside
	case Snapshot:
		ok = r.last == Channel
	case Message, Hint, EndChannel:
		ok = r.inside && r.last != Channel
	}
	if !ok {
		return fmt.Errorf("a record of kind %d behind one of kind %d", k, r.last)
	}
	if most := maxPayload(k); size > uint64(most) { //nolint:gosec // above 0
		return fmt.Errorf("a record of kind %d has %d bytes, at most %d fit", k, size, most)
	}
	r.last = k
	return nil
}

func (r *rules) channel(id string) error {
	switch {
	case id == "":
		return errors.New("a channel without an id")
	case len(r.channels) == maxChannels || r.bytes+len(id) > maxIDs:
		return fmt.Errorf("a file has at most %d channels, with ids of %d bytes in all: use several", maxChannels, maxIDs)
	case !r.channels.add(nameOf(id)):
		return errors.New("a channel twice")
	}
	r.bytes += len(id)
	r.inside, r.logged, r.messages = true, false, 0
	r.live, r.buffered = names{}, names{}
	return nil
}

func (r *rules) snapshot(b []byte) error {
	if err := sds.ValidateMeta(b); err != nil {
		return fmt.Errorf("a snapshot: %w", err)
	}
	for id := range sds.BufferedIDs(b) {
		if r.buffered.add(nameOf(id)); len(r.buffered) > record.MaxBuffered {
			return fmt.Errorf("a snapshot with over %d messages in its buffers", record.MaxBuffered)
		}
	}
	return nil
}

func (r *rules) message(w Where, archivedAt time.Time, b []byte) error {
	switch {
	case w > History:
		return fmt.Errorf("a message in a place %d", w)
	case w == Archived && archivedAt.UnixMilli() < 0:
		return errors.New("a message archived before 1970")
	case w == Archived && r.logged:
		return errors.New("a message that is archived behind one that is not")
	case len(b) > record.MaxPlain:
		return fmt.Errorf("a message of %d bytes", len(b))
	}
	info, err := sds.InspectMessage(b)
	if err != nil {
		return fmt.Errorf("a message: %w", err)
	}
	id := nameOf(info.MessageID)
	if w == History && (len(r.live) == record.MaxNeeded || !r.live.add(id)) {
		return fmt.Errorf("two messages of one id are history, or over %d are", record.MaxNeeded)
	}
	r.logged = w != Archived
	r.latest[r.messages%window] = id
	r.messages++
	return nil
}

// hint reports whether a hint belongs to the channel.
func (r *rules) hint(h store.Hint) error {
	if n := len(h.MessageID) + len(h.Value); n > maxHint {
		return fmt.Errorf("a hint has, with its message id, %d bytes, at most %d fit", n, maxHint)
	}
	id := nameOf(h.MessageID)
	if r.buffered.has(id) {
		return nil
	}
	for i := range min(r.messages, window) {
		if r.latest[i] == id {
			return nil
		}
	}
	return fmt.Errorf("a hint of a message that isn't among the %d before it, nor in the snapshot", window)
}
