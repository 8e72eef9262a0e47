// Command schemagen writes the arguments of the resources that the modules use into
// schema.json, from the AWS provider's bindings for Terraform CDK: they were generated from
// the provider's own schema. It needs npm, or the package's .tgz as its argument.
package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sdsaws/sdsaws/internal/hclcheck"
)

// Package is the last that was published, with provider 6.25.0.
const Package = "@cdktf/provider-aws@21.22.1"

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "schemagen: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	used, err := hclcheck.Types(os.DirFS("terraform"))
	if err != nil {
		return fmt.Errorf("run it in the repository's root: %w", err)
	}
	archive := strings.Join(args, "")
	if archive == "" {
		dir, err := os.MkdirTemp("", "schemagen-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if archive, err = download(ctx, dir); err != nil {
			return err
		}
	}
	schema, err := read(archive, used)
	if err != nil {
		return err
	}
	schema.Package = Package
	b, err := json.MarshalIndent(schema, "", " ")
	if err != nil {
		return err
	}
	const file = "internal/hclcheck/schema.json"
	fmt.Printf("%s: %d types of provider %s\n", file, len(schema.Types), schema.Provider)
	return os.WriteFile(file, append(b, '\n'), 0o644) //nolint:gosec // nothing secret
}

func download(ctx context.Context, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", "--pack-destination", dir, Package) //nolint:gosec // a constant, and a directory of ours
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("npm pack %s: %w", Package, err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("npm pack %s: made %q, %w", Package, found, err)
	}
	return found[0], nil
}

// read takes the types that are used from a package.
func read(archive string, used []string) (*hclcheck.Schema, error) {
	f, err := os.Open(archive) //nolint:gosec // as it was told
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	wanted := map[string]string{}
	for _, name := range used {
		// aws_dynamodb_table is in dynamodb-table; data.aws_region in data-aws-region.
		dir, isData := strings.CutPrefix(name, "data.")
		if !isData {
			dir = strings.TrimPrefix(dir, "aws_")
		} else {
			dir = "data-" + dir
		}
		wanted["package/lib/"+strings.ReplaceAll(dir, "_", "-")+"/index.d.ts"] = name
	}
	schema := &hclcheck.Schema{Types: map[string]*hclcheck.Block{}}
	files := tar.NewReader(z)
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		name := wanted[h.Name]
		if name == "" {
			continue
		}
		source, err := io.ReadAll(files)
		if err != nil {
			return nil, err
		}
		block, version, err := parse(string(source), strings.TrimPrefix(name, "data."))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		schema.Types[name], schema.Provider = block, version
	}
	for _, name := range used {
		if schema.Types[name] == nil {
			return nil, fmt.Errorf("%s isn't in %s", name, archive)
		}
	}
	return schema, nil
}
