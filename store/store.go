// Package store says what a backend must do to keep the channels of SDS
// participants: a [Log] for the head and the messages of a channel, and [Hints].
//
// A channel is an append-only log of messages, each written once at an offset of
// its own, and one head that says what they mean. Everything that changes a channel
// is one write that is conditional on the commit id of the head, so that of two
// writers one wins and the other learns of it. A backend compares, stores and gives
// back; it never looks into a body. What a body means is the business of the adapter
// above, which also checks it: a backend that loses or alters bytes is found out.
//
// Every method returns soon after its ctx has ended, whether what was asked for is done or not: callers
// wait for it in their own goroutine.
//
// Package storetest holds the conformance suite that every backend passes.
package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Key names the channel of one participant. Both parts are arbitrary bytes of any
// length (namespaces: see [CheckNamespace]); keys with different parts never meet in
// a backend, whatever bytes they hold.
type Key struct {
	Namespace string // the participant, or the tenant and the participant
	Channel   string
}

// MaxNamespace is the length limit of a namespace in bytes. It keeps every key within
// a backend's limits with the namespace in clear, as access rules need it.
const MaxNamespace = 256

// CheckNamespace reports whether a namespace can be used: 1 to [MaxNamespace] bytes
// without '*' and '?', which are wildcards in the policies that confine a tenant to
// its namespace.
func CheckNamespace(ns string) error {
	if len(ns) == 0 || len(ns) > MaxNamespace {
		return fmt.Errorf("namespace has %d bytes: use 1 to %d", len(ns), MaxNamespace)
	}
	for i := range len(ns) {
		if ns[i] == '*' || ns[i] == '?' {
			return errors.New("namespace holds '*' or '?': wildcards in access policies, use other bytes")
		}
	}
	return nil
}

// CommitID names one state of a head. It is random and new with every commit and
// every claim; the zero CommitID stands for "there is no head".
type CommitID [16]byte

// String returns the id as 32 hexadecimal digits.
func (id CommitID) String() string { return hex.EncodeToString(id[:]) }

// Head is the commit record of a channel.
type Head struct {
	CommitID CommitID
	Epoch    uint64 // counts claims: a larger one is a later holder of the channel
	Writer   string // who holds the channel, for people and errors; at most 128 bytes
	Region   string // where its holder writes, its home; at most 128 bytes

	// Origin ≤ Start ≤ Next. Offsets below Origin were dropped, offsets below Start
	// are needed by nothing that the head says, Next is the offset of the next message.
	// None of them ever goes back.
	Origin, Start, Next uint64

	Body []byte // opaque to a backend, never empty
}

// Message is one entry of a channel's log.
type Message struct {
	Offset  uint64
	ID      string // arbitrary bytes, any length, may be empty
	Lamport int64  // Lamport timestamp, for readers that filter by it
	Body    []byte // opaque to a backend, never empty

	// Staged is the commit id that it was staged under, zero when it came with a commit. It
	// is set in what is read, and nothing in what is written.
	Staged CommitID
}

// Segment is the manifest of a range of a log that is archived, or about to be.
type Segment struct {
	From, To uint64 // it covers the offsets from From to To-1
	Body     []byte // opaque to a backend, never empty
}

// Claim is what a new holder of a channel writes over a head.
type Claim struct {
	CommitID CommitID
	Writer   string
	Region   string
}

// Limits are what one commit to a channel can hold. A backend without a limit gives
// math.MaxInt.
type Limits struct {
	Messages     int // messages in one commit
	HeadBytes    int // Body of a head
	MessageBytes int // ID and Body of a message together
	CommitBytes  int // Body of the head and ID and Body of all messages together
}

// Check returns an [ErrTooLarge] that says what, when a commit passes the limits.
func (l Limits) Check(head Head, messages []Message) error {
	tooLarge := func(what string, n, limit int) error {
		return fmt.Errorf("%w: %s %d, the limit is %d", ErrTooLarge, what, n, limit)
	}
	if n := len(messages); n > l.Messages {
		return tooLarge("messages in a commit:", n, l.Messages)
	}
	total := len(head.Body)
	if total > l.HeadBytes {
		return tooLarge("bytes of the head:", total, l.HeadBytes)
	}
	for _, m := range messages {
		n := len(m.ID) + len(m.Body)
		if n > l.MessageBytes {
			return tooLarge(fmt.Sprintf("bytes of the message at offset %d:", m.Offset), n, l.MessageBytes)
		}
		total += n
	}
	if total > l.CommitBytes {
		return tooLarge("bytes of a commit:", total, l.CommitBytes)
	}
	return nil
}

