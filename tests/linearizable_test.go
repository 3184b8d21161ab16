package tests

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/go-tokenbucket/tokenbucket"
)

// At whole milliseconds and whole tokens a millisecond a bucket is arithmetic of small integers. So the
// model here is exact, including the figures of Take. The clock is a part of it: advancing the clock is
// an operation like any other.

// A call is an operation of a history.
type call struct {
	op    string
	n     int   // tokens; of "advance", milliseconds; of "set", an index of linearLimits
	since int64 // what the clock said when it began
}

// A reply is the result of a call. What an operation does not return is zero.
type reply struct {
	tokenbucket.Result
	n      int
	tokens float64
}

// linearLimits have rates of perMilli tokens a millisecond.
var linearLimits = []struct {
	tokenbucket.Limit
	perMilli int64
	inf      bool
}{
	{Limit: tokenbucket.Limit{Rate: tokenbucket.PerSecond(1000), Burst: 3}, perMilli: 1},
	{Limit: tokenbucket.Limit{Rate: tokenbucket.PerSecond(2000), Burst: 5}, perMilli: 2},
	{Limit: tokenbucket.Limit{Burst: 1000}}, // so large that it remembers any debt that is made here
	{Limit: tokenbucket.Limit{Rate: tokenbucket.Inf(), Burst: 2}, inf: true},
}

// linearState is the state of a bucket and its clock. Times are milliseconds.
type linearState struct {
	now, base int64
	limit     int
	level     int64 // tokens handed out since base
	wrote     int64 // when level or limit last changed
}

func (s linearState) refill() int64 { return linearLimits[s.limit].perMilli * (s.now - s.base) }
func (s linearState) burst() int64  { return int64(linearLimits[s.limit].Burst) }

// free returns how many tokens there are, which is negative in debt.
func (s linearState) free() int64 {
	if linearLimits[s.limit].inf {
		return s.burst()
	}
	return s.refill() + s.burst() - max(s.level, s.refill())
}

// grab takes n tokens, or puts back -n.
func (s linearState) grab(n int64) linearState {
	if n != 0 && !linearLimits[s.limit].inf {
		s.level = max(max(s.level, s.refill())+n, s.refill())
	}
	return s
}

func (s linearState) set(limit int) linearState {
	if limit != s.limit {
		bal := s.free()
		s.base, s.limit = s.now, limit
		s.level = s.burst() - min(bal, s.burst())
	}
	return s
}

// until returns how long it takes until the refill is x.
func (s linearState) until(x int64) time.Duration {
	l := linearLimits[s.limit]
	switch {
	case l.inf || x <= s.refill():
		return 0
	case l.perMilli == 0:
		return tokenbucket.Never
	}
	return time.Duration(x-s.refill()) * time.Millisecond / time.Duration(l.perMilli)
}

// step returns the state after c, and the reply, of a bucket with this caller alone.
func (s linearState) step(c call) (linearState, reply) {
	l := linearLimits[s.limit]
	n := int64(c.n)
	fits := n == 0 || l.inf || n <= s.free()
	switch c.op {
	case "advance":
		s.now += n
	case "set":
		s = s.set(c.n)
	case "refund":
		s = s.grab(-n)
	case "charge":
		s = s.grab(n)
	case "tokens":
		return s, reply{tokens: float64(s.free())}
	case "available":
		if !l.inf {
			n = min(n, max(s.free(), 0))
		}
		return s.grab(n), reply{n: int(n)}
	case "allow":
		if fits {
			s = s.grab(n)
		}
		return s, reply{Result: tokenbucket.Result{Allowed: fits}}
	case "take":
		r := tokenbucket.Result{Allowed: fits, Limit: l.Limit}
		switch {
		case fits:
			s = s.grab(n)
		case n > s.burst():
			r.RetryAfter = tokenbucket.Never
		default:
			r.RetryAfter = s.until(s.level + n - s.burst())
		}
		r.Remaining = int(max(s.free(), 0))
		r.ResetAfter = s.until(s.level)
		return s, reply{Result: r}
	}
	return s, reply{}
}

// steps returns the states that c may lead to if its reply is want. A call may act as of any instant
// since it began at which nobody had written to the bucket since: some time always passes between
// reading the clock and writing the word, and reads by others in between leave no trace. It must not
// act as of an instant before the last write. Only a refund may, if the word has the same value again:
// it then changes nothing but the instant since which a full bucket is full.
func (s linearState) steps(c call, want reply) (next []any) {
	first := min(s.now, c.since)
	switch c.op {
	case "advance":
		first = s.now
	case "refund":
	default:
		first = min(s.now, max(c.since, s.wrote))
	}
	for t := s.now; t >= first; t-- {
		s2, r := s.at(t).step(c)
		if r != want {
			continue
		}
		if s2.level != s.level || s2.limit != s.limit {
			s2.wrote = t
		}
		next = append(next, s2.at(s2.now+s.now-t))
	}
	return next
}

func (s linearState) at(now int64) linearState {
	s.now = now
	return s
}

var linearModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{linearState{}} },
	Step: func(s, in, out any) []any { return s.(linearState).steps(in.(call), out.(reply)) },
}).ToModel()

// millis is a clock that is advanced by whole milliseconds. A reader may be held up right after reading
// it, because mistakes happen between reading the clock and writing the word.
type millis struct{ now atomic.Int64 }

