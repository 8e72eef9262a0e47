package sds

import (
	"errors"
	"fmt"
	"time"
)

// What can be wrong with bytes or values that are handed over. All come in a
// [*DecodeError] when bytes were read.
var (
	// ErrMalformed says that bytes are not protobuf as nim-sds reads it.
	ErrMalformed = errors.New("malformed encoding")

	// ErrMissingField says that a field is missing which every encoder writes.
	ErrMissingField = errors.New("required field is missing")

	// ErrSchemaVersion says that a snapshot's schema version is not [SchemaVersion]: it was
	// made by another version of SDS. Use a version of this module that knows it.
	ErrSchemaVersion = errors.New("unknown schema version")

	// ErrOutOfRange says that a Lamport timestamp or a time is 2^63 or more, or
	// negative. The reference decoder would end its process at such bytes.
	ErrOutOfRange = errors.New("integer is out of range, use 0 to 2^63-1")

	// ErrEmptyUpdate says that a HistoryUpdate holds nothing, which has no encoding.
	ErrEmptyUpdate = errors.New("history update appends and evicts nothing")
)

// What operations of a [Persistence] fail with.
var (
	// ErrFenced says that another holder has claimed the channel. Nothing that is done here
	// has an effect any more; load the channel to claim it back. What was on its way when the other
	// claimed may have been stored before that.
	ErrFenced = errors.New("fenced: the channel was claimed by another holder, load it to go on")

	// ErrElsewhere says that the channel's home is another region, which the error names, and
	// that the operation would write here. Nothing was changed. Work on the channel there; or, when that
	// region has stopped for good, load it here with the option to take over.
	ErrElsewhere = errors.New("the channel's home is another region, work on it there or take it over")

	// ErrForked says that two regions wrote the channel without knowing of each other. Of two
	// writes to one item the later one stays, so what was written is lost in part. From a
	// commit: what this holder has committed was replaced by the other region's. From a load:
	// messages are not those that the head was committed with; nothing was changed. Have one
	// region alone write, wait until replication is done, and load again. When a load still
	// says so then, restore the channel or drop it.
	ErrForked = errors.New("forked: another region has written the channel too, load it when replication is done")

	// ErrClosed says that the operation came after Close.
	ErrClosed = errors.New("closed")

	// ErrIncomplete says that a stored item that the channel needs is not there. Nothing
	// was changed. With several regions it may be on its way from another: load again. Else
	// restore the item, or drop the channel.
	ErrIncomplete = errors.New("stored item is missing, restore it or drop the channel")

	// ErrNotFound says that there is no such message, in the log and in the archive. It is
	// not for what should be there and isn't: that is ErrIncomplete.
	ErrNotFound = errors.New("no message of that id")

	// ErrCorrupt says that stored bytes fail their checksum or can't be decoded. Nothing was
	// changed. Restore the item, or drop the channel.
	ErrCorrupt = errors.New("stored bytes are damaged, restore them or drop the channel")

	// ErrUnsupportedFormat says that stored bytes were written by a newer version of the
	// backend. Nothing was changed. Update it.
	ErrUnsupportedFormat = errors.New("stored by a newer version, update this one")

	// ErrTooLarge says that a value doesn't fit into the store. It was not accepted.
	ErrTooLarge = errors.New("value is too large")

	// ErrOverloaded says that as much accepted work as may wait in memory does. The
	// operation was not accepted; hand it over again, merged with the next. An
	// [*OverloadedError] says how much waits.
	ErrOverloaded = errors.New("overloaded: too much waits to be stored, hand it over again later")

	// ErrInvalidArgument says that an argument can't be used: an empty channel id, a nil
	// context, a nil snapshot or update.
	ErrInvalidArgument = errors.New("invalid argument")

	// ErrUnknownOutcome says that a write may have happened, or may happen yet. It stays
	// accepted: the next operation on the channel, or a timer, finds out and sends it again
	// where needed.
	ErrUnknownOutcome = errors.New("outcome is not known")
)

// DecodeError says which bytes could not be decoded.
type DecodeError struct {
	Type   string // of the outermost value: Message, ChannelMeta, …
	Field  string // where the damage is, as a path; may be empty
	Offset int    // of the byte at which it was noticed
	Err    error  // ErrMalformed, ErrMissingField, ErrSchemaVersion or ErrOutOfRange
}

func (e *DecodeError) Error() string {
	where := e.Type
	if e.Field != "" {
		where += "." + e.Field
	}
	return fmt.Sprintf("sds: decode %s at byte %d: %v", where, e.Offset, e.Err)
}

// Unwrap returns Err.
func (e *DecodeError) Unwrap() error { return e.Err }

// ChannelError says which operation on which channel failed.
type ChannelError struct {
	Op      string // save, update, commit, load, drop, flush, sweep, archive, history, …
	Channel string // the channel id, whole
	Item    string // the stored item that it is about; may be empty
	Err     error
}

const shownID = 64 // bytes of an id in an error's text

func (e *ChannelError) Error() string {
	id := fmt.Sprintf("%q", e.Channel)
	if n := len(e.Channel); n > shownID {
		id = fmt.Sprintf("%q… (%d bytes)", e.Channel[:shownID], n)
	}
	if e.Item == "" {
		return fmt.Sprintf("sds: %s channel %s: %v", e.Op, id, e.Err)
	}
	return fmt.Sprintf("sds: %s channel %s: %s: %v", e.Op, id, e.Item, e.Err)
}

// Unwrap returns Err.
func (e *ChannelError) Unwrap() error { return e.Err }

// OverloadedError is an [ErrOverloaded] that says how far behind the backend is.
type OverloadedError struct {
	Pending int64         // bytes of accepted work in memory, over all channels
	Limit   int64         // how many there may be
	Channel int64         // of Pending, those of the operation's own channel
	Behind  time.Duration // for how long the oldest of it has waited, known to a second
}

func (e *OverloadedError) Error() string {
	return fmt.Sprintf("%v: %d of %d bytes, of this channel %d, the oldest for %v",
		ErrOverloaded, e.Pending, e.Limit, e.Channel, e.Behind.Round(time.Millisecond))
}

// Is makes errors.Is(err, ErrOverloaded) true.
func (e *OverloadedError) Is(target error) bool { return target == ErrOverloaded }
