package pace

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// PanicError is a panic in a job. It is raised again in the goroutine that waits for the job, and
// it is the cause of the context that the other jobs were given. This package makes them, as
// pointers; the zero PanicError means nothing. A PanicError must not be changed.
type PanicError struct {
	Value any    // the value that the job panicked with
	Stack []byte // the stack of the job's goroutine, in the format of runtime/debug.Stack
}

// Error returns the value and the stack, since a crashing program prints nothing else.
func (e *PanicError) Error() string {
	return fmt.Sprintf("pace: panic in a job: %v\n\n%s", e.Value, e.Stack)
}

// Unwrap returns the value if it is an error, or nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

var errGoexit = errors.New("pace: a job called runtime.Goexit")

// A crash is the end of a job that did not return.
type crash struct {
	panicked *PanicError // nil means that it called runtime.Goexit
}

// caught records the end of a job that did not return, and returns it as an error. recovered is
// what recover returned: nil after a runtime.Goexit. The deferred func that recovered must call
// caught itself, while the stack is still that of the panic.
func (r *runner) caught(recovered any) error {
	if recovered == nil {
		r.crashed.CompareAndSwap(nil, &crash{})
		return errGoexit
	}
	err, again := recovered.(*PanicError) // of a group within the job; its stack shows the place
	if !again {
		err = &PanicError{Value: recovered, Stack: debug.Stack()}
	}
	r.crashed.CompareAndSwap(nil, &crash{panicked: err})
	return err
}

// rethrow panics, or calls runtime.Goexit, as the first job did that did not return. If all jobs
// returned, so does rethrow.
func (r *runner) rethrow() {
	switch x := r.crashed.Load(); {
	case x == nil:
	case x.panicked == nil:
		runtime.Goexit()
	default:
		panic(x.panicked)
	}
}
