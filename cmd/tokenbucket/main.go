// Command tokenbucket applies a rate limit to the work of a shell, and reports what a limit would
// have done to past traffic.
//
//	tokenbucket run  -rate 100/m -jobs 8 -- cmd {}    runs cmd for each line of its input, at a rate
//	tokenbucket pipe -rate 1000/s                     passes lines through, at a rate
//	tokenbucket plan -rate 10/s -burst 20 access.log  replays a log against a limit
//
// Each prints its flags and examples with -h.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/cli"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/flags"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/pipe"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/plan"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/run"
)

// A command is one of run, pipe and plan. Its main returns the exit status. If main returns an
// error, the error is printed with the command's name, and the exit status is cli.ExitUsage for a
// flags.UsageError and cli.ExitFailed for others.
type command struct {
	name, does string
	main       func(args []string, s cli.Streams) (int, error)
}

func commands() []command {
	return []command{
		{"run", "run a command for each item of a list, at a rate", run.Main},
		{"pipe", "pass lines or bytes through, at a rate", pipe.Main},
		{"plan", "report what a limit would have done to the traffic of a log", plan.Main},
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
	case "-version", "--version", "version":
		fmt.Fprintln(s.Out, version())
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
	fmt.Fprintf(s.Err, "tokenbucket: no command %q, want run, pipe or plan; see tokenbucket -h\n", name)
	return cli.ExitUsage
}

// version returns the version of the module, with the commit if it was built from a checkout, and
// those of Go and the platform.
func version() string {
	text := "(unknown)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		text = info.Main.Version
	}
	return fmt.Sprintf("tokenbucket %s %s %s/%s", text, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func (c command) run(args []string, s cli.Streams) int {
	status, err := c.main(args, s)
	if err == nil {
		return status
	}
	fmt.Fprintf(s.Err, "tokenbucket %s: %v\n", c.name, err)
	if errors.As(err, new(flags.UsageError)) {
		fmt.Fprintf(s.Err, "see tokenbucket %s -h\n", c.name)
		return cli.ExitUsage
	}
	return cli.ExitFailed
}

func writeUsage(w io.Writer) {
	fmt.Fprint(w, "Usage: tokenbucket command [flags] ...\n\nThe commands are:\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-5s %s\n", c.name, c.does)
	}
	fmt.Fprint(w, "\ntokenbucket command -h prints its flags and examples; tokenbucket -version prints the version.\n"+
		"\nExit status: 0 it worked, 1 something failed, 2 the command line is wrong, 130 interrupted.\n")
}
