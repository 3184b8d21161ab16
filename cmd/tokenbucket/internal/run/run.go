// Package run implements tokenbucket run: it runs a command for each item of a list, at a rate.
package run

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/cli"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/fields"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/progress"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/terminal"
)

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
	var past record
	if o.joblog != "" {
		if log, past, err = openJoblog(o.joblog, o.resume); err != nil {
			return cli.ExitFailed, err
		}
		defer log.close()
	}
	r := newRun(o, progress.NewCounter(in), s, log, past.succeeded)
	if !o.quiet {
		past.noteStrange(r.screen, o.joblog)
	}
	return r.main()
}

// run is one run of the command. Make it with newRun and call main once.
type run struct {
	options
	in        *progress.Counter
	items     *itemReader
	succeeded map[string]int // by the log that is resumed, less what was skipped
	screen    *terminal.Screen
	output    *output
	runner    *runner
	sched     *scheduler
	achieved  progress.Meter
	halt      context.CancelFunc
	inErr     error // the error of reading the items; set before their channel is closed
}

func newRun(o options, in *progress.Counter, s cli.Streams, log *joblog, succeeded map[string]int) *run {
	r := &run{options: o, in: in, items: newItemReader(in, o.nul), succeeded: succeeded}
	r.screen = terminal.NewScreen(s, o.quiet, r.progress)
	jobs, ahead := fitOpenFiles(maxOpenFiles(), o.jobs, o.ordered)
	if jobs < o.jobs && !o.quiet {
		r.screen.Notef("the limit on open files (ulimit -n) has room for %d jobs at once, not for -jobs %d", jobs, o.jobs)
	}
	var stop context.Context
	stop, r.halt = context.WithCancel(context.Background())
	r.output = newOutput(r.screen, log, o.quiet, r.halt)
	if o.ordered {
		r.output.ahead = ahead
	}
	r.runner = newRunner(o.command, o.timeout, o.retries, r.output)
	r.sched = &scheduler{
		limit: tokenbucket.NewKeyed[string](o.rate, o.burst),
		free:  jobs, ahead: o.ahead, retries: o.retries, backoff: o.backoff,
		stop: stop.Done(), attempt: r.runner.attempt, giveUp: r.runner.giveUp, mayStart: r.output.mayStart,
		cannotStart: r.output.fail,
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

// obey handles the signals that interrupt the run until done is closed, and returns how many there
// were.
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

// read sends the items that are to be run, until their end or an error.
func (r *run) read(to chan<- *job) {
	defer close(to)
	split := fields.New(r.sep)
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
			field, _ := split.Nth([]byte(item), r.key)
			j.key = string(field)
		}
		to <- j
	}
}

// status returns the exit status, and the error that is to be printed.
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
	case r.inErr != nil: // the scheduler has received the end of the items, which came later
		return cli.ExitFailed, r.inErr
	case c.failed.Load() > 0:
		return cli.ExitFailed, nil
	}
	return cli.ExitOK, nil
}
