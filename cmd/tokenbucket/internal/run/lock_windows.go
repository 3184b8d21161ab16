package run

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lock locks f for this process, or returns an error if another process holds it. The lock is on a
// byte far beyond the end, because Windows lets nobody else read the bytes that are locked.
func lock(f *os.File) error {
	far := windows.Overlapped{OffsetHigh: 1 << 30}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &far)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errors.New("it is in use by another process")
	}
	return err
}
