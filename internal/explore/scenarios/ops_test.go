package scenarios

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/internal/explore"
	"github.com/go-tokenbucket/tokenbucket/internal/explore/twin/atomic"
	"github.com/go-tokenbucket/tokenbucket/internal/explore/twin/context"
)

// An op is one call of a scenario.
type op struct {
	kind opKind
	n    int
	slot int
	ctx  int // 0 for none
	d    time.Duration
	key  uint64 // of a Keyed
}

type opKind int

const (
	opAllow opKind = iota
	opTake
	opAvailable
	opRefund
	opCharge
	opTokens
	opLimit
	opWaiting
	opWait
	opCancel
	opReserve
	opUnreserve
	opDelay
	opStep
	opDelete
	opEvict
)

var opNames = []string{"Allow", "Take", "TakeAvailable", "Refund", "Charge", "Tokens", "SetLimit", "Waiting", "Wait", "cancel",
	"Reserve", "Cancel", "Delay", "step", "Delete", "Evict"}

func (o op) String() string { return fmt.Sprintf("%s(%d) of %d", opNames[o.kind], o.n, o.key) }

func allow(n int) op                   { return op{kind: opAllow, n: n} }
func take(n int) op                    { return op{kind: opTake, n: n} }
func available(n int) op               { return op{kind: opAvailable, n: n} }
func refund(n int) op                  { return op{kind: opRefund, n: n} }
func charge(n int) op                  { return op{kind: opCharge, n: n} }
func tokens() op                       { return op{kind: opTokens} }
func limit(n int) op                   { return op{kind: opLimit, n: n} }
func howMany() op                      { return op{kind: opWaiting} }
func wait(n int) op                    { return op{kind: opWait, n: n} }
func waitCtx(n, ctx int) op            { return op{kind: opWait, n: n, ctx: ctx} }
func cancel(ctx int) op                { return op{kind: opCancel, ctx: ctx} }
func reserve(n, slot int) op           { return op{kind: opReserve, n: n, slot: slot} }
func unreserve(slot int) op            { return op{kind: opUnreserve, slot: slot} }
func delay(slot int) op                { return op{kind: opDelay, slot: slot} }
func step(d time.Duration) op          { return op{kind: opStep, d: d} }
func forget() op                       { return op{kind: opDelete} }
func evict() op                        { return op{kind: opEvict} }
func within(n int, d time.Duration) op { return op{kind: opWait, n: n, d: d} }

// of makes it a call for another key.
func (o op) of(key uint64) op {
	o.key = key
	return o
}

// everyKey reports whether the op concerns all keys.
func (o op) everyKey() bool {
	return o.kind == opLimit || o.kind == opStep || o.kind == opEvict || o.kind == opCancel
}

// A reply is what a call returned. It is comparable.
type reply struct {
	n      int
	f      float64
	d      time.Duration
	err    failing
	result tokenbucket.Result
}

type failing int8

const (
	none failing = iota
	exceeds
	deadline
	full
	ended
	expired
	strange
)

func failingOf(err error) failing {
	switch {
	case err == nil:
		return none
	case errors.Is(err, tokenbucket.ErrExceedsBurst):
		return exceeds
	case errors.Is(err, tokenbucket.ErrDeadline):
		return deadline
	case errors.Is(err, tokenbucket.ErrQueueFull):
		return full
	case errors.Is(err, context.DeadlineExceeded):
		return expired
	case errors.Is(err, context.Canceled):
		return ended
	}
	return strange
}

// missing is what a call returns for a reservation that has not been made yet.
const missing = -1

// A subject is what the calls are made on.
type subject interface {
	AllowN(n int) bool
	Take(n int) tokenbucket.Result
	TakeAvailable(n int) int
	Refund(n int)
	Charge(n int)
	Tokens() float64
	SetLimit(l tokenbucket.Limit)
	WaitN(ctx context.Context, n int) error
	ReserveN(n int) (*tokenbucket.Reservation, error)
	Waiting() int
}

