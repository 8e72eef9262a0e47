// Package runtimeapi is Lambda's runtime API, as a function sees it, for tests and benchmarks: it gives
// a process invocations, and takes its answers.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
package runtimeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// API serves one instance of a function.
type API struct {
	listener net.Listener
	server   http.Server
	queue    chan *invocation
	ready    chan struct{} // closed by the first request for an invocation
	closed   chan struct{}

	mu         sync.Mutex // protects what follows
	sent       map[string]*invocation
	numbers    int
	isReady    bool
	registered bool
}

type invocation struct {
	id       string
	payload  []byte
	deadline time.Time
	answer   chan Answer // of capacity 1
}

// Answer is what a function has answered to an invocation.
type Answer struct {
	Payload []byte         // of a response
	Error   *FunctionError // else
}

// FunctionError is the error of an invocation.
type FunctionError struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

// Start serves the API until Close.
func Start(ctx context.Context) (*API, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &API{listener: l, queue: make(chan *invocation), ready: make(chan struct{}), closed: make(chan struct{}),
		sent: map[string]*invocation{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", a.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", a.respond)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", a.fail)
	mux.HandleFunc("POST /2020-01-01/extension/register", a.register)
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(_ http.ResponseWriter, r *http.Request) {
		select { // an extension that asked for no events gets none
		case <-a.closed:
		case <-r.Context().Done():
		}
	})
	a.server = http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = a.server.Serve(l) }() // until Close
	return a, nil
}

// Close ends the API, whatever waits.
func (a *API) Close() error {
	close(a.closed)
	return a.server.Close()
}

// Env returns the environment that Lambda gives a function.
func (a *API) Env() []string {
	return []string{"AWS_LAMBDA_RUNTIME_API=" + a.listener.Addr().String(),
		"AWS_LAMBDA_FUNCTION_NAME=function", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512"}
}

// Ready is closed when the function has asked for its first invocation: its init has ended.
func (a *API) Ready() <-chan struct{} { return a.ready }

// Registered reports whether the function has registered an extension. Without one Lambda kills
// it without a SIGTERM.
func (a *API) Registered() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.registered
}

// Invoke gives the function an invocation that must be answered within timeout, and returns
// its answer as it comes, or when ctx ends. The error is not the function's.
func (a *API) Invoke(ctx context.Context, payload any, timeout time.Duration) (Answer, error) {
	body, err := json.Marshal(payload)
	if err != nil {
		return Answer{}, err
	}
	a.mu.Lock()
	a.numbers++
	i := &invocation{id: strconv.Itoa(a.numbers), payload: body, answer: make(chan Answer, 1)}
	a.mu.Unlock()
	i.deadline = time.Now().Add(timeout)
	select {
	case a.queue <- i:
	case <-ctx.Done():
		return Answer{}, fmt.Errorf("the function takes no invocation: %w", ctx.Err())
	}
	select {
	case answer := <-i.answer:
		return answer, nil
	case <-ctx.Done():
		return Answer{}, fmt.Errorf("the function doesn't answer: %w", ctx.Err())
	}
}

func (a *API) next(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if !a.isReady {
		a.isReady = true
		close(a.ready)
	}
	a.mu.Unlock()
	var i *invocation
	select {
	case i = <-a.queue:
	case <-a.closed:
		return
	case <-r.Context().Done():
		return
	}
	a.mu.Lock()
	a.sent[i.id] = i
	a.mu.Unlock()
	h := w.Header()
	h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:function")
	_, _ = w.Write(i.payload)
}

func (a *API) respond(w http.ResponseWriter, r *http.Request) {
	a.answer(w, r, func(body []byte) (Answer, error) { return Answer{Payload: body}, nil })
}

func (a *API) fail(w http.ResponseWriter, r *http.Request) {
	a.answer(w, r, func(body []byte) (Answer, error) {
		var e FunctionError
		err := json.Unmarshal(body, &e)
		return Answer{Error: &e}, err
	})
}

func (a *API) answer(w http.ResponseWriter, r *http.Request, read func([]byte) (Answer, error)) {
	body, err := io.ReadAll(r.Body)
	var answer Answer
	if err == nil {
		answer, err = read(body)
	}
	a.mu.Lock()
	i := a.sent[r.PathValue("id")]
	delete(a.sent, r.PathValue("id"))
	a.mu.Unlock()
	if i == nil {
		err = errors.Join(err, errors.New("no such invocation, or it was answered"))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	i.answer <- answer
	w.WriteHeader(http.StatusAccepted)
}

func (a *API) register(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	a.registered = true
	a.mu.Unlock()
	w.Header().Set("Lambda-Extension-Identifier", "extension")
	_, _ = io.WriteString(w, "{}")
}
