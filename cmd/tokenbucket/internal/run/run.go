package run

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/cli"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/fields"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/flags"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/progress"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/terminal"
)

// Help is what tokenbucket run -h prints, beside the flags.
var Help = flags.Help{Synopsis: "tokenbucket run -rate R [flags] [--] command [args]", Text: `Runs the command for each item of a list, with the item in place of every {}, or at the end if there is none. There is no
shell: an item is one argument, whatever is in it. The output of a job is printed when it is over, in one piece; of a job
that was tried again, that of the last attempt. Jobs have no standard input.

A job needs a token and one of -jobs slots to start; another attempt needs a token too. Empty lines are no items.

Exit status: 0 all succeeded, 1 some failed, 2 a wrong command line, 130 interrupted. The first Ctrl-C (or SIGTERM, SIGHUP)
starts nothing new and lets running jobs finish, the second ends them (SIGTERM, then SIGKILL after 3 s, to the process group
of each), the third ends them at once.

The log has a line for each job that is over: its number in the list, start and seconds of the last attempt, exit status,
attempts, and the item; with tabs between them. 124 is a timeout, 126 and 127 could not be run, 128+n is ended by signal n.
The line is written after the output is out. -resume skips the items that the log says succeeded, as often as it says so,
wherever they are in the list now; those that were running when tokenbucket was killed are run again.

Memory is bounded: at most -ahead items are read ahead, so a key that waits holds up the others only if so many of its
items come together; output beyond 32 KiB is kept in a temporary file; with -ordered at most 500 jobs may be over and wait
for one before them.

Examples:

  seq 10 | tokenbucket run -rate 5/s -- echo item {} of 10
  printf '%s\n' a.example/1 b.example/1 a.example/2 | tokenbucket run -rate 1/s -key 1 -sep / -- echo get {}
  seq 3 | tokenbucket run -rate 20/s -burst 3 -retries 2 -backoff 10ms -timeout 5s -- sh -c 'test "$1" -gt 0' sh
  find . -maxdepth 1 -type f -print0 | tokenbucket run -0 -rate 50/s -jobs 2 -ordered -- wc -c
`}

// options is what the command line of run says.
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

// Main runs the command and returns its exit status.
func Main(args []string, s cli.Streams) (int, error) {
	o, done, err := parse(args, s.Out)
	if done || err != nil {
		return cli.ExitOK, err
	}
	in := s.In
	if o.file != "-" {
		f, err := os.Open(o.file)
		if err != nil {
			return cli.ExitFailed, err
		}
		defer f.Close()
		in = f
	}
	var log *joblog
	var succeeded map[string]int
	var strange []string
	if o.joblog != "" {
		if log, succeeded, strange, err = openJoblog(o.joblog, o.resume); err != nil {
			return cli.ExitFailed, err
		}
		defer log.close()
	}
	r := newRun(o, progress.NewCounter(in), s, log, succeeded)
	for _, text := range strange {
		r.screen.Notef("%s: %s", o.joblog, text)
	}
	return r.main()
}

func parse(args []string, out io.Writer) (o options, done bool, err error) {
	fs := flags.New("run")
	fs.TextVar(&o.rate, "rate", tokenbucket.Rate{}, "at most `R` starts: "+flags.WantRate+"; or inf")
	flags.IntVar(fs, &o.burst, "burst", 1, 1, "and `N` at once after a pause")
	flags.IntVar(fs, &o.jobs, "jobs", 1, 1, "run at most `N` at once")
	fs.StringVar(&o.file, "file", "-", "read the items from `FILE`; - is standard input")
	flags.BoolVar(fs, &o.nul, "0", "items end with NUL instead of newline; none is skipped for being empty")
	flags.IntVar(fs, &o.key, "key", 0, 1, "pace the items with the same field `N` apart from the others, each at the rate;\n"+
		"fields are counted from 1; items without it share a key")
	fs.StringVar(&o.sep, "sep", "", "fields are separated by `S` (\\t for a tab) instead of blanks, where [..] and \"..\" are one")
	flags.IntVar(fs, &o.retries, "retries", 0, 0, "try a job that fails up to `N` times more")
	flags.DurationVar(fs, &o.backoff, "backoff", time.Second, "wait `D` before the second attempt, then twice as long each time, up to 1m;\n"+
		"less a random part of up to a half; a job that waits has no slot")
	flags.DurationVar(fs, &o.timeout, "timeout", 0, "end an attempt after `D`, with all its processes; it has failed")
	flags.BoolVar(fs, &o.ordered, "ordered", "print in the order of the items, not as jobs end")
	fs.StringVar(&o.joblog, "joblog", "", "write a line for each job to `FILE`, which must not be there yet without -resume")
	flags.BoolVar(fs, &o.resume, "resume", "skip what -joblog says has succeeded")
	flags.IntVar(fs, &o.ahead, "ahead", 10000, 1, "read at most `N` items ahead of those that run")
	flags.BoolVar(fs, &o.quiet, "quiet", "no progress line, and no notes about jobs that fail")
	if done, err = flags.Parse(fs, args, out, Help); done || err != nil {
		return o, done, err
	}
	return o, false, o.check(fs)
}

