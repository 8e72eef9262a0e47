// Package localstack finds or starts a LocalStack for integration tests and for people.
package localstack

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
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

const (
	region = "us-east-1"

	// With AWS_ENDPOINT_URL it may name an instance's DynamoDB.
	dynamoDBVariable = "SDSAWS_LOCALSTACK_DYNAMODB"
)

//go:embed scripts
var scripts embed.FS

// Instance is a LocalStack that serves DynamoDB and S3.
type Instance struct {
	Endpoint string

	// DynamoDB is the endpoint of the DynamoDB Local in it, to which it forwards requests, or "":
	// asked directly, that answers in a tenth of the time.
	DynamoDB string

	stop func(context.Context) error
}

// Start uses what AWS_ENDPOINT_URL names; without it, it starts a container where a Docker
// engine answers and has or gets the image, and else LocalStack on this machine from its
// packages, which takes a minute the first time. It says on stderr which of them.
func Start(ctx context.Context) (*Instance, error) {
	if url := os.Getenv("AWS_ENDPOINT_URL"); url != "" {
		fmt.Fprintf(os.Stderr, "localstack: AWS_ENDPOINT_URL=%s\n", url)
		return &Instance{Endpoint: url, DynamoDB: os.Getenv(dynamoDBVariable)}, nil
	}
	inContainer, err := startContainer(ctx)
	if err == nil {
		return inContainer, nil
	}
	fmt.Fprintf(os.Stderr, "localstack: no container (%v), starting it on this machine\n", firstLine(err))
	onHost, hostErr := startOnHost(ctx)
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
		testcontainers.WithWaitStrategyAndDeadline(2*time.Minute,
			wait.ForHTTP("/_localstack/health").WithPort("4566/tcp").WithResponseMatcher(serves)),
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

// serves reads the health page: "Ready." is logged, and the page answers, even when a
// service could not be loaded.
func serves(body io.Reader) bool {
	var health struct{ Services map[string]string }
	err := json.NewDecoder(body).Decode(&health)
	return err == nil && health.Services["dynamodb"] == "running" && health.Services["s3"] == "running"
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

// startOnHost runs LocalStack on this machine for this process: on a port of its own, so
// that tests of several packages don't meet, and ended with the process, however that ends.
func startOnHost(ctx context.Context) (*Instance, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	env := []string{"PORT=" + port, fmt.Sprintf("OWNER=%d", os.Getpid())}
	i, err := up(ctx, env...)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "localstack: on this machine at %s\n", i.Endpoint)
	i.stop = func(ctx context.Context) error {
		_, err := script(ctx, "down", env...)
		return err
	}
	return i, nil
}

func freePort(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// Up starts a LocalStack on this machine that stays until Down, or finds the one that an
// earlier Up has started. It listens on port 4566, or on what SDSAWS_LOCALSTACK_PORT says.
func Up(ctx context.Context) (*Instance, error) {
	return up(ctx, "PORT="+lastingPort())
}

func up(ctx context.Context, env ...string) (*Instance, error) {
	out, err := script(ctx, "up", env...)
	if err != nil {
		return nil, err
	}
	endpoint, dynamoDB, _ := strings.Cut(out, "\n")
	return &Instance{Endpoint: endpoint, DynamoDB: dynamoDB}, nil
}

// Down stops what Up has started.
func Down(ctx context.Context) error {
	_, err := script(ctx, "down", "PORT="+lastingPort())
	return err
}

func lastingPort() string {
	if p := os.Getenv("SDSAWS_LOCALSTACK_PORT"); p != "" {
		return p
	}
	return "4566"
}

// Cache returns the directory for what tests install: SDSAWS_CACHE, or sdsaws in the user's
// cache.
func Cache() (string, error) {
	if dir := os.Getenv("SDSAWS_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "sdsaws"), err
}

// script runs the script that installs, starts and stops LocalStack, and returns what it
// prints.
func script(ctx context.Context, command string, env ...string) (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "localstack")
	files := filepath.Join(dir, "scripts")
	if err := unpack(files); err != nil {
		return "", err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "bash", filepath.Join(files, "host-up.sh"), dir, command) //nolint:gosec // ours
	cmd.Env = append(os.Environ(), env...)
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
		made := fmt.Sprintf("%s.%d", file, os.Getpid())
		if err := os.WriteFile(made, b, 0o755); err != nil { //nolint:gosec // scripts
			return err
		}
		if err := os.Rename(made, file); err != nil {
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
	env := []string{"AWS_ENDPOINT_URL=" + i.Endpoint, "AWS_REGION=" + region,
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"}
	if i.DynamoDB != "" {
		env = append(env, dynamoDBVariable+"="+i.DynamoDB)
	}
	return env
}
