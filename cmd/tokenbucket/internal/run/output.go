package run

import (
	"io"
	"sync"

	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/terminal"
)

// orderedAhead is how many jobs may have ended and wait, with -ordered, for one before them to end. A job more is not
// started: so memory is bounded, and open files, of which a job with much output has two.
const orderedAhead = 500

// output prints what jobs have written, each whole, and logs them. Make it with newOutput.
type output struct {
	screen  *terminal.Screen
	log     *joblog
	ordered bool
	quiet   bool   // no notes about jobs that fail
	failed  func() // called once, when nothing more can be printed or logged

	mu     sync.Mutex      // guards the rest, and that jobs do not print at once
	next   int             // the number of the job that is to be printed next, if ordered
	parked map[int]*ending // what has to wait for that
	err    error           // of the first write that failed
}

// ending is a job that is over, with its output. A nil one is an item that was skipped.
type ending struct {
	*job
	out, err spool
}

func newOutput(sc *terminal.Screen, log *joblog, ordered, quiet bool, failed func()) *output {
	return &output{screen: sc, log: log, ordered: ordered, quiet: quiet, failed: failed, next: 1, parked: map[int]*ending{}}
}

// end prints and logs e, now or when its turn comes.
func (o *output) end(e *ending) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ordered {
		o.print(e)
		return
	}
	o.park(e.seq, e)
}

// skip says that there will be no job with this number.
func (o *output) skip(seq int) {
	if !o.ordered {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.park(seq, nil)
}

// flush prints what still waits, after an interrupt, for jobs that will never be.
func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.parked) > 0 {
		for o.next++; ; o.next++ {
			if _, ok := o.parked[o.next]; ok {
				break
			}
		}
		o.printParked()
	}
}

// mayStart tells whether the job with this number is not too far ahead of what is printed.
func (o *output) mayStart(seq int) bool {
	if !o.ordered {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return seq < o.next+orderedAhead
}

// The methods below need mu.

func (o *output) park(seq int, e *ending) {
	o.parked[seq] = e
	o.printParked()
}

func (o *output) printParked() {
	for {
		e, ok := o.parked[o.next]
		if !ok {
			return
		}
		delete(o.parked, o.next)
		o.next++
		if e != nil {
			o.print(e)
		}
	}
}

// print logs a job only once its output is out: what the log has is never to be run again.
func (o *output) print(e *ending) {
	defer e.out.close()
	defer e.err.close()
	o.copy(o.screen.Out, &e.out)
	o.copy(o.screen.Err, &e.err)
	if e.last.why != "" && !o.quiet {
		o.screen.Notef("job %d (%s): %s", e.seq, terminal.Printable(e.item), e.last.why)
	}
	if o.err == nil {
		o.note(o.log.write(e.job))
	}
}

func (o *output) copy(w io.Writer, s *spool) {
	if o.err == nil && !s.empty() {
		o.screen.Around(w, func() { o.note(s.copyTo(w)) })
	}
}

func (o *output) note(err error) {
	if err != nil && o.err == nil {
		o.err = err
		o.failed()
	}
}

// error returns the first write that failed.
func (o *output) error() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
