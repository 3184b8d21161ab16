//go:build unix

package cli

import (
	"errors"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// Interrupts returns the signals that interrupt a command. A signal that is ignored stays ignored:
// SIGHUP under nohup, SIGINT for a script's background job.
func Interrupts() []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
	return slices.DeleteFunc(all, signal.Ignored)
}

// CatchSIGPIPE makes a write to a closed pipe on standard output or standard error fail with EPIPE;
// by default the Go runtime ends the program. The signal is caught rather than ignored, because
// child processes inherit an ignored signal.
func CatchSIGPIPE() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// IsClosedPipe reports whether err is that of a write to a pipe that has no reader.
func IsClosedPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
