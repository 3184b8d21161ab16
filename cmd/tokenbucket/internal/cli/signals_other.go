//go:build !unix

package cli

import (
	"errors"
	"io"
	"os"
)

// Interrupts returns the signals that interrupt a command.
func Interrupts() []os.Signal { return []os.Signal{os.Interrupt} }

// CatchSIGPIPE does nothing: there is no SIGPIPE here.
func CatchSIGPIPE() {}

// IsClosedPipe reports whether err is that of a write to a pipe that has no reader.
func IsClosedPipe(err error) bool { return errors.Is(err, io.ErrClosedPipe) }
