// Package httpfault puts faults between the clients of the AWS SDK and the services: requests
// that aren't done, replies that are lost or cut, errors that DynamoDB and S3 document,
// batches of which a part is done, requests that arrive late.
package httpfault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/sdsaws/sdsaws/internal/ordeal"
)

// Transport is an http.RoundTripper that a process's clients of DynamoDB and S3 share. It
// asks once for each call of a client, however often the client tries, and does to the
// call's attempts what the fault says; see [Faults]. It owns the bodies of requests and
// replies whole. What arrives later than the client waits for isn't lost: only faults are to
// make a request slow.
type Transport struct {
	Base   http.RoundTripper
	Decide ordeal.Decide // nil: no faults

	// Hints is the table of hints: operations on it are named "hints.BatchWriteItem".
	Hints string

	mu    sync.Mutex       // protects what follows
	calls map[string]fault // of each call, by its Amz-Sdk-Invocation-Id
	rest  map[string]bool  // what is left of a batch, and refused when it is sent again
	late  []*exchange
}

// exchange is one attempt: the request and, when that was sent, the reply.
type exchange struct {
	t       *Transport
	op      string // without "hints."
	request *http.Request
	body    []byte
	reply   reply
}

// reply is a reply that was read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	x, err := t.exchange(r)
	if err != nil {
		return nil, err
	}
	answer, err := t.answer(x)
	if err != nil {
		return nil, err
	}
	return answer(x)
}

func (t *Transport) exchange(r *http.Request) (*exchange, error) {
	x := &exchange{t: t, request: r.Clone(r.Context())} // some faults change it
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err := errors.Join(err, r.Body.Close()); err != nil {
			return nil, err
		}
		x.body = body
	}
	var err error
	x.op, err = operation(r)
	return x, err
}

// answer says what becomes of an attempt. It decides when it is the first of its call; the
// attempts of a call follow each other.
func (t *Transport) answer(x *exchange) (answer, error) {
	id := x.request.Header.Get("Amz-Sdk-Invocation-Id")
	if id == "" {
		return nil, errors.New("httpfault: a request without Amz-Sdk-Invocation-Id")
	}
	t.mu.Lock()
	f, later := t.calls[id]
	t.mu.Unlock()
	if later {
		return f.later, nil
	}
	f = t.decide(x)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.calls == nil {
		t.calls = map[string]fault{}
	}
	t.calls[id] = f
	return f.first, nil
}

func (t *Transport) decide(x *exchange) fault {
	if t.Decide == nil {
		return none
	}
	name := x.op
	if t.Hints != "" && bytes.Contains(x.body, []byte(`"`+t.Hints+`"`)) {
		name = hintsPrefix + name
	}
	decided := t.Decide(name)
	if t.isRefusedRest(x) {
		return fault{refuse, refuse}
	}
	if decided == ordeal.None {
		return none
	}
	f, ok := catalogOf(x.op).faults[decided]
	if !ok {
		wrong := broken(fmt.Errorf("httpfault: %s has no fault %q", name, decided))
		return fault{wrong, wrong}
	}
	return f
}

// send does the request. It takes the reply even if the attempt's timeout has passed
// meanwhile, but ends when the caller's context does.
func (x *exchange) send() error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(x.request.Context()))
	defer cancel()
	stop := context.AfterFunc(x.request.Context(), func() {
		cause := context.Cause(x.request.Context())
		if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
			cancel()
		}
	})
	defer stop()
	return x.sendWith(ctx)
}

func (x *exchange) sendWith(ctx context.Context) error {
	r := x.request.Clone(ctx)
	r.Body, r.ContentLength = http.NoBody, int64(len(x.body))
	if len(x.body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(x.body))
	}
	out, err := x.t.Base.RoundTrip(r)
	if err != nil {
		return err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	x.reply = reply{out.StatusCode, out.Header, body}
	return err
}

// response makes of the reply what a client reads.
func (x *exchange) response() *http.Response {
	return x.responseOf(io.NopCloser(bytes.NewReader(x.reply.body)))
}

func (x *exchange) responseOf(body io.ReadCloser) *http.Response {
	length := int64(len(x.reply.body))
	if x.request.Method == http.MethodHead {
		length = -1 // that of the object is in the header
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", x.reply.status, http.StatusText(x.reply.status)), StatusCode: x.reply.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: x.reply.header, Body: body, ContentLength: length, Request: x.request,
	}
}

// releaseTimeout ends a late request that the service doesn't answer.
const releaseTimeout = 30 * time.Second

// Release sends what was held back as ordeal.Late, one after the other, and ignores what the
// service replies. The error is that of a request that wasn't done.
func (t *Transport) Release() error {
	t.mu.Lock()
	late := t.late
	t.late = nil
	t.mu.Unlock()
	var failed error
	for _, x := range late {
		ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
		err := x.sendWith(ctx)
		cancel()
		if err == nil && x.reply.status >= http.StatusInternalServerError {
			err = fmt.Errorf("status %d", x.reply.status)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("httpfault: late %s: %w", x.op, err))
		}
	}
	return failed
}

// hold keeps a request for Release.
func (t *Transport) hold(x *exchange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.late = append(t.late, x)
}
