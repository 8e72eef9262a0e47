package embedded

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lock takes a lock on f that the operating system gives back when the process ends,
// however it ends. It fails with ErrInUse when somebody has it.
func lock(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrInUse
	}
	return err
}

// unlock does nothing: closing f gives the lock back.
func unlock(*os.File) error { return nil }
