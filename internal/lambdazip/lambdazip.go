// Package lambdazip builds functions for Lambda's runtime provided.al2023.
package lambdazip

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// Functions are the commands that run in Lambda: names of zips, and packages.
var Functions = map[string]string{
	"participant": "./examples/lambda",
	"sweeper":     "./cmd/sweeper",
}

// Build builds a package for Linux into a file, in the module's directory dir. arch is GOARCH, "" for this
// machine's; race is for tests on this machine.
//
// lambda.norpc leaves out what only the retired runtime go1.x needs, net/rpc, and with it
// html/template: they look methods up by name, so that the linker keeps those of everything.
func Build(ctx context.Context, dir, pkg, arch, file string, race bool) error {
	args := []string{"build", "-buildvcs=false", "-tags", "lambda.norpc", "-o", file}
	env := os.Environ()
	if arch != "" {
		env = append(env, "GOARCH="+arch)
	}
	if race {
		args = append(args, "-race")
	} else {
		args, env = append(args, "-trimpath", "-ldflags=-s -w"), append(env, "GOOS=linux", "CGO_ENABLED=0")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...) //nolint:gosec // of Functions
	cmd.Dir, cmd.Env = dir, env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// Zip returns a function's zip: the executable, called bootstrap. The same bytes give the same
// zip, so that what has not changed isn't deployed again.
func Zip(executable []byte) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	h.SetMode(0o755)
	f, err := w.CreateHeader(h)
	if err == nil {
		_, err = f.Write(executable)
	}
	if err == nil {
		err = w.Close()
	}
	return out.Bytes(), err
}
