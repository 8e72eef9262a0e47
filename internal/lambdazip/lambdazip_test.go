package lambdazip

import (
	"archive/zip"
	"bytes"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// linked is the modules that functions may hold. A new one is a decision: each adds to the size, and
// so to the time of a cold start.
var linked = []string{
	"github.com/sdsaws/sdsaws", "github.com/aws/aws-lambda-go", "github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go",
	"github.com/klauspost/compress",

	// OpenTelemetry's API, 0.2 MB.
	"go.opentelemetry.io/otel", "go.opentelemetry.io/otel/metric", "go.opentelemetry.io/otel/trace", "github.com/cespare/xxhash/v2",

	// Parquet.
	"github.com/parquet-go/parquet-go", "github.com/parquet-go/bitpack", "github.com/parquet-go/jsonlite",
	"github.com/andybalholm/brotli", "github.com/google/uuid", "github.com/pierrec/lz4/v4", "github.com/twpayne/go-geom",
	"google.golang.org/protobuf", "golang.org/x/sys",
}

// services is the clients of AWS that functions may hold. Beside DynamoDB and S3 they are of
// the queue to which a participant moves what it rejects, 0.3 MB, and of credentials that the
// SDK's environment can name.
var services = []string{"dynamodb", "s3", "sqs", "sts", "sso", "ssooidc", "signin", "internal"}

// unwanted is packages that cost more than themselves: templates call methods by name, so that
// the linker keeps those of everything; the others are no part of a function.
var unwanted = []string{"net/rpc", "text/template", "html/template", "testing", "net/http/httptest", "expvar", "net/http/pprof",
	"github.com/sdsaws/sdsaws/embedded"}

// TestFunctionsLinkLittle: what a function holds doesn't grow unseen.
func TestFunctionsLinkLittle(t *testing.T) {
	for name, pkg := range Functions {
		cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", "lambda.norpc",
			"-f", "{{.ImportPath}} {{with .Module}}{{.Path}}{{end}}", pkg)
		cmd.Dir = "../.."
		cmd.Env = append(cmd.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for line := range strings.Lines(string(out)) {
			path, module, _ := strings.Cut(strings.TrimSpace(line), " ")
			count++
			if slices.Contains(unwanted, path) {
				t.Errorf("%s links %s", name, path)
			}
			if _, after, ok := strings.Cut(path, "/aws-sdk-go-v2/service/"); ok {
				if service, _, _ := strings.Cut(after, "/"); !slices.Contains(services, service) {
					t.Errorf("%s links the client of %s", name, service)
				}
			}
			if module != "" && !slices.ContainsFunc(linked, func(m string) bool {
				return module == m || m == "github.com/aws/aws-sdk-go-v2" && strings.HasPrefix(module, m+"/")
			}) {
				t.Errorf("%s links module %s, by %s", name, module, path)
			}
		}
		if count < 100 {
			t.Errorf("%s: %d packages are listed", name, count)
		}
	}
}

// TestTheSameCodeGivesTheSameZip, with an executable bootstrap.
func TestTheSameCodeGivesTheSameZip(t *testing.T) {
	code := bytes.Repeat([]byte("code"), 1000)
	first, err := Zip(code)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Zip(code)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("another zip, %v", err)
	}
	r, err := zip.NewReader(bytes.NewReader(first), int64(len(first)))
	if err != nil || len(r.File) != 1 || r.File[0].Name != "bootstrap" || r.File[0].Mode() != 0o755 {
		t.Fatalf("%+v, %v", r, err)
	}
	f, err := r.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || !bytes.Equal(b, code) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
