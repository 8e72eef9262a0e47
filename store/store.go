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
// Package storetest holds the conformance suite that every backend passes.
package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
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
	Writer   string // who holds the channel, for people and errors
	Region   string // where its holder writes, for people and errors

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

// Log keeps heads and messages. Its methods are safe for concurrent use. What is
// passed in is not kept or changed after a method has returned; what is returned
// belongs to the caller.
//
// When a write returns an error that is neither [ErrConflict] nor [ErrTooLarge], it
// may have happened, and may even happen later: a lost reply looks like a lost
// request. Sending the same write again with the same CommitID is always safe.
type Log interface {
	// Limits returns what a commit to key can hold. It makes no request.
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

	// ErrMalformed says that what is stored is not what this backend writes.
	ErrMalformed = errors.New("stored item is malformed")
)

// ConflictError says that a condition failed: nothing was written.
type ConflictError struct {
	Current *Head // the head that is stored instead, nil when there is none
}

func (e *ConflictError) Error() string {
	if e.Current == nil {
		return ErrConflict.Error() + ": there is none"
	}
	return fmt.Sprintf("%v: epoch %d, writer %q", ErrConflict, e.Current.Epoch, e.Current.Writer)
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }
