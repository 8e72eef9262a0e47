package mute

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
)

// stalled is a timeout of one attempt, as the retry policy has it.
type stalled struct{}

func (stalled) Error() string        { return "no reply" }
func (stalled) Timeout() bool        { return true }
func (stalled) RetryableError() bool { return true }

// TestWhatRetriesGoByStays: errors of replies say no more what they held, and yet what the client's
// retryer asks them.
func TestWhatRetriesGoByStays(t *testing.T) {
	broken := &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
	for name, c := range map[string]struct {
		cause error
		want  error
	}{
		"cut short":  {io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
		"canceled":   {context.Canceled, context.Canceled},
		"deadline":   {context.DeadlineExceeded, context.DeadlineExceeded},
		"broken":     {broken, broken},
		"stalled":    {stalled{}, stalled{}},
		"not base64": {base64.CorruptInputError(3), errUnreadable},
		"no JSON":    {errors.New("got secret"), errUnreadable},
		"no cause":   {nil, errUnreadable},
	} {
		unread := &smithy.DeserializationError{Err: fmt.Errorf("got secret: %w", c.cause), Snapshot: []byte("secret")}
		scrub(fmt.Errorf("operation error: %w", unread))
		if !errors.Is(unread, c.want) || !errors.Is(unread, errUnreadable) {
			t.Errorf("%s: %v, want %v", name, unread, c.want)
		}
		if strings.Contains(fmt.Sprintf("%v %+v %q", unread, unread, unread.Snapshot), "secret") {
			t.Errorf("%s: %v shows what the reply held", name, unread)
		}
	}
	var connection net.Error
	unread := &smithy.DeserializationError{Err: fmt.Errorf("x: %w", broken)}
	if scrub(unread); !errors.As(unread, &connection) || !strings.Contains(unread.Error(), "connection reset") {
		t.Errorf("%v, want the fault of the connection", unread)
	}
	scrub(nil)
}

// TestQuotedValuesGo, and the rest of a message stays.
func TestQuotedValuesGo(t *testing.T) {
	for message, want := range map[string]string{
		"Value 'secret' at 'item' failed":                        "Value '…' at 'item' failed",
		"Value 'sec' at 'ret\n' at 'item' failed":                "Value '…' at 'item' failed",
		"Value 'secret' at 'a' failed; Value 'secret' at 'b' is": "Value '…' at 'b' is",
		"not authorized to perform: dynamodb:Query":              "not authorized to perform: dynamodb:Query",
	} {
		refused := &smithy.GenericAPIError{Code: "ValidationException", Message: message}
		if scrub(fmt.Errorf("x: %w", refused)); refused.Message != want || refused.Code != "ValidationException" {
			t.Errorf("%q became %q, want %q", message, refused.Message, want)
		}
	}
}
