//go:build unix

package embedded

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestCloseGivesTheLockBack though a process that is just being started has the file open.
func TestCloseGivesTheLockBack(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := unix.Dup(int(s.locked.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(inherited) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, nil)
}
