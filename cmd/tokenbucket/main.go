// Command tokenbucket puts a rate limit on the work of a shell, and tells what a limit would have done to past traffic.
//
//	tokenbucket run  -rate 100/m -jobs 8 -- cmd {}    runs cmd for each line of standard input, at a rate
//	tokenbucket pipe -rate 1000/s                     passes lines through, at a rate
//	tokenbucket plan -rate 10/s -burst 20 access.log  replays a log against a limit
//
// Each explains itself with -h.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Exit statuses. 2 is also what package flag and most shells use for a command that was not understood.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130 // what shells report for a program that SIGINT ended
)

// streams is what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// A command is one of run, pipe and plan. It returns the exit status; an error is printed in the name of the command, and
// makes it exitFailed, or exitUsage if it is a usageError.
type command struct {
	name, does string
	main       func(args []string, s streams) (int, error)
}

func commands() []command {
	return []command{
		{"run", "run a command for each item of a list, at a rate", runMain},
		{"pipe", "pass lines or bytes through, at a rate", pipeMain},
		{"plan", "tell what a limit would have done to the traffic of a log", planMain},
	}
}

// usageError is a mistake in the command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func main() {
	os.Exit(dispatch(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

func dispatch(args []string, s streams) int {
	if len(args) == 0 {
		writeUsage(s.err)
		return exitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
	case "-h", "-help", "--help":
		writeUsage(s.out)
		return exitOK
	case "help":
		if len(rest) == 0 {
			writeUsage(s.out)
			return exitOK
		}
		name, rest = rest[0], []string{"-h"}
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(rest, s)
		}
	}
	fmt.Fprintf(s.err, "tokenbucket: no command %q, want run, pipe or plan; tokenbucket -h tells more\n", name)
	return exitUsage
}

func (c command) run(args []string, s streams) int {
	status, err := c.main(args, s)
	if err == nil {
		return status
	}
	fmt.Fprintf(s.err, "tokenbucket %s: %v\n", c.name, err)
	if errors.As(err, new(usageError)) {
		fmt.Fprintf(s.err, "tokenbucket %s -h tells more\n", c.name)
		return exitUsage
	}
	return exitFailed
}

func writeUsage(w io.Writer) {
	fmt.Fprint(w, "Usage: tokenbucket command [flags] ...\n\nThe commands are:\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-5s %s\n", c.name, c.does)
	}
	fmt.Fprint(w, "\ntokenbucket command -h explains its flags, with examples.\n"+
		"\nExit status: 0 it worked, 1 something failed, 2 a wrong command line, 130 interrupted.\n")
}
