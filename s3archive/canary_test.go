package s3archive_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/sdsaws/sdsaws/internal/canary"
	"github.com/sdsaws/sdsaws/s3archive"
	"github.com/sdsaws/sdsaws/store"
)

// TestNoErrorShowsAnObject: neither what is sent nor what is stored is shown, nor credentials, whatever a service
// answers, in errors or in the SDK's log. Names of objects are.
func TestNoErrorShowsAnObject(t *testing.T) {
	content := canary.New("Content")
	access, secret, token := canary.New("AccessKey"), canary.New("Secret"), canary.New("Token")
	all := string(content) + " " + string(access) + " " + string(secret) + " " + string(token)
	failed := func(code, message string) string {
		return "<Error><Code>" + code + "</Code><Message>" + message + "</Message><AWSAccessKeyId>" + string(access) +
			"</AWSAccessKeyId><StringToSign>" + all + "</StringToSign><CanonicalRequest>" + all + "</CanonicalRequest></Error>"
	}
	errs := 0
	for name, a := range map[string]answer{
		"no such key":    {404, nil, failed("NoSuchKey", "none")},
		"signature":      {403, nil, failed("SignatureDoesNotMatch", "The request signature we calculated does not match")},
		"bad argument":   {400, nil, failed("InvalidArgument", "1 error: Value '"+all+"' at 'x' failed")},
		"exists":         {412, nil, failed("PreconditionFailed", "x")},
		"an error page":  {502, nil, "<html>" + all},
		"no XML":         {200, nil, all},
		"cut":            {200, map[string]string{"Content-Length": "1000"}, all},
		"a bad checksum": {200, map[string]string{"x-amz-checksum-sha256": sumOfX}, all},
		"a bad number":   {200, nil, "<ListVersionsResult><Version><Size>" + all + "</Size></Version></ListVersionsResult>"},
		"a bad time": {200, nil, "<ListVersionsResult><Version><LastModified>" + all +
			"</LastModified></Version></ListVersionsResult>"},
		"not deleted": {200, nil, "<DeleteResult><Error><Key>x</Key><Code>AccessDenied</Code><Message>" + all + "</Message></Error></DeleteResult>"},
	} {
		var out canary.Output
		restore := out.Logs()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range a.header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(a.status)
			_, _ = w.Write([]byte(a.body))
		}))
		t.Cleanup(server.Close)
		archive := s3archive.New(s3.New(s3.Options{
			BaseEndpoint: &server.URL, Region: "us-east-1", UsePathStyle: true,
			Credentials: credentials.NewStaticCredentialsProvider(string(access), string(secret), string(token)),
			Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts = 2
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			}),
			Logger: logging.NewStandardLogger(&out), ClientLogMode: aws.LogRetries | aws.LogDeprecatedUsage,
		}), "bucket", nil)
		note := func(err error) {
			if err != nil {
				errs++
			}
			out.Error(err)
		}
		_, err := archive.Put(t.Context(), "x", []byte(content.Raw()))
		note(err)
		_, err = archive.Get(t.Context(), store.Object{Name: "x"})
		note(err)
		_, err = archive.Get(t.Context(), store.Object{Name: "x", Version: "v", Size: 3})
		note(err)
		note(archive.Delete(t.Context(), store.Object{Name: "x"}))
		for _, err := range archive.List(t.Context(), "x") {
			note(err)
		}
		restore()
		for _, b := range []canary.Bird{content, access, secret, token} {
			for line := range strings.Lines(out.String()) {
				if b.In(line) {
					t.Errorf("%s: %s is shown in %.600s", name, b, line)
					break
				}
			}
		}
	}
	if t.Logf("%d errors", errs); errs < 30 {
		t.Errorf("%d errors, want more", errs)
	}
}