// A ward is one key of a Keyed.
type ward struct {
	k   *tokenbucket.Keyed[uint64]
	key uint64
}

func (w ward) AllowN(n int) bool             { return w.k.AllowN(w.key, n) }
func (w ward) Take(n int) tokenbucket.Result { return w.k.Take(w.key, n) }
func (w ward) TakeAvailable(n int) int       { return w.k.TakeAvailable(w.key, n) }
func (w ward) Refund(n int)                  { w.k.Refund(w.key, n) }
func (w ward) Charge(n int)                  { w.k.Charge(w.key, n) }
func (w ward) Tokens() float64               { return w.k.Tokens(w.key) }
func (w ward) SetLimit(l tokenbucket.Limit)  { w.k.SetLimit(l) }
func (w ward) Waiting() int                  { return w.k.Waiting(w.key) }
func (w ward) WaitN(ctx context.Context, n int) error {
	return w.k.WaitN(ctx, w.key, n)
}
func (w ward) ReserveN(n int) (*tokenbucket.Reservation, error) { return w.k.ReserveN(w.key, n) }

// A stage is what the calls of one run share.
type stage struct {
	bucket  *tokenbucket.Bucket
	keyed   *tokenbucket.Keyed[uint64]
	maxKeys int
	byFunc  bool         // keyed asks for limit
	limit   atomic.Int64 // a number of tariffs
	slots   [mostSlots]atomic.Pointer[tokenbucket.Reservation]
	ctxs    [mostCtxs]context.Context
	cancels [mostCtxs]context.CancelFunc
}

func (g *stage) subject(key uint64) subject {
	if g.bucket != nil {
		return g.bucket
	}
	return ward{g.keyed, key}
}

func (g *stage) context(o op) (context.Context, func()) {
	switch {
	case o.d > 0:
		ctx, stop := context.WithDeadline(context.Background(), explore.Epoch.Add(explore.Elapsed()+o.d))
		return ctx, stop
	case o.ctx > 0:
		return g.ctxs[o.ctx-1], func() {}
	}
	return context.Background(), func() {}
}

func (g *stage) setLimit(b subject, to int) {
	if !g.byFunc {
		b.SetLimit(tariffs[to].Limit)
		return
	}
	g.limit.Store(int64(to))
	g.keyed.Refresh()
}

// perform makes the call.
func (g *stage) perform(o op, ctx context.Context) (r reply) {
	b := g.subject(o.key)
	switch o.kind {
	case opAllow:
		r.result.Allowed = b.AllowN(o.n)
	case opTake:
		r.result = b.Take(o.n)
	case opAvailable:
		r.n = b.TakeAvailable(o.n)
	case opRefund:
		b.Refund(o.n)
	case opCharge:
		b.Charge(o.n)
	case opTokens:
		r.f = b.Tokens()
	case opLimit:
		g.setLimit(b, o.n)
	case opWaiting:
		r.n = b.Waiting()
	case opWait:
		r.err = failingOf(b.WaitN(ctx, o.n))
	case opCancel:
		g.cancels[o.ctx-1]()
	case opReserve:
		reservation, err := b.ReserveN(o.n)
		g.slots[o.slot].Store(reservation)
		r.err = failingOf(err)
	case opUnreserve, opDelay:
		x := g.slots[o.slot].Load()
		switch {
		case x == nil:
			r.n = missing
		case o.kind == opDelay:
			r.d = x.Delay()
		default:
			x.Cancel()
		}
	case opStep:
		explore.Step(o.d)
	case opDelete:
		g.keyed.Delete(o.key)
	case opEvict:
		g.keyed.Evict()
	}
	return r
}

// A clock is a Clock that an application might inject.
type clock struct{}

func (clock) Now() time.Time { return explore.Now() }

func (clock) After(d time.Duration) <-chan time.Time {
	x := explore.NewTimer(nil)
	x.Set(d)
	return x.C
}
