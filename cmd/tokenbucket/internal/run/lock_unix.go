//go:build unix

package run

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// lock locks f for this process, or returns an error that names the process that holds it. The lock
// goes when f is closed or the process ends, however it ends, and jobs do not inherit it. A record
// lock (fcntl) is used because it knows its holder; flock does not.
func lock(f *os.File) error {
	for {
		// A lock of length 0 is on the whole file.
		l := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
		err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &l)
		switch {
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES):
		case errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.EINVAL):
			return nil // a file system without locks
		case errors.Is(err, syscall.EINTR):
			continue
		default:
			return err
		}
		l = syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
		switch err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &l); {
		case err == nil && l.Type == syscall.F_UNLCK:
			continue // released meanwhile
		case err == nil && l.Pid > 0:
			return fmt.Errorf("it is in use by process %d", l.Pid)
		}
		// The holder is on another machine or in another PID namespace.
		return errors.New("it is in use by another process")
	}
}
