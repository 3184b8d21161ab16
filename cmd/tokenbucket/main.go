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

	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/cli"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/flags"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/pipe"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/plan"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/run"
)

// A command is one of run, pipe and plan. It returns the exit status; an error is printed in the name of the command, and
// makes it cli.ExitFailed, or cli.ExitUsage if it is a flags.UsageError.
type command struct {
	name, does string
	main       func(args []string, s cli.Streams) (int, error)
}

func commands() []command {
	return []command{
		{"run", "run a command for each item of a list, at a rate", run.Main},
		{"pipe", "pass lines or bytes through, at a rate", pipe.Main},
		{"plan", "tell what a limit would have done to the traffic of a log", plan.Main},
	}
}

func main() {
	os.Exit(dispatch(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

func dispatch(args []string, s cli.Streams) int {
	if len(args) == 0 {
		writeUsage(s.Err)
		return cli.ExitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
	case "-h", "-help", "--help":
		writeUsage(s.Out)
		return cli.ExitOK
	case "help":
		if len(rest) == 0 {
			writeUsage(s.Out)
			return cli.ExitOK
		}
		name, rest = rest[0], []string{"-h"}
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(rest, s)
		}
	}
	fmt.Fprintf(s.Err, "tokenbucket: no command %q, want run, pipe or plan; tokenbucket -h tells more\n", name)
	return cli.ExitUsage
}

func (c command) run(args []string, s cli.Streams) int {
	status, err := c.main(args, s)
	if err == nil {
		return status
	}
	fmt.Fprintf(s.Err, "tokenbucket %s: %v\n", c.name, err)
	if errors.As(err, new(flags.UsageError)) {
		fmt.Fprintf(s.Err, "tokenbucket %s -h tells more\n", c.name)
		return cli.ExitUsage
	}
	return cli.ExitFailed
}

func writeUsage(w io.Writer) {
	fmt.Fprint(w, "Usage: tokenbucket command [flags] ...\n\nThe commands are:\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-5s %s\n", c.name, c.does)
	}
	fmt.Fprint(w, "\ntokenbucket command -h explains its flags, with examples.\n"+
		"\nExit status: 0 it worked, 1 something failed, 2 a wrong command line, 130 interrupted.\n")
}
