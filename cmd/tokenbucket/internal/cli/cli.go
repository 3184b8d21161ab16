// Package cli holds what the commands run, pipe and plan share with main: their standard streams,
// their exit statuses and the signals that interrupt them.
package cli

import "io"

// Exit statuses. 2 is also what package flag and most shells use for a wrong command line.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitInterrupted = 130 // what shells report for a program that SIGINT ended
)

// Streams are the standard streams of a command.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}