func (c *millis) Now() time.Time {
	now := c.now.Load()
	for range rand.IntN(3) {
		runtime.Gosched()
	}
	return time.UnixMilli(now)
}

func (c *millis) After(time.Duration) <-chan time.Time { return nil }

// A limiter is a bucket, or a broken imitation of one.
type limiter interface {
	AllowN(n int) bool
	Take(n int) tokenbucket.Result
	TakeAvailable(n int) int
	Refund(n int)
	Charge(n int)
	SetLimit(tokenbucket.Limit)
	Tokens() float64
}

func perform(b limiter, c *millis, in call) (out reply) {
	switch in.op {
	case "advance":
		c.now.Add(int64(in.n))
	case "set":
		b.SetLimit(linearLimits[in.n].Limit)
	case "refund":
		b.Refund(in.n)
	case "charge":
		b.Charge(in.n)
	case "tokens":
		out.tokens = b.Tokens()
	case "available":
		out.n = b.TakeAvailable(in.n)
	case "allow":
		out.Allowed = b.AllowN(in.n)
	case "take":
		out.Result = b.Take(in.n)
	}
	return out
}

// history lets clients perform random calls concurrently and returns what they did.
func history(rng *rand.Rand, b limiter, c *millis, ops []string) []porcupine.Operation {
	const clients, calls = 4, 6
	var stamp atomic.Int64
	var all [clients][calls]porcupine.Operation
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range clients {
		for j := range calls {
			in := call{op: ops[rng.IntN(len(ops))], n: rng.IntN(7)}
			if in.op == "set" {
				in.n %= len(linearLimits)
			}
			all[i][j] = porcupine.Operation{ClientId: i, Input: in}
		}
		done.Go(func() {
			start.Wait()
			for j := range all[i] {
				op := &all[i][j]
				in := op.Input.(call)
				op.Call = stamp.Add(1)
				in.since = c.now.Load()
				op.Input, op.Output = in, perform(b, c, in)
				op.Return = stamp.Add(1)
			}
		})
	}
	start.Done()
	done.Wait()
	last := porcupine.Operation{Input: call{op: "tokens"}, Call: stamp.Add(1), Output: perform(b, c, call{op: "tokens"})}
	last.Return = stamp.Add(1)
	h := []porcupine.Operation{last}
	for i := range all {
		h = append(h, all[i][:]...)
	}
	return h
}

// linearMixes keeps Refund apart from the operations that return how much is left. Only Refund brings
// back a level that there was before, and they may then return what was left a moment ago.
var linearMixes = map[string][]string{
	"allow":     {"allow", "allow", "allow", "advance"},
	"take":      {"take", "take", "advance"},
	"available": {"available", "available", "allow", "advance"},
	"refund":    {"allow", "allow", "refund", "charge", "advance"},
	"limit":     {"allow", "take", "available", "set", "advance"},
	"all":       {"allow", "take", "available", "charge", "set", "advance", "tokens"},
}

func TestLinearizable(t *testing.T) {
	histories := 2000
	if testing.Short() {
		histories = 300
	}
	for name, ops := range linearMixes {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(len(name))))
			for i := range histories {
				c := new(millis)
				l := linearLimits[0]
				b := tokenbucket.New(l.Rate, l.Burst, tokenbucket.WithClock(c))
				if h := history(rng, b, c, ops); !porcupine.CheckOperations(linearModel, h) {
					t.Fatalf("history %d is not linearizable:\n%s", i, text(h))
				}
			}
		})
	}
}

// text lists a history by the time of the calls.
func text(h []porcupine.Operation) (s string) {
	for at := int64(1); at <= int64(2*len(h)); at++ {
		for _, op := range h {
			if op.Call == at {
				s += fmt.Sprintf("%3d-%3d client %d: %+v = %+v\n", op.Call, op.Return, op.ClientId, op.Input, op.Output)
			}
		}
	}
	return s
}

// broken is a bucket with linearLimits[0] that makes one of two mistakes: it writes what it computed
// from a word that has changed meanwhile, or it denies because of an old reading of the clock.
type broken struct {
	limiter
	clock  *millis
	level  atomic.Int64
	denies bool
}

func (b *broken) state() linearState {
	return linearState{now: b.clock.Now().UnixMilli(), level: b.level.Load()}
}

func (b *broken) Tokens() float64 { return float64(b.state().free()) }

func (b *broken) AllowN(n int) bool {
	for {
		s := b.state()
		next, r := s.step(call{op: "allow", n: n})
		if !b.denies {
			b.level.Store(next.level)
			return r.Allowed
		}
		if b.level.CompareAndSwap(s.level, next.level) {
			return r.Allowed
		}
	}
}

func TestLinearizableCatches(t *testing.T) {
	for _, denies := range []bool{false, true} {
		rng := rand.New(rand.NewPCG(2, 2))
		caught := false
		for range 20000 {
			c := new(millis)
			h := history(rng, &broken{clock: c, denies: denies}, c, linearMixes["allow"])
			if caught = !porcupine.CheckOperations(linearModel, h); caught {
				break
			}
		}
		if !caught {
			t.Errorf("a bucket that is broken (denies %v) passes for linearizable", denies)
		}
	}
}
