//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for begin := time.Now(); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// silent starts a command whose standard input is open and says nothing.
func silent(t *testing.T, stderr *os.File, args ...string) *exec.Cmd {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sdsaws", args...)
	cmd.Stdin, cmd.Stderr = in, stderr
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = in.Close(), out.Close(), cmd.Process.Kill() })
	return cmd
}

// reads waits until an import copies what comes from standard input.
func reads(t *testing.T, cmd *exec.Cmd) {
	dir, _ := strings.CutPrefix(cmd.Env[len(cmd.Env)-1], "TMPDIR=")
	eventually(t, "it reads standard input", func() bool {
		files, err := filepath.Glob(filepath.Join(dir, "sdsaws-import-*"))
		return err == nil && len(files) > 0
	})
}

// TestASignalEndsWhatWaitsForInput, with exit status 130.
func TestASignalEndsWhatWaitsForInput(t *testing.T) {
	dir := t.TempDir()
	if err := fill(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	to := []string{"--backend", "embedded:" + dir, "--namespace", "alice"}
	for name, c := range map[string]struct {
		args   []string
		waits  func(t *testing.T, cmd *exec.Cmd)
		signal os.Signal
	}{
		"import": {[]string{"import", "-"}, reads, syscall.SIGTERM},
		"hint set": {[]string{"hint", "set", "id-4", "--file", fifo}, func(t *testing.T, _ *exec.Cmd) {
			eventually(t, "it reads the pipe", func() bool {
				f, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
				if err == nil {
					t.Cleanup(func() { _ = f.Close() })
				}
				return err == nil
			})
		}, os.Interrupt},
	} {
		t.Run(name, func(t *testing.T) {
			said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = said.Close() }()
			cmd := silent(t, said, append(c.args, to...)...)
			c.waits(t, cmd)
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // its exit status says more
			text, err := os.ReadFile(said.Name())
			if cmd.ProcessState.ExitCode() != exitSignal || err != nil || string(text) != "sdsaws: interrupted\n" {
				t.Fatalf("%v, %q, %v", cmd.ProcessState, text, err)
			}
		})
	}
}

// TestASecondSignalEndsTheProcess, whatever it waits for: here for who reads what it says.
func TestASecondSignalEndsTheProcess(t *testing.T) {
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = out.Close(), in.Close() }()
	if err := in.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	for { // until nothing fits any more
		if _, err := in.Write(make([]byte, 1)); err != nil {
			break
		}
	}
	cmd := silent(t, in, "import", "-", "--backend", "embedded:"+t.TempDir(), "--namespace", "alice")
	reads(t, cmd)
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its exit status says more
		close(ended)
	}()
	eventually(t, "it ends", func() bool {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGTERM {
		t.Fatalf("%v", cmd.ProcessState)
	}
}

// TestAPipeIsNotImported: it can't be read twice, and isn't waited for.
func TestAPipeIsNotImported(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := rootCommand()
	cmd.SetArgs([]string{"import", fifo, "--check"})
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Fatalf("%v", err)
	}
}
