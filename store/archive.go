package store

import (
	"context"
	"errors"
	"iter"
)

// Object is one version of an object in an [Archive].
type Object struct {
	// Name consists of letters, digits, and the characters -_.=/ and has at most 1000
	// bytes, 250 between two slashes.
	Name string

	// Version tells objects of one name apart. It is opaque, at most 1024 bytes, and empty in an
	// archive that keeps none.
	Version string

	// Size is in bytes. In an argument of Get it is how many the object must have, 0: any.
	Size int64
}

// Archive keeps objects: history that left the log, and what is too large for it. Its
// methods are safe for concurrent use; ownership of slices is as with [Log].
type Archive interface {
	// Put stores body under a name that has no object yet, whole or not at all, durable when
	// it returns nil, and verified: the archive has compared a checksum. When there is one
	// with the same bytes that is as good; with other bytes the error is ErrExists, nothing
	// has changed, and the Object is the one that is there.
	Put(ctx context.Context, name string, body []byte) (Object, error)

	// Get returns the bytes of an object: of its version, or, when o has none, of the current
	// one. ErrNotFound when there is none. With o.Size above 0 it reads and allocates no more than
	// that and some KB, however large the object is: of another size it is an ErrSize.
	Get(ctx context.Context, o Object) ([]byte, error)

	// List yields every version of every object whose name begins with prefix, in
	// ascending order of names; it sees what was put before it was called. What a
	// versioned bucket keeps as delete markers counts as a version of size 0. After an error it
	// ends.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]

	// Delete removes these versions for good. It is no error when they aren't there. A
	// part of them may be gone when it fails.
	Delete(ctx context.Context, objects ...Object) error
}

var (
	// ErrExists says that something else is stored under the name. Nothing was written.
	ErrExists = errors.New("exists already, with other content")

	// ErrSize says that an object has another size than was asked for. It was not read.
	ErrSize = errors.New("object has another size")

	// ErrNotFound says that there is nothing of that name.
	ErrNotFound = errors.New("not found")
)
