package s3archive_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sdsaws/sdsaws/s3archive"
	"github.com/sdsaws/sdsaws/store"
)

// stub answers S3's HTTP calls with what a test says, for what emulators don't show.
type stub struct {
	mu       sync.Mutex
	answers  []answer
	requests []*http.Request
	bodies   []string
}

type answer struct {
	status int
	header map[string]string
	body   string
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil || len(s.answers) == 0 {
		http.Error(w, fmt.Sprintf("stub: %v, %d answers left", err, len(s.answers)), http.StatusTeapot)
		return
	}
	s.requests = append(s.requests, r.Clone(context.Background()))
	s.bodies = append(s.bodies, string(body))
	a := s.answers[0]
	s.answers = s.answers[1:]
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// archive returns an archive on a stub with these answers.
func archive(t *testing.T, answers ...answer) (*s3archive.Archive, *stub) {
	t.Helper()
	s := &stub{answers: answers}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	client := s3.New(s3.Options{
		BaseEndpoint: &server.URL, Region: "us-east-1", UsePathStyle: true, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	return s3archive.New(client, "bucket", &s3archive.Options{Prefix: "p/"}), s
}

const sumOfX = "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=" // SHA-256 of "x"

// TestAPutIsConditionalAndChecked: S3 itself compares the checksum, and refuses what would
// replace something. https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func TestAPutIsConditionalAndChecked(t *testing.T) {
	a, s := archive(t, answer{200, map[string]string{"x-amz-version-id": "v1"}, ""})
	o, err := a.Put(t.Context(), "x", []byte("x"))
	if err != nil || o != (store.Object{Name: "x", Version: "v1", Size: 1}) {
		t.Fatalf("%+v, %v", o, err)
	}
	h := s.requests[0].Header
	if h.Get("If-None-Match") != "*" || h.Get("X-Amz-Checksum-Sha256") != sumOfX || s.requests[0].URL.Path != "/bucket/p/x" {
		t.Errorf("sent %s with %v", s.requests[0].URL, h)
	}
}

// TestAPutWhoseReplyWasLost: the second attempt finds what the first has put.
func TestAPutWhoseReplyWasLost(t *testing.T) {
	refused := answer{412, nil, "<Error><Code>PreconditionFailed</Code></Error>"}
	for name, c := range map[string]struct {
		answers []answer
		want    error
	}{
		"same checksum": {[]answer{refused, {200, map[string]string{
			"x-amz-checksum-sha256": sumOfX, "x-amz-version-id": "v1", "Content-Length": "1"}, ""}}, nil},
		"other checksum": {[]answer{refused, {200, map[string]string{
			"x-amz-checksum-sha256": "AAAAQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=", "x-amz-version-id": "v1",
			"Content-Length": "1"}, ""}}, store.ErrExists},
		"no checksum, same bytes": {[]answer{refused, {200, map[string]string{
			"x-amz-version-id": "v1", "Content-Length": "1"}, ""}, {200, nil, "x"}}, nil},
		"no checksum, other bytes": {[]answer{refused, {200, map[string]string{
			"x-amz-version-id": "v1", "Content-Length": "1"}, ""}, {200, nil, "y"}}, store.ErrExists},
	} {
		t.Run(name, func(t *testing.T) {
			a, s := archive(t, c.answers...)
			o, err := a.Put(t.Context(), "x", []byte("x"))
			if !errors.Is(err, c.want) || o.Version != "v1" {
				t.Fatalf("%+v, %v; want %v", o, err, c.want)
			}
			if len(s.answers) > 0 {
				t.Errorf("%d answers were not asked for", len(s.answers))
			}
		})
	}
}

// TestADeleteThatDoesAPart: S3 answers 200 and lists what it could not delete.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
func TestADeleteThatDoesAPart(t *testing.T) {
	failed := func(code string) answer {
		return answer{200, nil, "<DeleteResult><Error><Key>p/x</Key><Code>" + code + "</Code></Error></DeleteResult>"}
	}
	a, _ := archive(t, failed("InternalError"), failed("NoSuchVersion"))
	err := a.Delete(t.Context(), store.Object{Name: "x", Version: "v1"}, store.Object{Name: "y", Version: "v2"})
	if err == nil || !strings.Contains(err.Error(), "InternalError") {
		t.Errorf("%v, want InternalError", err)
	}
	if err := a.Delete(t.Context(), store.Object{Name: "x", Version: "v1"}); err != nil {
		t.Errorf("a version that isn't there: %v", err)
	}
}

// TestADeleteOfMany: S3 takes 1000 keys a request, which LocalStack doesn't hold to.
func TestADeleteOfMany(t *testing.T) {
	done := answer{200, nil, "<DeleteResult></DeleteResult>"}
	a, s := archive(t, done, done, done)
	objects := make([]store.Object, 2001)
	for i := range objects {
		objects[i] = store.Object{Name: fmt.Sprint(i), Version: "v"}
	}
	if err := a.Delete(t.Context(), objects...); err != nil {
		t.Fatal(err)
	}
	var sent []int
	for _, b := range s.bodies {
		sent = append(sent, strings.Count(b, "<Key>"))
	}
	if !slices.Equal(sent, []int{1000, 1000, 1}) {
		t.Errorf("keys in each request: %d", sent)
	}
}

// TestAGetThatIsCut: fewer bytes than announced, or other ones, are an error.
func TestAGetThatIsCut(t *testing.T) {
	a, _ := archive(t,
		answer{200, map[string]string{"Content-Length": "5"}, "xxx"},
		answer{200, map[string]string{"x-amz-checksum-sha256": sumOfX}, "y"},
		answer{404, nil, "<Error><Code>NoSuchVersion</Code></Error>"},
		answer{405, map[string]string{"x-amz-delete-marker": "true"}, "<Error><Code>MethodNotAllowed</Code></Error>"},
		answer{403, nil, "<Error><Code>AccessDenied</Code></Error>"},
	)
	o := store.Object{Name: "x", Version: "v1"}
	for _, what := range []string{"cut", "altered"} {
		if b, err := a.Get(t.Context(), o); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %q, %v", what, b, err)
		}
	}
	for _, what := range []string{"no such version", "a delete marker"} {
		if _, err := a.Get(t.Context(), o); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", what, err)
		}
	}
	if _, err := a.Get(t.Context(), o); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("no access: %v", err)
	}
}

