// Package flags extends package flag by what the commands need: errors that say what was expected,
// values with a range, and help with one flag a line.
//
// Package flag names the flag and the value of a mistake; the values here add what was expected.
// Package pflag would add two dashes for long names, and nothing else that these commands need.
package flags

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/go-tokenbucket/tokenbucket"
)

// UsageError is a mistake in the command line.
type UsageError struct{ Err error }

func (e UsageError) Error() string { return e.Err.Error() }
func (e UsageError) Unwrap() error { return e.Err }

// Usagef returns a UsageError.
func Usagef(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

// BadValue returns the UsageError for a flag whose value turns out to be wrong after parsing.
func BadValue(name, value, want string) error {
	return Usagef("invalid value %q for flag -%s: want %s", value, name, want)
}

// New returns a flag set that prints nothing by itself.
func New(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return fs
}

// Help is what a command says of itself.
type Help struct {
	Synopsis string // the command line
	Text     string // follows the flags
}

// Parse parses args. If they ask for help, Parse prints it to out and done is true. A mistake is a
// UsageError.
func Parse(fs *flag.FlagSet, args []string, out io.Writer, h Help) (done bool, err error) {
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		h.write(out, fs)
		return true, nil
	case err != nil:
		return false, UsageError{err}
	}
	return false, nil
}

// ParseAnywhere is like Parse for a command whose flags may stand before and after its other
// arguments, which it returns. What follows the argument -- is no flag.
func ParseAnywhere(fs *flag.FlagSet, args []string, out io.Writer, h Help) (rest []string, done bool, err error) {
	for {
		if done, err := Parse(fs, args, out, h); done || err != nil {
			return nil, done, err
		}
		left := fs.Args()
		if len(left) == 0 || len(left) < len(args) && args[len(args)-len(left)-1] == "--" {
			return append(rest, left...), false, nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}

// write prints a flag and its text on one line where they fit; PrintDefaults always takes two.
func (h Help) write(w io.Writer, fs *flag.FlagSet) {
	fmt.Fprintf(w, "Usage: %s\n\n", h.Synopsis)
	fs.VisitAll(func(f *flag.Flag) {
		arg, text := flag.UnquoteUsage(f)
		left := strings.TrimSpace("-" + f.Name + " " + arg)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
			text += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(w, "  %-16s %s\n", left, strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", 19)))
	})
	fmt.Fprintf(w, "\n%s", h.Text)
}

// IsSet reports whether the command line has the flag.
func IsSet(fs *flag.FlagSet, name string) (set bool) {
	fs.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// WantRate is what a flag for a rate expects.
const WantRate = "tokens/period, as 10/s, 100/m or 5/250ms"

// UsageSep is the usage of the flag -sep.
const UsageSep = "fields are separated by `S` (\\t is a tab) instead of blanks; with blanks, [..] and \"..\" are one field"

// CheckRate returns a UsageError if the flag -rate is missing, or if r never lets anything through.
func CheckRate(fs *flag.FlagSet, r tokenbucket.Rate) error {
	switch {
	case r == (tokenbucket.Rate{}) && IsSet(fs, "rate"):
		return BadValue("rate", "0", "more than 0: at 0 nothing passes")
	case IsSet(fs, "rate"):
		return nil
	}
	for _, arg := range fs.Args() {
		if name, _, _ := strings.Cut(arg, "="); name == "-rate" || name == "--rate" {
			return Usagef("flag -rate stands after %q, want flags before it", fs.Arg(0))
		}
	}
	return Usagef("flag -rate is missing, want %s", WantRate)
}
