package explore

import "unsafe"

// Channels are real ones, of which only one goroutine at a time does anything. Those without a buffer can be closed, but not
// sent to: no two goroutines ever meet at one.

// chanOf returns the address of a channel, which is its identity.
func chanOf[T any](c <-chan T) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&c)) }

// channel returns the object of a channel.
func (r *run) channel(p unsafe.Pointer) *Object {
	o := r.chans[p]
	if o == nil {
		if r.chans == nil {
			r.chans = make(map[unsafe.Pointer]*Object)
		}
		o = new(Object)
		r.chans[p] = o
	}
	return o
}

// A Case is one of the communications that a select chooses from.
type Case interface {
	Ready() bool
	channel() unsafe.Pointer
	perform() (changed bool)
}

// Receiving is the case of a receive.
type Receiving[T any] struct {
	c     <-chan T
	Value T
	OK    bool
}

// NewReceiving returns the case of a receive from c.
func NewReceiving[T any](c <-chan T) *Receiving[T] { return &Receiving[T]{c: c} }

// Ready reports whether a receive would not block.
func (x *Receiving[T]) Ready() bool {
	switch {
	case x.c == nil:
		return false
	case len(x.c) > 0:
		return true
	}
	select {
	case _, ok := <-x.c:
		if ok {
			panic("explore: somebody outside of the scenario sends to one of its channels")
		}
		return true
	default:
		return false
	}
}

func (x *Receiving[T]) channel() unsafe.Pointer { return chanOf(x.c) }

func (x *Receiving[T]) perform() bool {
	x.Value, x.OK = <-x.c
	return x.OK
}

// Sending is the case of a send.
type Sending[T any] struct {
	c chan<- T
	v T
}

// NewSending returns the case of a send of v to c.
func NewSending[T any](c chan<- T, v T) *Sending[T] {
	if c != nil && cap(c) == 0 {
		panic("explore: a send to a channel without a buffer")
	}
	return &Sending[T]{c, v}
}

// Ready reports whether a send would not block.
func (x *Sending[T]) Ready() bool { return len(x.c) < cap(x.c) }

func (x *Sending[T]) channel() unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&x.c)) }

func (x *Sending[T]) perform() bool {
	x.c <- x.v
	return true
}

// selection is the cases of a select that blocks.
type selection []Case

func (s selection) Ready() bool {
	for _, c := range s {
		if c.Ready() {
			return true
		}
	}
	return false
}

// Select performs one of the cases that are ready, and returns which one. If none is, and there is a default, it returns -1; else it
// blocks. The search tries all cases that are ready.
func Select(hasDefault bool, cases ...Case) int {
	var b Blocker
	if !hasDefault {
		b = selection(cases)
	}
	Before("select", b)
	r, t := now()
	var ready []int
	for i, c := range cases {
		if r != nil && c.channel() != nil {
			r.touch(t, r.channel(c.channel()), false)
		}
		if c.Ready() {
			ready = append(ready, i)
		}
	}
	if len(ready) == 0 {
		return -1
	}
	i := ready[0]
	if r != nil {
		i = ready[r.alternative(t, len(ready))]
	}
	if cases[i].perform() && r != nil {
		r.touch(t, r.channel(cases[i].channel()), true)
	}
	return i
}

// Receive receives from c.
func Receive[T any](c <-chan T) T {
	x := NewReceiving(c)
	Select(false, x)
	return x.Value
}

// Receive2 receives from c, and reports whether a value was sent.
func Receive2[T any](c <-chan T) (T, bool) {
	x := NewReceiving(c)
	Select(false, x)
	return x.Value, x.OK
}

// Send sends v to c.
func Send[T any](c chan<- T, v T) { Select(false, NewSending(c, v)) }

// Close closes c.
func Close[T any](c chan<- T) {
	Before("close", nil)
	CloseNow(c)
}

// CloseNow is Close as part of an operation that has been announced.
func CloseNow[T any](c chan<- T) {
	if r, t := now(); r != nil {
		r.touch(t, r.channel(*(*unsafe.Pointer)(unsafe.Pointer(&c))), true)
	}
	close(c)
}
