package s3archive_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sdsaws/sdsaws/s3archive"
	"github.com/sdsaws/sdsaws/store"
)

// TestAnObjectThatIsTooLargeIsNotRead, whether its headers say so or not: 256 MiB where 1000 bytes
// are expected.
func TestAnObjectThatIsTooLargeIsNotRead(t *testing.T) {
	const really = 256 << 20
	for _, said := range []bool{true, false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if said {
				w.Header().Set("Content-Length", strconv.Itoa(really))
			}
			part := make([]byte, 64<<10)
			for range really / len(part) {
				if _, err := w.Write(part); err != nil {
					return
				}
			}
		}))
		t.Cleanup(server.Close)
		a := s3archive.New(s3.New(s3.Options{
			BaseEndpoint: &server.URL, Region: "us-east-1", UsePathStyle: true, Retryer: aws.NopRetryer{},
			Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		}), "bucket", nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		b, err := a.Get(t.Context(), store.Object{Name: "x", Size: 1000})
		runtime.ReadMemStats(&after)
		if !errors.Is(err, store.ErrSize) || b != nil {
			t.Errorf("said %v: %d bytes, %v, want ErrSize", said, len(b), err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
			t.Errorf("said %v: %d bytes allocated", said, n)
		}
	}
}

// TestAnObjectThatIsCutIsNotWhole: fewer bytes than were asked for, with and without headers that
// say so.
func TestAnObjectThatIsCutIsNotWhole(t *testing.T) {
	for name, answer := range map[string]answer{
		"said":     {200, map[string]string{"Content-Length": "1"}, "x"},
		"not said": {200, map[string]string{"Transfer-Encoding": "chunked"}, "x"},
	} {
		a, _ := archive(t, answer)
		if b, err := a.Get(t.Context(), store.Object{Name: "x", Size: 2}); !errors.Is(err, store.ErrSize) {
			t.Errorf("%s: %q, %v, want ErrSize", name, b, err)
		}
	}
}
