// Package mute keeps what is sent and stored out of the errors of the AWS SDK's clients, and so out of
// its log, which tells of each attempt that fails.
package mute

import (
	"context"
	"errors"
	"io"
	"regexp"

	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// Errors is an APIOption for clients and calls. What can be told of an error by its code or its type
// stays: see scrub.
func Errors(s *middleware.Stack) error {
	if _, ok := s.Deserialize.Get(id); ok {
		return nil
	}
	// Outermost of what runs within an attempt.
	return s.Deserialize.Add(middleware.DeserializeMiddlewareFunc(id, func(
		ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
	) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, meta, err := next.HandleDeserialize(ctx, in)
		if err != nil {
			scrub(err)
		}
		return out, meta, err
	}), middleware.Before)
}

const id = "sdsaws:mute"

// value is how a service quotes a value that it refuses, up to the last one in the message.
var value = regexp.MustCompile(`(?s)Value '.*' at '`)

// scrub takes out of an error that the SDK has just made what may be of a request or a reply:
//
//   - of a reply that can't be read, the bytes that it keeps and what it says of them, for it
//     quotes what it has found instead of what it has expected;
//   - of a request that a service refuses as not valid, the values that the message quotes.
func scrub(err error) {
	if unread := (*smithy.DeserializationError)(nil); errors.As(err, &unread) {
		unread.Snapshot, unread.Err = nil, unreadable(unread.Err)
	}
	if refused := (*smithy.GenericAPIError)(nil); errors.As(err, &refused) {
		refused.Message = value.ReplaceAllString(refused.Message, "Value '…' at '")
	}
}

var errUnreadable = errors.New("the reply can't be read")

// unreadable returns an error that says only of the causes what callers ask for: that the
// reply was cut short, or the connection is broken.
func unreadable(cause error) error {
	all := []error{errUnreadable}
	for _, known := range []error{io.ErrUnexpectedEOF, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(cause, known) {
			all = append(all, known)
		}
	}
	var broken interface { // a fault of the connection, or a timeout of an attempt
		error
		Timeout() bool
	}
	if errors.As(cause, &broken) {
		all = append(all, broken)
	}
	return errors.Join(all...)
}
