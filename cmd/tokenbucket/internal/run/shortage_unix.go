//go:build unix

package run

import (
	"errors"
	"math"
	"syscall"
)

// maxOpenFiles returns the process's limit on open files. The Go runtime has already raised it to
// the hard limit.
func maxOpenFiles() uint64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return math.MaxInt32
	}
	return uint64(l.Cur) // signed on some BSDs
}

// isShortage reports whether a process could not be started because the system is short of files,
// processes or memory: another job that ends may free what is missing.
func isShortage(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
