package pace

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// PanicError is a panic in a job, as it is raised again in the goroutine that waits for the job. It is also the cause of
// the context that the other jobs were given. The zero PanicError means nothing; it is made here only, as a pointer, and
// must not be changed.
type PanicError struct {
	Value any    // what the job panicked with
	Stack []byte // the stack of the job's goroutine, as runtime/debug.Stack formats it
}

// Error returns the value and the stack, since it is what a crashing program prints.
func (e *PanicError) Error() string {
	return fmt.Sprintf("pace: panic in a job: %v\n\n%s", e.Value, e.Stack)
}

// Unwrap returns the value if it is an error, or nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

var errGoexit = errors.New("pace: a job called runtime.Goexit")

// A crash is how a job ended that did not return.
type crash struct {
	panicked *PanicError // nil: it called runtime.Goexit
}

// caught notes the end of a job that did not return, from what recover told about it: nil after a runtime.Goexit. It is to
// be called in the deferred call that recovered, where the stack is still the one of the panic.
func (c *crew) caught(recovered any) error {
	if recovered == nil {
		c.crashed.CompareAndSwap(nil, &crash{})
		return errGoexit
	}
	err, again := recovered.(*PanicError) // of a group within the job: it has the stack that matters
	if !again {
		err = &PanicError{Value: recovered, Stack: debug.Stack()}
	}
	c.crashed.CompareAndSwap(nil, &crash{panicked: err})
	return err
}

// rethrow ends the calling goroutine as the first job ended that did not return.
func (c *crew) rethrow() {
	switch x := c.crashed.Load(); {
	case x == nil:
	case x.panicked == nil:
		runtime.Goexit()
	default:
		panic(x.panicked)
	}
}
