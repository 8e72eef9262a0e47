// Command cmd builds the zips of the functions into a directory.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sdsaws/sdsaws/internal/lambdazip"
)

func main() {
	dir := flag.String("o", "dist", "`directory` of the zips")
	arch := flag.String("arch", "arm64", "arm64 or amd64, which Lambda calls x86_64")
	flag.Parse()
	if err := build(context.Background(), *dir, *arch); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func build(ctx context.Context, dir, arch string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // nothing secret
		return err
	}
	for name, pkg := range lambdazip.Functions {
		file := filepath.Join(dir, name+".zip")
		size, err := buildOne(ctx, pkg, arch, file)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d bytes, provided.al2023, %s\n", file, size, arch)
	}
	return nil
}

func buildOne(ctx context.Context, pkg, arch, file string) (size int, err error) {
	executable := file + ".tmp"
	defer os.Remove(executable)
	if err := lambdazip.Build(ctx, "", pkg, arch, executable, false); err != nil {
		return 0, err
	}
	b, err := os.ReadFile(executable) //nolint:gosec // just written
	if err != nil {
		return 0, err
	}
	if b, err = lambdazip.Zip(b); err != nil {
		return 0, err
	}
	return len(b), os.WriteFile(file, b, 0o644) //nolint:gosec // nothing secret
}
