package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// Package flag names the flag and the value of a mistake; what it lacks is what was expected, which the values here add.
// pflag was weighed: it would bring two dashes for long names, and nothing else that these commands need.

// newFlags returns a set that prints nothing by itself.
func newFlags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return fs
}

// parse parses args. If they ask for help it prints it, and done is true.
func parse(fs *flag.FlagSet, args []string, out io.Writer, synopsis, epilogue string) (done bool, err error) {
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		writeHelp(out, fs, synopsis, epilogue)
		return true, nil
	case err != nil:
		return false, usageError{err}
	}
	return false, nil
}

// writeHelp prints the flags one a line where they fit, which PrintDefaults does not.
func writeHelp(w io.Writer, fs *flag.FlagSet, synopsis, epilogue string) {
	fmt.Fprintf(w, "Usage: %s\n\n", synopsis)
	fs.VisitAll(func(f *flag.Flag) {
		arg, text := flag.UnquoteUsage(f)
		left := strings.TrimSpace("-" + f.Name + " " + arg)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
			text += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(w, "  %-16s %s\n", left, strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", 19)))
	})
	fmt.Fprintf(w, "\n%s", epilogue)
}

// required returns an error if the flag was not given.
func required(fs *flag.FlagSet, name, want string) error {
	if isSet(fs, name) {
		return nil
	}
	return usagef("flag -%s is missing, want %s", name, want)
}

func isSet(fs *flag.FlagSet, name string) (set bool) {
	fs.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// badValue returns the error that package flag would have returned for a value that is only found wrong later.
func badValue(name, value, want string) error {
	return usagef("invalid value %q for flag -%s: want %s", value, name, want)
}

const wantRate = "tokens/period, as 10/s, 100/m or 5/250ms"

// checkRate refuses a rate that was not given, or that lets nothing through, ever.
func checkRate(fs *flag.FlagSet, r tokenbucket.Rate) error {
	if err := required(fs, "rate", wantRate); err != nil {
		return err
	}
	if r == (tokenbucket.Rate{}) {
		return badValue("rate", r.String(), "more than 0, which would let nothing through")
	}
	return nil
}

// intValue is a whole number of at least min.
type intValue struct {
	p   *int
	min int
}

func intVar(fs *flag.FlagSet, p *int, name string, value, min int, usage string) {
	*p = value
	fs.Var(intValue{p, min}, name, usage)
}

func (v intValue) String() string {
	if v.p == nil {
		return "0"
	}
	return strconv.Itoa(*v.p)
}

func (v intValue) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < v.min {
		return fmt.Errorf("want a whole number, %d or more", v.min)
	}
	*v.p = n
	return nil
}

// durationValue is a duration of more than 0.
type durationValue struct{ p *time.Duration }

func durationVar(fs *flag.FlagSet, p *time.Duration, name string, value time.Duration, usage string) {
	*p = value
	fs.Var(durationValue{p}, name, usage)
}

func (v durationValue) String() string {
	if v.p == nil {
		return "0s"
	}
	return v.p.String()
}

func (v durationValue) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("want a duration of more than 0, as 500ms, 30s or 1h30m")
	}
	*v.p = d
	return nil
}

// boolValue is flag.Bool with an error that says what is expected.
type boolValue struct{ p *bool }

func boolVar(fs *flag.FlagSet, p *bool, name, usage string) { fs.Var(boolValue{p}, name, usage) }

func (v boolValue) String() string   { return strconv.FormatBool(v.p != nil && *v.p) }
func (v boolValue) IsBoolFlag() bool { return true }

func (v boolValue) Set(s string) error {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return errors.New("want true or false")
	}
	*v.p = b
	return nil
}