// Log keeps heads and messages. Its methods are safe for concurrent use. What is
// passed in is not kept or changed after a method has returned; what is returned
// belongs to the caller.
//
// When a write returns an error that is neither [ErrConflict] nor [ErrTooLarge], it
// may have happened, and may even happen later: a lost reply looks like a lost
// request. Sending the same write again with the same CommitID is always safe.
type Log interface {
	// Limits returns what a commit to key can hold, the same each time. It makes no request.
	Limits(key Key) Limits

	// Load returns the head of a channel and the messages at offsets from
	// max(from, head.Start) to head.Next-1 in ascending order, both as of one moment
	// or, for messages, later; it returns a nil head when there is none. It is strongly
	// consistent: what was committed before the call is seen. Messages that are not
	// there are left out without an error.
	Load(ctx context.Context, key Key, from uint64) (*Head, []Message, error)

	// Head returns the head of a channel, strongly consistent, or nil.
	Head(ctx context.Context, key Key) (*Head, error)

	// Messages returns those of the messages at the given offsets that are there, in
	// no particular order, strongly consistent.
	Messages(ctx context.Context, key Key, offsets []uint64) ([]Message, error)

	// Commit replaces the head whose commit id is prev (the zero CommitID: creates the
	// first head) and writes messages, all or nothing, durable when it returns nil. When
	// the stored head has another commit id nothing is written, and the error is a
	// *ConflictError. Without messages it is one conditional write of the head.
	Commit(ctx context.Context, key Key, prev CommitID, head Head, messages []Message) error

	// Claim sets commit id, writer and region of the head whose commit id is prev and
	// adds one to its epoch; the rest of the head stays. Errors are as with Commit.
	Claim(ctx context.Context, key Key, prev CommitID, claim Claim) error

	// Delete removes the messages at offsets from from to to-1. A part of them may be gone
	// when it fails; calling it again goes on.
	Delete(ctx context.Context, key Key, from, to uint64) error

	// Stage writes messages at or above the head's Next, where no reader looks until a
	// head takes them in: all or nothing, while the head's commit id is prev. It is for what
	// passes the limits of one commit; each call has those limits. Errors are as with Commit.
	// Below Next it writes again what is there: see the adapter's takeover.
	Stage(ctx context.Context, key Key, prev CommitID, messages []Message) error

	// Unstage removes messages at or above the head's Next that were staged under another
	// commit id than the head's: no head can take them in any more.
	Unstage(ctx context.Context, key Key) error

	// Page returns messages at offsets from from to to-1 in ascending order, strongly
	// consistent, as many as one request gives, and the offset to go on from: to when
	// there are no more.
	Page(ctx context.Context, key Key, from, to uint64) ([]Message, uint64, error)

	// Find returns the head and the messages with an id at offsets from Origin to Next-1, in
	// ascending order, strongly consistent.
	Find(ctx context.Context, key Key, id string) (*Head, []Message, error)

	// AddSegment stores a manifest while the head's Origin is origin and no other
	// has its From. The errors are a *ConflictError and ErrExists.
	AddSegment(ctx context.Context, key Key, origin uint64, s Segment) error

	// ReplaceSegment replaces the manifest with the same From. When there is none nothing is
	// written and the error is ErrNotFound.
	ReplaceSegment(ctx context.Context, key Key, s Segment) error

	// Segments returns the first limit manifests whose From is at least from, in
	// ascending order, strongly consistent.
	Segments(ctx context.Context, key Key, from uint64, limit int) ([]Segment, error)

	// LastSegment returns the manifest with the highest From below below, strongly
	// consistent, or nil.
	LastSegment(ctx context.Context, key Key, below uint64) (*Segment, error)

	// DeleteSegments removes the manifests whose From is below below. A part of them may be
	// gone when it fails.
	DeleteSegments(ctx context.Context, key Key, below uint64) error

	// Channels yields the channels of a namespace that have a head, in no particular
	// order; new ones may be missing for a while. Where a channel's id can't be known any
	// more, it yields an ErrMalformed and goes on; after another error it ends.
	Channels(ctx context.Context, namespace string) iter.Seq2[string, error]

	// Stored yields the channels of a namespace of which anything is stored, with a head or
	// without, in no particular order, strongly consistent. It may read all that the backend
	// holds, of other namespaces too. Where something is stored of a channel whose
	// id can't be known any more, it yields an ErrMalformed and goes on; after another error it ends.
	Stored(ctx context.Context, namespace string) iter.Seq2[string, error]
}

// Hint is the retrieval hint of a message: what helps to find it outside SDS.
type Hint struct {
	MessageID string // arbitrary bytes, any length
	Value     []byte // arbitrary bytes, may be empty
}

// Hints keeps retrieval hints, each under a namespace and a message id. Its methods
// are safe for concurrent use; ownership of slices is as with [Log].
type Hints interface {
	// HintLimit returns how many bytes the id and the value of a hint may have together.
	HintLimit(namespace string) int

	// SetHints stores hints, replacing what is there under the same ids; ids must
	// differ. A ttl above 0 lets them expire that long after now. They are durable when it
	// returns nil; some of them may be stored when it doesn't.
	SetHints(ctx context.Context, namespace string, hints []Hint, ttl time.Duration) error

	// Hints returns the hints of those ids that have one which has not expired, in no
	// particular order, strongly consistent.
	Hints(ctx context.Context, namespace string, ids []string) ([]Hint, error)

	// DeleteHints removes the hints of ids. It is no error when there is none.
	DeleteHints(ctx context.Context, namespace string, ids []string) error
}

var (
	// ErrConflict is what a [ConflictError] is: the head was not the expected one and
	// nothing was written.
	ErrConflict = errors.New("head has another commit id")

	// ErrTooLarge says that a value passes what the backend can hold. Nothing was sent.
	ErrTooLarge = errors.New("value is too large for the backend")

	// ErrMalformed says that what is stored is not what this backend writes. Load gives it
	// in a [MalformedError].
	ErrMalformed = errors.New("stored item is malformed")
)

// MalformedError says which stored item is not what this backend writes.
type MalformedError struct {
	Item string // "head", "message at offset 7", or what it is a part of: "database"
	Err  error  // wraps ErrMalformed
}

func (e *MalformedError) Error() string { return e.Item + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *MalformedError) Unwrap() error { return e.Err }

// ConflictError says that a condition failed: nothing was written.
type ConflictError struct {
	Current *Head // the head that is stored instead, nil when there is none
}

func (e *ConflictError) Error() string {
	if e.Current == nil {
		return ErrConflict.Error() + ": there is none"
	}
	region := ""
	if e.Current.Region != "" {
		region = fmt.Sprintf(", region %q", e.Current.Region)
	}
	return fmt.Sprintf("%v: epoch %d, writer %q%s", ErrConflict, e.Current.Epoch, e.Current.Writer, region)
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }
