package main

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/sdsaws/sdsaws/internal/runtimeapi"
	"github.com/sdsaws/sdsaws/sds"
)

// stub is a DynamoDB and an S3 in which there is nothing, and where all that is written succeeds.
type stub struct {
	server *httptest.Server
	ca     string // file with its certificate

	mu    sync.Mutex
	first time.Time // when the first request came
}

func startAWS(dir string) (*stub, error) {
	s := &stub{ca: filepath.Join(dir, "ca.pem")}
	s.server = httptest.NewTLSServer(s)
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})
	if err := os.WriteFile(s.ca, b, 0o600); err != nil {
		s.server.Close()
		return nil, err
	}
	return s, nil
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.first.IsZero() {
		s.first = time.Now()
	}
	s.mu.Unlock()
	_, _ = io.Copy(io.Discard, r.Body)
	if r.Header.Get("X-Amz-Target") == "" {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
		return
	}
	const answer = "{}"
	w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte(answer))))
	_, _ = io.WriteString(w, answer)
}

// start is how long a start took.
type start struct {
	aws        time.Duration // to the first request to AWS, in init or in the first invocation
	ready      time.Duration // to the first request for an invocation: init has ended
	invocation time.Duration // the first, to its answer
}

// start starts a function and invokes it once.
func (s *stub) start(ctx context.Context, file, name string) (start, error) {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	api, err := runtimeapi.Start(ctx)
	if err != nil {
		return start{}, err
	}
	defer api.Close()
	s.mu.Lock()
	s.first = time.Time{}
	s.mu.Unlock()
	cmd := exec.CommandContext(ctx, file) //nolint:gosec // just built
	cmd.Env = slices.Concat(api.Env(), []string{"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_ENDPOINT_URL=" + s.server.URL, "AWS_CA_BUNDLE=" + s.ca, "SDSAWS_STATE_TABLE=state", "SDSAWS_HINTS_TABLE=hints",
		"SDSAWS_BUCKET=bucket", "SDSAWS_NAMESPACE=alice", "SDSAWS_NAMESPACES=alice"})
	cmd.Stderr = os.Stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return start{}, err
	}
	defer func() {
		_ = cmd.Process.Kill() // it would run for ever
		_ = cmd.Wait()         // killed
	}()
	select {
	case <-api.Ready():
	case <-ctx.Done():
		return start{}, fmt.Errorf("its init doesn't end: %w", ctx.Err())
	}
	ready := time.Now()
	event, err := event(name)
	if err != nil {
		return start{}, err
	}
	answer, err := api.Invoke(ctx, event, 30*time.Second)
	if err == nil && answer.Error != nil {
		err = answer.Error
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return start{aws: s.first.Sub(began), ready: ready.Sub(began), invocation: time.Since(ready)}, err
}

// event is what a queue hands to a participant, one message, and what a schedule hands to a sweeper.
func event(name string) (any, error) {
	if name == "sweeper" {
		return map[string]string{"source": "aws.events"}, nil
	}
	m := sds.Message{MessageID: "m", LamportTimestamp: 1, ChannelID: "chat", Content: []byte("hello")}
	b, err := m.MarshalBinary()
	return events.SQSEvent{Records: []events.SQSMessage{{MessageId: "1", Body: base64.StdEncoding.EncodeToString(b)}}}, err
}
