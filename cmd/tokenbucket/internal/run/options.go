package run

import (
	"flag"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/flags"
)

// options are the command line.
type options struct {
	rate             tokenbucket.Rate
	burst, jobs      int
	retries, ahead   int
	backoff, timeout time.Duration
	file, sep        string
	nul              bool
	key              int
	ordered, quiet   bool
	joblog           string
	resume           bool
	command          template
}

func parse(args []string, out io.Writer) (o options, done bool, err error) {
	fs := flags.New("run")
	flags.RateVar(fs, &o.rate, "rate", "start at most `R`: "+flags.WantRate+"; or inf")
	flags.IntVar(fs, &o.burst, "burst", 1, 1, "start up to `N` at once after a pause")
	flags.IntVar(fs, &o.jobs, "jobs", 1, 1, "run at most `N` at once")
	fs.StringVar(&o.file, "file", "-", "read the items from `FILE`; - is standard input")
	flags.BoolVar(fs, &o.nul, "0", "items end with NUL instead of newline; an empty item is an item")
	flags.IntVar(fs, &o.key, "key", 0, 1, "items with the same field `N` share a limit, with other items they do not;\n"+
		"fields are counted from 1; items without the field share one limit")
	fs.StringVar(&o.sep, "sep", "", flags.UsageSep)
	flags.IntVar(fs, &o.retries, "retries", 0, 0, "try a failed job up to `N` more times")
	flags.DurationVar(fs, &o.backoff, "backoff", time.Second, "wait `D` before the second attempt, then twice as long each time, up to 1m,\n"+
		"less a random part of up to a half; a waiting job has no slot")
	flags.DurationVar(fs, &o.timeout, "timeout", 0, "end an attempt after `D`, with all its processes; it has failed")
	flags.BoolVar(fs, &o.ordered, "ordered", "print in the order of the items, not as jobs end")
	fs.StringVar(&o.joblog, "joblog", "", "write a line for each job to `FILE`, which must be new or empty without -resume")
	flags.BoolVar(fs, &o.resume, "resume", "skip items that succeeded according to -joblog")
	flags.IntVar(fs, &o.ahead, "ahead", 10000, 1, "read at most `N` items ahead of those that run")
	flags.BoolVar(fs, &o.quiet, "quiet", "no progress line and no notes")
	if done, err = flags.Parse(fs, args, out, Help); done || err != nil {
		return o, done, err
	}
	return o, false, o.check(fs)
}

// check finds the mistakes that no flag shows by itself.
func (o *options) check(fs *flag.FlagSet) error {
	if err := flags.CheckRate(fs, o.rate); err != nil {
		return err
	}
	switch {
	case o.resume && o.joblog == "":
		return flags.Usagef("flag -resume needs -joblog FILE, the log of the run to resume")
	case o.sep != "" && o.key == 0:
		return flags.Usagef("flag -sep needs -key N, the field with the key")
	case flags.IsSet(fs, "backoff") && o.retries == 0:
		return flags.Usagef("flag -backoff needs -retries N")
	case fs.NArg() == 0:
		return flags.Usagef("the command is missing, want it after the flags: %s", Help.Synopsis)
	}
	o.command = newTemplate(fs.Args())
	if name := fs.Arg(0); !strings.Contains(name, "{}") {
		if _, err := exec.LookPath(name); err != nil {
			return flags.UsageError{Err: err}
		}
	}
	return nil
}
