package run

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

const (
	// lingering is how long to wait for the rest of the output of a job whose first process has ended, if something that it
	// left in the background keeps the pipe open: that must not cost a slot for good.
	lingering = 2 * time.Second

	// grace is how long a job that is asked to end may take over it before it is made to.
	grace = 3 * time.Second
)

// Exit statuses of jobs, as env, timeout and the shells have them.
const (
	exitTimeout     = 124
	exitCannotRun   = 126
	exitNotFound    = 127
	exitNotComplete = 125 // it succeeded, but not all of its output could be kept
)

// runner runs the jobs. Make it with newRunner.
type runner struct {
	command template
	timeout time.Duration // of an attempt; 0 is none
	retries int
	output  *output
	end     chan struct{} // closed by terminateAll

	mu      sync.Mutex
	running map[*os.Process]struct{}
	once    sync.Once
}

func newRunner(command template, timeout time.Duration, retries int, o *output) *runner {
	return &runner{
		command: command, timeout: timeout, retries: retries, output: o,
		end: make(chan struct{}), running: map[*os.Process]struct{}{},
	}
}

// attempt runs j once, and tells whether it failed. If it was the last attempt the job is printed, while it still has its slot:
// so a reader of the output that is slow holds up the jobs, instead of their output piling up. What failed attempts before
// the last have printed is dropped, for whoever reads the output wants it once.
func (r *runner) attempt(j *job) (failed bool) {
	e := &ending{job: j}
	j.last = r.execute(r.command.fill(j.item), e)
	failed = j.last.exit != 0
	if failed && j.attempts <= r.retries {
		e.out.close()
		e.err.close()
		return true
	}
	r.finish(e)
	return failed
}

// giveUp is for a job that was to have another attempt, and will not.
func (r *runner) giveUp(j *job) { r.finish(&ending{job: j}) }

func (r *runner) finish(e *ending) {
	if e.last.why != "" && e.attempts > 1 {
		e.last.why += fmt.Sprintf(", after %d attempts", e.attempts)
	}
	r.output.end(e)
}

// execute runs args and waits for its end, by itself, by the timeout or by terminateAll.
func (r *runner) execute(args []string, e *ending) (res result) {
	cmd := exec.Command(args[0], args[1:]...) // without standard input: that may be the list
	cmd.Stdout, cmd.Stderr = &e.out, &e.err
	cmd.WaitDelay = lingering
	ownGroup(cmd)

	res.start = time.Now()
	defer func() { res.took = time.Since(res.start) }()
	if err := cmd.Start(); err != nil {
		res.exit, res.why = exitCannotRun, err.Error()
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			res.exit = exitNotFound
		}
		return res
	}
	r.note(cmd.Process, true)
	defer r.note(cmd.Process, false)
	waited := make(chan error, 1)
	go func() { waited <- cmd.Wait() }()

	err, timedOut := r.await(cmd.Process, waited)
	switch {
	case timedOut:
		res.exit, res.why = exitTimeout, fmt.Sprintf("timed out after %v", r.timeout)
	case errors.As(err, new(*exec.ExitError)):
		res.exit, res.why = exitStatus(cmd.ProcessState), err.Error()
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		res.exit, res.why = exitNotComplete, err.Error()
	}
	return res
}

// await waits for p, and ends its group when it has to.
func (r *runner) await(p *os.Process, waited <-chan error) (err error, timedOut bool) {
	var timeout <-chan time.Time
	if r.timeout > 0 {
		t := time.NewTimer(r.timeout)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case err := <-waited:
		return err, false
	case <-timeout:
		timedOut = true
	case <-r.end:
	}
	terminate(p)
	last := time.NewTimer(grace)
	defer last.Stop()
	select {
	case err = <-waited:
		kill(p) // what is left of its group
	case <-last.C:
		kill(p)
		err = <-waited
	}
	return err, timedOut
}

func (r *runner) note(p *os.Process, on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if on {
		r.running[p] = struct{}{}
	} else {
		delete(r.running, p)
	}
}

// terminateAll asks all running jobs to end; after a grace they are made to.
func (r *runner) terminateAll() { r.once.Do(func() { close(r.end) }) }

// killAll makes them.
func (r *runner) killAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.running {
		kill(p)
	}
}
