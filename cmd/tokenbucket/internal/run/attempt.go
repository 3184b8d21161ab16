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
	// outputDelay is how long to wait for the rest of a job's output after its first process has
	// ended. A process that it left in the background may keep the pipe open, and must not occupy a
	// slot.
	outputDelay = 2 * time.Second

	// killDelay is how long a job may take to end after SIGTERM, before it is killed.
	killDelay = 3 * time.Second
)

// Exit statuses of jobs, as in env, timeout and the shells.
const (
	exitTimeout    = 124
	exitIncomplete = 125 // succeeded, but its output could not be read to the end
	exitCannotRun  = 126
	exitNotFound   = 127
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
	once    sync.Once // closes end
}

func newRunner(command template, timeout time.Duration, retries int, o *output) *runner {
	return &runner{
		command: command, timeout: timeout, retries: retries, output: o,
		end: make(chan struct{}), running: map[*os.Process]struct{}{},
	}
}

// attempt runs j once. After its last attempt the job is printed while it still has its slot, so
// that a slow reader of the output slows down the jobs; otherwise their output would pile up. The
// output of earlier attempts is dropped. An error means notStarted.
func (r *runner) attempt(j *job) (outcome, error) {
	f := &finished{job: j}
	res, err := r.execute(r.command.fill(j.item), f)
	if err != nil {
		return notStarted, err
	}
	j.last = res
	if res.exit == 0 {
		r.finish(f)
		return succeeded, nil
	}
	if j.attempts > r.retries {
		r.finish(f)
	} else {
		f.out.close()
		f.err.close()
	}
	return failed, nil
}

// giveUp prints a failed job that will have no further attempt.
func (r *runner) giveUp(j *job) { r.finish(&finished{job: j}) }

func (r *runner) finish(f *finished) {
	if f.last.why != "" && f.attempts > 1 {
		f.last.why += fmt.Sprintf(", after %d attempts", f.attempts)
	}
	r.output.end(f)
}

// execute runs args and waits until they end, by themselves, by the timeout or by terminateAll. It
// returns an error only if the system has no room for another process now.
func (r *runner) execute(args []string, f *finished) (res result, err error) {
	// Without Stdin, standard input is /dev/null: that of this program may be the list.
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &f.out, &f.err
	cmd.WaitDelay = outputDelay
	ownSession(cmd)

	res.start = time.Now()
	defer func() { res.took = time.Since(res.start) }()
	switch err := cmd.Start(); {
	case isShortage(err):
		return res, err
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		res.exit, res.why = exitNotFound, err.Error()
		return res, nil
	case err != nil:
		res.exit, res.why = exitCannotRun, err.Error()
		return res, nil
	}
	r.began(cmd.Process)
	defer r.ended(cmd.Process)
	waited := make(chan error, 1)
	go func() { waited <- cmd.Wait() }()

	err, timedOut := r.await(cmd.Process, waited)
	switch {
	case timedOut:
		res.exit, res.why = exitTimeout, fmt.Sprintf("timed out after %v", r.timeout)
	case errors.As(err, new(*exec.ExitError)):
		res.exit, res.why = exitStatus(cmd.ProcessState), err.Error()
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		res.exit, res.why = exitIncomplete, err.Error()
	}
	return res, nil
}

// await waits for p, and ends its process group at the timeout or when terminateAll is called.
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
	last := time.NewTimer(killDelay)
	defer last.Stop()
	select {
	case err = <-waited:
		kill(p) // the rest of its group
	case <-last.C:
		kill(p)
		err = <-waited
	}
	return err, timedOut
}

func (r *runner) began(p *os.Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running[p] = struct{}{}
}

func (r *runner) ended(p *os.Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, p)
}

// terminateAll asks all running jobs to end. Those that have not ended after killDelay are killed.
func (r *runner) terminateAll() { r.once.Do(func() { close(r.end) }) }

// killAll kills all running jobs.
func (r *runner) killAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.running {
		kill(p)
	}
}
