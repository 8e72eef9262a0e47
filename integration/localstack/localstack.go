// Package localstack finds or starts a LocalStack for integration tests and for people.
package localstack

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

// Image is the last release of LocalStack that needs no token.
const Image = "localstack/localstack:4.14.0"

const region = "us-east-1"

//go:embed scripts
var scripts embed.FS

// Instance is a LocalStack that serves DynamoDB and S3.
type Instance struct {
	Endpoint string
	stop     func(context.Context) error
}

// Start uses what AWS_ENDPOINT_URL names; without it, it starts a container where a Docker
// engine answers and has or gets the image, and else LocalStack on this machine from its
// packages, which takes a minute the first time. It says on stderr which of them.
func Start(ctx context.Context) (*Instance, error) {
	if url := os.Getenv("AWS_ENDPOINT_URL"); url != "" {
		fmt.Fprintf(os.Stderr, "localstack: AWS_ENDPOINT_URL=%s\n", url)
		return &Instance{Endpoint: url}, nil
	}
	inContainer, err := startContainer(ctx)
	if err == nil {
		return inContainer, nil
	}
	fmt.Fprintf(os.Stderr, "localstack: no container (%v), starting it on this machine\n", firstLine(err))
	onHost, hostErr := StartOnHost(ctx)
	if hostErr != nil {
		return nil, fmt.Errorf("no LocalStack: start a Docker engine, or set AWS_ENDPOINT_URL to a running one: %w",
			errors.Join(err, hostErr))
	}
	return onHost, nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func startContainer(ctx context.Context) (_ *Instance, err error) {
	if err := engine(ctx); err != nil {
		return nil, err
	}
	c, err := testcontainers.Run(ctx, Image,
		testcontainers.WithEnv(map[string]string{"SERVICES": "dynamodb,s3", "EAGER_SERVICE_LOADING": "1"}),
		testcontainers.WithExposedPorts("4566/tcp"),
		// "Ready." is logged even when a service could not be loaded.
		testcontainers.WithWaitStrategyAndDeadline(2*time.Minute,
			wait.ForHTTP("/_localstack/health").WithPort("4566/tcp").WithStatusCodeMatcher(func(s int) bool {
				return s == http.StatusOK
			})),
	)
	if err != nil {
		return nil, errors.Join(err, testcontainers.TerminateContainer(c))
	}
	url, err := c.PortEndpoint(ctx, "4566/tcp", "http")
	if err != nil {
		return nil, errors.Join(err, testcontainers.TerminateContainer(c))
	}
	fmt.Fprintf(os.Stderr, "localstack: container of %s at %s\n", Image, url)
	return &Instance{Endpoint: url, stop: func(ctx context.Context) error { return c.Terminate(ctx) }}, nil
}

// engine reports whether a Docker engine answers.
func engine(ctx context.Context) (err error) {
	defer func() { // testcontainers panics when it finds no engine at all
		if p := recover(); p != nil {
			err = fmt.Errorf("no Docker engine: %v", p)
		}
	}()
	p, err := testcontainers.NewDockerProvider()
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Health(ctx)
}

// StartOnHost runs LocalStack on this machine. One that runs already is used, and stays.
func StartOnHost(ctx context.Context) (*Instance, error) {
	running := alive(hostURL())
	out, err := script(ctx, "up")
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "localstack: on this machine at %s\n", out)
	i := &Instance{Endpoint: out}
	if !running {
		i.stop = func(ctx context.Context) error { return StopOnHost(ctx) }
	}
	return i, nil
}

// StopOnHost stops what StartOnHost has started.
func StopOnHost(ctx context.Context) error {
	_, err := script(ctx, "down")
	return err
}

func port() string {
	if p := os.Getenv("PORT"); p != "" {
		return p
	}
	return "4566"
}

func hostURL() string { return "http://127.0.0.1:" + port() }

func alive(url string) bool {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get(url + "/_localstack/health") //nolint:noctx // it has a timeout
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// script runs the script that installs, starts and stops LocalStack, and returns its
// last line.
func script(ctx context.Context, command string) (string, error) {
	cache := os.Getenv("SDSAWS_CACHE")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(dir, "sdsaws")
	}
	dir := filepath.Join(cache, "localstack")
	files := filepath.Join(dir, "scripts")
	if err := unpack(files); err != nil {
		return "", err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "bash", filepath.Join(files, "host-up.sh"), dir, command) //nolint:gosec // ours
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("LocalStack on this machine: %w", err)
	}
	return strings.TrimSpace(out.String()), nil
}

func unpack(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // nothing secret
		return err
	}
	entries, err := fs.ReadDir(scripts, "scripts")
	if err != nil {
		return err
	}
	for _, e := range entries {
		b, err := scripts.ReadFile("scripts/" + e.Name())
		if err != nil {
			return err
		}
		// Replaced in one step: another process may be running the old one.
		file := filepath.Join(dir, e.Name())
		if err := os.WriteFile(file+".new", b, 0o755); err != nil { //nolint:gosec // scripts
			return err
		}
		if err := os.Rename(file+".new", file); err != nil {
			return err
		}
	}
	return nil
}

// Close stops the instance when Start has started it.
func (i *Instance) Close(ctx context.Context) error {
	if i.stop == nil {
		return nil
	}
	return i.stop(ctx)
}

// Config returns the configuration of clients for the instance.
func (i *Instance) Config(ctx context.Context) (aws.Config, error) {
	return config.LoadDefaultConfig(ctx,
		config.WithRegion(region),
		config.WithBaseEndpoint(i.Endpoint),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
}

// Env returns the environment of commands that use the instance.
func (i *Instance) Env() []string {
	return []string{"AWS_ENDPOINT_URL=" + i.Endpoint, "AWS_REGION=" + region,
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"}
}