// check is for what a flag alone does not tell.
func (o *options) check(fs *flag.FlagSet) error {
	if err := flags.CheckRate(fs, o.rate); err != nil {
		return err
	}
	switch {
	case o.resume && o.joblog == "":
		return flags.Usagef("flag -resume needs -joblog FILE, the log of the run to go on with")
	case o.sep != "" && o.key == 0:
		return flags.Usagef("flag -sep needs -key N, the field to pace by")
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

// run is one run of the command. Make it with newRun and call main once.
type run struct {
	options
	in        *progress.Counter
	items     *itemReader
	succeeded map[string]int // by the log that is resumed; what is skipped is taken off
	screen    *terminal.Screen
	output    *output
	runner    *runner
	sched     *scheduler
	achieved  progress.Meter
	halt      context.CancelFunc
	inErr     error // of reading the items; set before they are at their end
}

func newRun(o options, in *progress.Counter, s cli.Streams, log *joblog, succeeded map[string]int) *run {
	r := &run{options: o, in: in, items: newItemReader(in, o.nul), succeeded: succeeded}
	r.screen = terminal.NewScreen(s, o.quiet, r.progress)
	var stop context.Context
	stop, r.halt = context.WithCancel(context.Background())
	r.output = newOutput(r.screen, log, o.ordered, o.quiet, r.halt)
	r.runner = newRunner(o.command, o.timeout, o.retries, r.output)
	r.sched = &scheduler{
		limit: tokenbucket.NewKeyed[string](o.rate, o.burst),
		free:  o.jobs, ahead: o.ahead, retries: o.retries, backoff: o.backoff,
		stop: stop.Done(), attempt: r.runner.attempt, giveUp: r.runner.giveUp, mayStart: r.output.mayStart,
	}
	return r
}

// main runs all jobs and returns the exit status.
func (r *run) main() (int, error) {
	cli.CatchSIGPIPE()
	interrupted, done := make(chan os.Signal, 3), make(chan struct{})
	signal.Notify(interrupted, cli.Interrupts()...)
	var wg sync.WaitGroup
	var signals int
	wg.Go(func() { signals = r.obey(interrupted, done) })

	items := make(chan *job)
	r.sched.items = items
	go r.read(items)
	r.achieved.PerSecond(time.Now(), 0)
	r.screen.Start()
	r.sched.run()
	r.output.flush()
	r.screen.Stop()
	close(done)
	wg.Wait()
	return r.status(signals > 0)
}

// obey does what Ctrl-C asks for until done, and returns how often it was pressed.
func (r *run) obey(interrupted <-chan os.Signal, done <-chan struct{}) (n int) {
	for {
		select {
		case <-done:
			return n
		case <-interrupted:
		}
		switch n++; n {
		case 1:
			r.halt()
			r.noteRunning("interrupted: waiting for %d running; again to end them")
		case 2:
			r.noteRunning("interrupted again: ending %d running; once more to kill them")
			r.runner.terminateAll()
		default:
			r.runner.killAll()
			os.Exit(cli.ExitInterrupted)
		}
	}
}

func (r *run) noteRunning(format string) {
	if running := r.sched.count.running.Load(); running > 0 && !r.quiet {
		r.screen.Notef(format, running)
	}
}

// read sends the items that are to be run, until it fails or the process ends.
func (r *run) read(to chan<- *job) {
	defer close(to)
	cut := fields.New(r.sep)
	for {
		seq, item, err := r.items.next()
		switch {
		case err == io.EOF:
			return
		case err != nil:
			r.inErr = err
			return
		}
		if r.succeeded[item] > 0 {
			r.succeeded[item]--
			r.sched.count.skipped.Add(1)
			r.output.skip(seq)
			continue
		}
		j := &job{seq: seq, item: item}
		if r.key > 0 {
			field, _ := cut.Nth([]byte(item), r.key)
			j.key = string(field)
		}
		to <- j
	}
}

// status tells how it went.
func (r *run) status(interrupted bool) (int, error) {
	c := &r.sched.count
	if interrupted {
		if !r.quiet {
			r.screen.Notef("interrupted: %d succeeded, %d failed, the rest was not started", c.done.Load(), c.failed.Load())
		}
		return cli.ExitInterrupted, nil
	}
	switch err := r.output.error(); {
	case cli.IsClosedPipe(err):
		return cli.ExitFailed, nil
	case err != nil:
		return cli.ExitFailed, fmt.Errorf("%w; nothing more was started", err)
	case r.inErr != nil: // the scheduler saw the end of the items, which came after it
		return cli.ExitFailed, r.inErr
	case c.failed.Load() > 0:
		return cli.ExitFailed, nil
	}
	return cli.ExitOK, nil
}
