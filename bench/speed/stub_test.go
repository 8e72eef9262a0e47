// Package speed measures the adapter beside the bare SDK: the time and memory of a pair and of a
// load, and what open channels take. Each figure is a ratio of two things done in one run, or a
// count. The server is a stub in the process.
//
//	go test -run '^$' -bench . ./bench/speed
package speed

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/store/storetest"
)

// stub is DynamoDB as the transport of a client: it takes any write, and answers a query with what was
// written when it keeps that.
type stub struct {
	keep  bool
	delay time.Duration // of each request

	mu       sync.Mutex // protects what follows
	items    []stored   // of one partition, ascending
	requests int
	sent     int // bytes
	received int // bytes, by the client
}

type stored struct {
	key  string
	size int // as DynamoDB counts
	raw  json.RawMessage
}

type attribute struct{ S, N, B string }

type input struct {
	TransactItems []struct {
		Put struct{ Item json.RawMessage }
	}
	Item json.RawMessage

	ExpressionAttributeValues map[string]attribute
}

func (s *stub) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	time.Sleep(s.delay)
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := []byte("{}")
	if s.keep {
		if answer, err = s.answer(operation, body); err != nil {
			return nil, err
		}
	} else if operation == "Query" {
		answer = []byte(`{"Items":[],"Count":0}`)
	}
	s.requests++
	s.sent += len(body)
	s.received += len(answer)
	return &http.Response{StatusCode: http.StatusOK, Request: r, ContentLength: int64(len(answer)),
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(bytes.NewReader(answer))}, nil
}

func (s *stub) answer(operation string, body []byte) ([]byte, error) {
	var in input
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	if operation == "Query" {
		return s.query(in.ExpressionAttributeValues[":l"].S, in.ExpressionAttributeValues[":h"].S)
	}
	puts := []json.RawMessage{in.Item}
	for _, t := range in.TransactItems {
		puts = append(puts, t.Put.Item)
	}
	for _, raw := range puts {
		if raw == nil {
			continue
		}
		if err := s.put(raw); err != nil {
			return nil, err
		}
	}
	return []byte("{}"), nil
}

func (s *stub) put(raw json.RawMessage) error {
	var attributes map[string]attribute
	if err := json.Unmarshal(raw, &attributes); err != nil {
		return err
	}
	it := stored{key: attributes["sk"].S, raw: raw}
	for name, a := range attributes {
		it.size += len(name) + len(a.S) + len(a.N) + len(a.B)*3/4
	}
	i, found := s.find(it.key)
	if found {
		s.items[i] = it
	} else {
		s.items = slices.Insert(s.items, i, it)
	}
	return nil
}

func (s *stub) find(key string) (int, bool) {
	return slices.BinarySearchFunc(s.items, key, func(it stored, key string) int { return cmp.Compare(it.key, key) })
}

// query returns the items between two keys backwards, 1 MB of them at most.
func (s *stub) query(low, high string) ([]byte, error) {
	if low == "" {
		return nil, errors.New("stub: a query without a range")
	}
	var out struct {
		Items            []json.RawMessage
		LastEvaluatedKey map[string]map[string]string `json:",omitempty"`
	}
	size := 0
	for _, it := range slices.Backward(s.items) {
		if it.key < low || it.key > high {
			continue
		}
		if size+it.size > 1<<20 {
			out.LastEvaluatedKey = map[string]map[string]string{"sk": {"S": it.key}}
			break
		}
		size += it.size
		out.Items = append(out.Items, it.raw)
	}
	return json.Marshal(out)
}

func (s *stub) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.sent, s.received = 0, 0, 0
}

func (s *stub) client() *dynamodb.Client {
	return dynamodb.NewFromConfig(aws.Config{Region: "eu-central-1", HTTPClient: s,
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")}, sdsaws.RetryPolicy{}.DynamoDB)
}

// open returns an adapter on the stub. It archives nothing, for that is no part of a pair.
func open(b testing.TB, s *stub, o sdsaws.Options) *sdsaws.Adapter {
	b.Helper()
	client := s.client()
	o.Namespace, o.ArchiveMessages, o.ArchiveBytes = "bench", 1<<30, 1<<50
	o.MaxPending = 1 << 30
	a, err := sdsaws.New(sdsaws.Backend{Log: dynamo.NewLog(client, "state", nil),
		Hints: dynamo.NewHints(client, "hints", nil), Archive: &storetest.MemoryArchive{}}, &o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = a.Close(context.Background()) })
	return a
}

func must(b testing.TB, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func kb(n int) string { return fmt.Sprint(n, "KB") }
