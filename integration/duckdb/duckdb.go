// Package duckdb runs queries in DuckDB for integration tests, by its Python package.
package duckdb

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sdsaws/sdsaws/integration/localstack"
)

//go:embed requirements.txt
var requirements []byte

//go:embed query.py
var script string

// S3 is where DuckDB finds buckets.
type S3 struct {
	Endpoint string `json:"endpoint"` // host and port
	SSL      bool   `json:"ssl"`
	Region   string `json:"region"`
	Key      string `json:"key"`
	Secret   string `json:"secret"`
}

// DB is a DuckDB for queries over files and, with S3, over buckets.
type DB struct {
	python, packages string
	S3               *S3
}

// Open finds a Python and gives it DuckDB's packages, which it installs into the cache of
// this project (SDSAWS_CACHE) the first time. Any number of processes may do so at once.
func Open(ctx context.Context) (*DB, error) {
	python, tag, err := findPython(ctx)
	if err != nil {
		return nil, err
	}
	cache, err := localstack.Cache()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(requirements)
	db := &DB{python: python, packages: filepath.Join(cache, "duckdb", fmt.Sprintf("%s-%x", tag, sum[:8]))}
	if _, err := os.Stat(db.packages); err == nil {
		return db, nil
	}
	if err := db.install(ctx); err != nil {
		return nil, fmt.Errorf("install DuckDB's Python packages: %w", err)
	}
	return db, nil
}

// findPython returns a Python that has pip, and what its packages depend on.
func findPython(ctx context.Context) (python, tag string, err error) {
	const probe = "import pip, sys, sysconfig; assert sys.version_info >= (3, 10), sys.version; " +
		"print(sys.implementation.cache_tag + '-' + sysconfig.get_platform())"
	var tried []error
	for _, name := range []string{"python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"} {
		out, err := run(exec.CommandContext(ctx, name, "-c", probe)) //nolint:gosec // one of these names
		if err == nil {
			return name, strings.TrimSpace(string(out)), nil
		}
		tried = append(tried, err)
	}
	return "", "", fmt.Errorf("DuckDB runs in Python 3.10 or newer with pip: install them (Debian: "+
		"sudo apt-get install python3 python3-pip): %w", errors.Join(tried...))
}

// install makes the packages in a directory of its own and renames it.
func (db *DB) install(ctx context.Context) error {
	cache := filepath.Dir(db.packages)
	if err := os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // nothing secret
		return err
	}
	made, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(made)
	fmt.Fprintf(os.Stderr, "duckdb: installing its Python packages into %s\n", db.packages)
	list := filepath.Join(made, "requirements.txt")
	if err := os.WriteFile(list, requirements, 0o644); err != nil { //nolint:gosec // nothing secret
		return err
	}
	if _, err := run(exec.CommandContext(ctx, db.python, "-m", "pip", "install", "--quiet", //nolint:gosec // ours
		"--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:", "--no-deps",
		"--target", made, "--requirement", list)); err != nil {
		return err
	}
	err = os.Rename(made, db.packages)
	if _, there := os.Stat(db.packages); there == nil {
		return nil // made here, or by another process meanwhile
	}
	return err
}

// Query runs queries and returns the rows of each. Bytes are returned in hex, numbers as
// json.Number, structs as maps.
func (db *DB) Query(ctx context.Context, queries ...string) ([][][]any, error) {
	request, err := json.Marshal(map[string]any{"queries": queries, "s3": db.S3})
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, db.python, "-s", "-c", script) //nolint:gosec // ours
	cmd.Env = append(os.Environ(), "PYTHONPATH="+db.packages, "PYTHONDONTWRITEBYTECODE=1",
		"HTTP_PROXY=", "http_proxy=") // the endpoint is near, and DuckDB knows no NO_PROXY
	cmd.Stdin = bytes.NewReader(request)
	out, err := run(cmd)
	if err != nil {
		return nil, fmt.Errorf("duckdb: %w", err)
	}
	var rows [][][]any
	d := json.NewDecoder(bytes.NewReader(out))
	d.UseNumber()
	if err := d.Decode(&rows); err != nil {
		return nil, fmt.Errorf("duckdb: %w", err)
	}
	if len(rows) != len(queries) {
		return nil, fmt.Errorf("duckdb: %d results of %d queries", len(rows), len(queries))
	}
	return rows, nil
}

// run returns what a command prints; its error has what it printed on stderr.
func run(cmd *exec.Cmd) ([]byte, error) {
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, bytes.TrimSpace(log.Bytes()))
	}
	return out.Bytes(), nil
}
