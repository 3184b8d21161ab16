package run

import (
	"fmt"
	"io"
	"sync"

	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/terminal"
)

// output prints the output of each job in one piece, and logs the job. Make it with newOutput.
type output struct {
	screen *terminal.Screen
	log    *joblog
	ahead  int    // with -ordered, how far jobs may be ahead of next; 0 prints jobs as they end
	quiet  bool   // no notes about failed jobs
	halt   func() // called once, after the first error

	mu    sync.Mutex // held while a job is printed; guards the fields below
	next  int        // with -ordered, the number of the job that is printed next
	ready map[int]*finished
	err   error // the first
}

// finished is a job that has ended, with its output. A nil one stands for an item that was skipped.
type finished struct {
	*job
	out, err spool
}

func newOutput(sc *terminal.Screen, log *joblog, quiet bool, halt func()) *output {
	return &output{screen: sc, log: log, quiet: quiet, halt: halt, next: 1, ready: map[int]*finished{}}
}

func (o *output) ordered() bool { return o.ahead > 0 }

// end prints and logs f, now or when its turn comes.
func (o *output) end(f *finished) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ordered() {
		o.print(f)
		return
	}
	o.ready[f.seq] = f
	o.printReady()
}

// skip says that no job will have this number.
func (o *output) skip(seq int) {
	if !o.ordered() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ready[seq] = nil
	o.printReady()
}

// flush prints the jobs that waited for the output of jobs that will not run, after an interrupt.
func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.ready) > 0 {
		for o.next++; ; o.next++ {
			if _, ok := o.ready[o.next]; ok {
				break
			}
		}
		o.printReady()
	}
}

// mayStart reports whether the job with this number is near enough to the one that is printed next.
func (o *output) mayStart(seq int) bool {
	if !o.ordered() {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return seq < o.next+o.ahead
}

// fail records the first error that ends the run, and stops it.
func (o *output) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failLocked(err)
}

// error returns the error that stopped the run, if any.
func (o *output) error() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// The caller of a method below must hold mu.

func (o *output) failLocked(err error) {
	if err != nil && o.err == nil {
		o.err = err
		o.halt()
	}
}

func (o *output) printReady() {
	for {
		f, ok := o.ready[o.next]
		if !ok {
			return
		}
		delete(o.ready, o.next)
		o.next++
		if f != nil {
			o.print(f)
		}
	}
}

// print prints f and then logs it: a job in the log is not run again, so its output must be out. A
// job whose output could not be kept is neither printed nor logged.
func (o *output) print(f *finished) {
	defer f.out.close()
	defer f.err.close()
	for _, s := range []*spool{&f.out, &f.err} {
		if s.failure != nil {
			o.failLocked(fmt.Errorf("the output of job %d could not be kept in a temporary file: %w", f.seq, s.failure))
			return
		}
	}
	o.copy(o.screen.Out, &f.out)
	o.copy(o.screen.Err, &f.err)
	if f.last.why != "" && !o.quiet {
		o.screen.Notef("job %d (%s): %s", f.seq, terminal.Excerpt(f.item), f.last.why)
	}
	if o.err == nil {
		o.failLocked(o.log.write(f.job))
	}
}

func (o *output) copy(w io.Writer, s *spool) {
	if o.err == nil && !s.empty() {
		o.screen.Around(w, func() { o.failLocked(s.copyTo(w)) })
	}
}