// TestAListOfManyPages goes on with key and version markers.
func TestAListOfManyPages(t *testing.T) {
	page := func(truncated bool, rest string) answer {
		return answer{200, nil, fmt.Sprintf("<ListVersionsResult><IsTruncated>%v</IsTruncated>"+
			"<NextKeyMarker>p/b</NextKeyMarker><NextVersionIdMarker>v7</NextVersionIdMarker>%s</ListVersionsResult>", truncated, rest)}
	}
	a, s := archive(t,
		page(true, "<DeleteMarker><Key>p/b</Key><VersionId>v9</VersionId></DeleteMarker>"+
			"<Version><Key>p/a</Key><VersionId>v1</VersionId><Size>3</Size></Version>"),
		page(false, "<Version><Key>p/b</Key><VersionId>v2</VersionId><Size>4</Size></Version>"))
	var all []store.Object
	for o, err := range a.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	want := []store.Object{{Name: "a", Version: "v1", Size: 3}, {Name: "b", Version: "v9"}, {Name: "b", Version: "v2", Size: 4}}
	if !slices.Equal(all, want) {
		t.Errorf("%+v, want %+v", all, want)
	}
	if q := s.requests[1].URL.Query(); q.Get("key-marker") != "p/b" || q.Get("version-id-marker") != "v7" || q.Get("prefix") != "p/" {
		t.Errorf("the second request is %s", s.requests[1].URL)
	}
}

// TestAMissingBucketIsNamed: S3's own message doesn't, and it is no missing object.
func TestAMissingBucketIsNamed(t *testing.T) {
	missing := answer{404, nil, `<Error><Code>NoSuchBucket</Code><Message>from the stub</Message></Error>`}
	a, _ := archive(t, missing, missing)
	_, put := a.Put(t.Context(), "x", []byte("x"))
	_, get := a.Get(t.Context(), store.Object{Name: "x"})
	for _, err := range []error{put, get} {
		if err == nil || !strings.Contains(err.Error(), `no bucket "bucket"`) || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v, want that there is no bucket", err)
		}
	}
}
