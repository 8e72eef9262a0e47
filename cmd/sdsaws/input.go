package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// openRegular opens a file that isn't a pipe or a device: to open these may wait for ever.
func openRegular(name string) (*os.File, error) {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", name)
	}
	if err != nil {
		return nil, err
	}
	return os.Open(name) //nolint:gosec // it was told to
}

// waiting reads what may be waited for, a pipe or standard input ("-"). Its reads end with ctx; who then still waits
// for the file ends with the process.
func waiting(ctx context.Context, name string, stdin io.Reader) io.ReadCloser {
	out, in := io.Pipe()
	stop := context.AfterFunc(ctx, func() { _ = in.CloseWithError(ctx.Err()) }) // always nil
	go func() {
		defer stop()
		_ = in.CloseWithError(copyFrom(in, name, stdin)) // always nil
	}()
	return out
}

func copyFrom(to io.Writer, name string, stdin io.Reader) (err error) {
	if name != "-" {
		file, err := os.Open(name) //nolint:gosec // it was told to
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		stdin = file
	}
	_, err = io.Copy(to, stdin)
	return err
}
