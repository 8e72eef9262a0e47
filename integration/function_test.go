package integration_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws/internal/lambdazip"
	"github.com/sdsaws/sdsaws/internal/runtimeapi"
)

var functionsDir string // where the functions were built

// functions builds the executables that run in Lambda, once.
var functions = sync.OnceValue(func() error {
	var err error
	if functionsDir, err = os.MkdirTemp("", "sdsaws-functions-"); err != nil {
		return err
	}
	for name, pkg := range lambdazip.Functions {
		err = errors.Join(err, lambdazip.Build(context.Background(), "..", pkg, "", filepath.Join(functionsDir, name), raceDetector))
	}
	return err
})

// function is an instance of a function: a process, and the runtime API that it asks for work.
type function struct {
	t      *testing.T
	cmd    *exec.Cmd
	api    *runtimeapi.API
	exited chan struct{} // closed when it has
	dir    string        // of what it writes, in files: what it has written before an answer is there then
}

func (f *function) out() string { return f.written("out") }
func (f *function) log() string { return f.written("log") }

func (f *function) written(to string) string {
	f.t.Helper()
	b, err := os.ReadFile(filepath.Join(f.dir, to))
	if err != nil {
		f.t.Error(err)
	}
	return string(b)
}

// create makes a file that the function writes to.
func (f *function) create(to string) *os.File {
	f.t.Helper()
	file, err := os.Create(filepath.Join(f.dir, to))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = file.Close() })
	return file
}

// start starts a function on the tables of b, which it reaches at endpoint.
func (o onAWS) start(t *testing.T, name, endpoint string, env ...string) *function {
	t.Helper()
	if err := functions(); err != nil {
		t.Fatal(err)
	}
	api, err := runtimeapi.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := &function{t: t, api: api, dir: t.TempDir(), exited: make(chan struct{}), cmd: exec.Command(filepath.Join(functionsDir, name))}
	// Nothing of this machine's environment, as in Lambda.
	f.cmd.Env = slices.Concat(api.Env(), []string{
		"AWS_REGION=" + cfg.Region, "AWS_ACCESS_KEY_ID=" + credentials.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + credentials.SecretAccessKey, "AWS_ENDPOINT_URL=" + endpoint,
		"SDSAWS_STATE_TABLE=" + o.names + "-state", "SDSAWS_HINTS_TABLE=" + o.names + "-hints", "SDSAWS_BUCKET=" + o.bucket}, env)
	f.cmd.Stdout, f.cmd.Stderr = f.create("out"), f.create("log")
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = f.cmd.Wait() // its state tells
		close(f.exited)
	}()
	t.Cleanup(func() {
		f.signal(syscall.SIGKILL)
		<-f.exited
		if err := api.Close(); err != nil {
			t.Error(err)
		}
		if log := f.log(); t.Failed() && log != "" {
			t.Logf("%s:\n%.4000s", name, log)
		}
		if strings.Contains(f.log(), "DATA RACE") {
			t.Error("data race in the function")
		}
	})
	return f
}

// signal is no error when the process has ended.
func (f *function) signal(s syscall.Signal) { _ = f.cmd.Process.Signal(s) }

// invoke gives the function an event. It has a minute, whatever its deadline is.
func (f *function) invoke(event any, timeout time.Duration) runtimeapi.Answer {
	f.t.Helper()
	ctx, stop := context.WithTimeout(f.t.Context(), timeout+time.Minute)
	defer stop()
	go func() {
		select {
		case <-f.exited: // it won't answer
			stop()
		case <-ctx.Done():
		}
	}()
	a, err := f.api.Invoke(ctx, event, timeout)
	if err != nil {
		f.t.Errorf("%v\n%s", err, f.log())
		return runtimeapi.Answer{Error: &runtimeapi.FunctionError{Message: err.Error()}}
	}
	return a
}

// gate stands between a function and LocalStack. It notes requests, and can hold them back.
type gate struct {
	*httptest.Server

	mu       sync.Mutex // protects what follows
	requests []string   // operations of DynamoDB, methods of S3
	holds    func(operation string) *held
}

// held is requests that are held back, before they are done or their replies.
type held struct {
	replies bool
	once    sync.Once
	reached chan struct{} // closed by the first
	open    chan struct{} // closed to let all pass
}

func newGate(t *testing.T) *gate {
	t.Helper()
	target, err := url.Parse(*cfg.BaseEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	g := &gate{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, operation, ok := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		if !ok {
			operation = r.Method
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		// What is on its way arrives, whether its sender still waits for it or not.
		r = r.WithContext(context.WithoutCancel(r.Context()))
		r.Body = io.NopCloser(bytes.NewReader(body))
		h := g.note(operation)
		if h != nil && !h.replies {
			h.wait()
		}
		reply := httptest.NewRecorder()
		proxy.ServeHTTP(reply, r)
		if h != nil && h.replies {
			h.wait()
		}
		for name, values := range reply.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(reply.Code)
		_, _ = w.Write(reply.Body.Bytes())
	}))
	t.Cleanup(g.Close)
	return g
}

func (h *held) wait() {
	h.once.Do(func() { close(h.reached) })
	<-h.open
}

func (g *gate) note(operation string) *held {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests = append(g.requests, operation)
	if g.holds == nil {
		return nil
	}
	return g.holds(operation)
}

// hold holds back requests of an operation, or their replies, from the first after skip on. What it
// returns lets them pass, and is called at the latest when the test ends.
func (g *gate) hold(t *testing.T, operation string, skip int, replies bool) (h *held, release func()) {
	h = &held{replies: replies, reached: make(chan struct{}), open: make(chan struct{})}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holds = func(op string) *held {
		if op != operation {
			return nil
		}
		if skip--; skip >= 0 {
			return nil
		}
		return h
	}
	release = sync.OnceFunc(func() {
		g.mu.Lock()
		g.holds = nil
		g.mu.Unlock()
		close(h.open)
	})
	t.Cleanup(release)
	return h, release
}

func (g *gate) seen() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.requests)
}
