package sdsaws_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

// warmed is a stub of AWS that notes what it is asked for.
type warmed struct {
	mu    sync.Mutex
	asked []string
	s3    int // status of a GetObject
	ddb   int
}

func (w *warmed) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		var body struct{ Key map[string]map[string]string }
		_ = json.NewDecoder(r.Body).Decode(&body) // else the key is empty
		_, operation, _ := strings.Cut(target, ".")
		w.asked = append(w.asked, fmt.Sprint(operation, " ", body.Key["pk"]["S"]))
		answer := `{"__type":"AccessDeniedException"}`
		if w.ddb == http.StatusOK {
			answer = `{}`
		}
		out.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte(answer))))
		out.WriteHeader(w.ddb)
		_, _ = io.WriteString(out, answer)
		return
	}
	w.asked = append(w.asked, r.Method+" "+r.URL.Path)
	out.WriteHeader(w.s3)
	code := map[int]string{http.StatusForbidden: "AccessDenied", http.StatusNotFound: "NoSuchKey"}[w.s3]
	_, _ = fmt.Fprintf(out, `<Error><Code>%s</Code></Error>`, cmp.Or(code, "InvalidRequest"))
}

// TestWarmAsksForWhatAParticipantMayRead: one request to each service, within the keys and
// names of the namespace; that there is nothing is no error, and what else fails is one.
func TestWarmAsksForWhatAParticipantMayRead(t *testing.T) {
	for _, c := range []struct {
		name    string
		s3, ddb int
		fails   bool
	}{
		{"nothing there", http.StatusNotFound, http.StatusOK, false},
		{"may not list the bucket", http.StatusForbidden, http.StatusOK, false},
		{"no access to the table", http.StatusNotFound, http.StatusBadRequest, true},
		{"S3 refuses", http.StatusBadRequest, http.StatusOK, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			stub := &warmed{s3: c.s3, ddb: c.ddb}
			server := httptest.NewServer(stub)
			defer server.Close()
			for name, value := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "us-east-1",
				"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"} {
				t.Setenv(name, value)
			}
			a, err := sdsaws.Open(t.Context(), sdsaws.Resources{State: "state", Hints: "hints", Bucket: "bucket"},
				&sdsaws.Options{Namespace: "alice"})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close(t.Context())
			if err := a.Warm(t.Context()); (err != nil) != c.fails {
				t.Errorf("Warm: %v", err)
			}
			slices.Sort(stub.asked)
			want := []string{"GET /bucket/values/namespace=616c696365/channel=/warm", "GetItem alice/"}
			if !slices.Equal(stub.asked, want) {
				t.Errorf("asked for %q, want %q", stub.asked, want)
			}
		})
	}
}

// TestWarmIsAnOperation like others: a closed adapter and an ended context refuse it.
func TestWarmIsAnOperation(t *testing.T) {
	a := open(t, newMemory(), sdsaws.Options{})
	if err := a.Warm(t.Context()); err != nil {
		t.Errorf("Warm: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := a.Warm(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Warm(t.Context()); !errors.Is(err, sds.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
