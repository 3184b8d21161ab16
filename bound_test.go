package tokenbucket_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// A grant is n tokens that were granted at some instant of [from, to], in nanoseconds.
type grant struct{ from, to, n int64 }

// excess returns the most tokens that were certainly granted in any window beyond what a rate of perSec refills in it. A
// grant is certainly in a window that contains all of [from, to], so no delay between the clock and the bucket can make
// the answer too large.
//
// The windows are swept by their ends, which are ends of grants, with the starts in a tree.
func excess(grants []grant, perSec int64) float64 {
	slices.SortFunc(grants, func(a, b grant) int { return cmp.Compare(a.from, b.from) })
	byEnd := make([]int, len(grants))
	for i := range byEnd {
		byEnd[i] = i
	}
	slices.SortFunc(byEnd, func(i, j int) int { return cmp.Compare(grants[i].to, grants[j].to) })
	tree := newWindows(len(grants))
	most := int64(math.MinInt64)
	for k, i := range byEnd {
		g := grants[i]
		tree.add(i, g.n*1e9, g.from*perSec)
		if k+1 == len(byEnd) || grants[byEnd[k+1]].to > g.to {
			most = max(most, tree.nodes[1].best-g.to*perSec)
		}
	}
	return float64(most) / 1e9
}

// windows is a segment tree over possible starts of a window. It counts in 1e-9 tokens.
type windows struct {
	size  int
	nodes []window
}

// A window node covers a range of starts: sum is all that was granted in it, and best is the most, over all of its starts,
// of what was granted from there to its end, plus what was refilled before that start.
type window struct{ sum, best int64 }

func newWindows(n int) *windows {
	w := &windows{size: 1}
	for w.size < n {
		w.size *= 2
	}
	w.nodes = make([]window, 2*w.size)
	for i := range w.nodes {
		w.nodes[i].best = math.MinInt64 / 2
	}
	return w
}

func (w *windows) add(i int, sum, refilled int64) {
	i += w.size
	w.nodes[i] = window{sum, sum + refilled}
	for i /= 2; i > 0; i /= 2 {
		l, r := w.nodes[2*i], w.nodes[2*i+1]
		w.nodes[i] = window{l.sum + r.sum, max(r.best, l.best+r.sum)}
	}
}

func TestExcess(t *testing.T) {
	for range 300 {
		perSec := 1 + rand.Int64N(1000)
		grants := make([]grant, 1+rand.IntN(30))
		for i := range grants {
			from := rand.Int64N(1e9)
			grants[i] = grant{from, from + rand.Int64N(1e7), rand.Int64N(10)}
		}
		want := math.Inf(-1)
		for _, a := range grants {
			for _, b := range grants {
				sum, any := 0.0, false
				for _, g := range grants {
					if g.from >= a.from && g.to <= b.to {
						sum, any = sum+float64(g.n), true
					}
				}
				if any {
					want = max(want, sum-float64(perSec*(b.to-a.from))/1e9)
				}
			}
		}
		if got := excess(grants, perSec); math.Abs(got-want) > 1e-6 {
			t.Fatalf("excess = %v, want %v, of %v", got, want, grants)
		}
	}
}

// A crowd uses one bucket from many goroutines, and notes what it is granted.
type crowd struct {
	b     *tokenbucket.Bucket
	burst int
	start time.Time
	stop  context.Context
	mu    sync.Mutex
	all   []grant
}

func (c *crowd) now() int64 { return int64(time.Since(c.start)) }

// run has a goroutine do f again and again until it is told to stop. f returns how many tokens it was granted and how long
// after the call.
func (c *crowd) run(f func(n int) (int, time.Duration), most int) {
	var mine []grant
	rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
	for c.stop.Err() == nil {
		from := c.now()
		n, later := f(1 + rng.IntN(most))
		to := c.now()
		if n > 0 {
			mine = append(mine, grant{from + int64(later), to + int64(later), int64(n)})
		} else {
			runtime.Gosched()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, mine...)
}

func (c *crowd) allow(n int) (int, time.Duration) {
	if c.b.AllowN(n) {
		return n, 0
	}
	return 0, 0
}

func (c *crowd) available(n int) (int, time.Duration) { return c.b.TakeAvailable(n), 0 }

func (c *crowd) wait(n int) (int, time.Duration) {
	if c.b.WaitN(c.stop, n) != nil {
		return 0, 0
	}
	return n, 0
}

// hurry waits, but not for long.
func (c *crowd) hurry(n int) (int, time.Duration) {
	ctx, cancel := context.WithCancel(c.stop)
	defer cancel()
	timer := time.AfterFunc(time.Duration(rand.Int64N(int64(2*ms))), cancel)
	defer timer.Stop()
	if c.b.WaitN(ctx, n) != nil {
		return 0, 0
	}
	return n, 0
}

// reserve makes an appointment and gives up every other one; it was in time if there is no longer any time for it.
func (c *crowd) reserve(n int) (int, time.Duration) {
	r, err := c.b.ReserveN(n)
	if err != nil {
		return 0, 0
	}
	d := r.Delay()
	if n%2 == 0 {
		runtime.Gosched()
		r.Cancel()
		if r.Delay() == tokenbucket.Never {
			return 0, 0
		}
	}
	time.Sleep(min(d/2, 5*ms))
	return n, d
}

// flip changes the burst, to one more and back. Nobody must be granted more than the larger one.
func (c *crowd) flip(int) (int, time.Duration) {
	l := c.b.Limit()
	l.Burst = c.burst + rand.IntN(2)
	c.b.SetLimit(l)
	time.Sleep(100 * time.Microsecond)
	return 0, 0
}

// TestBound looks at every window of what many goroutines are granted by the real clock.
func TestBound(t *testing.T) {
	long := 60 * ms
	if testing.Short() {
		long = 15 * ms
	}
	type member = func(*crowd, int) (int, time.Duration)
	allow, available, wait, hurry := (*crowd).allow, (*crowd).available, (*crowd).wait, (*crowd).hurry
	for _, mode := range []struct {
		name    string
		more    int // what flip adds to the burst
		grace   time.Duration
		members []member
	}{
		{"Allow", 0, 1, []member{allow, allow, allow, available}},
		{"Wait", 0, 10 * ms, []member{wait, wait, wait, wait, hurry, hurry}},
		{"mixed", 0, 10 * ms, []member{allow, available, wait, wait, wait, hurry, hurry}},
		{"Reserve", 0, 10 * ms, []member{allow, wait, hurry, (*crowd).reserve, (*crowd).reserve}},
		{"SetLimit", 1, 10 * ms, []member{allow, available, wait, wait, hurry, (*crowd).flip}},
	} {
		for _, l := range []struct{ perSec, burst int }{{10, 3}, {1000, 1}, {100_000, 1}, {100_000, 50}, {1e6, 10}, {1e8, 10_000}} {
			for _, procs := range []int{1, runtime.NumCPU()} {
				t.Run(fmt.Sprintf("%s/%d-%d/procs=%d", mode.name, l.perSec, l.burst, procs), func(t *testing.T) {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
					stop, cancel := context.WithTimeout(context.Background(), long+time.Duration(1e9/l.perSec))
					defer cancel()
					// A deadline that Wait knew would have it refuse what comes later, so it gets none to see.
					c := &crowd{burst: l.burst, start: time.Now(), stop: noDeadline{stop}}
					c.b = tokenbucket.New(tokenbucket.PerSecond(l.perSec), l.burst)
					var wg sync.WaitGroup
					for _, f := range slices.Concat(mode.members, mode.members) {
						wg.Go(func() { c.run(func(n int) (int, time.Duration) { return f(c, n) }, l.burst) })
					}
					wg.Wait()
					if len(c.all) == 0 {
						t.Skip("nothing was granted: the machine stalled")
					}
					most := float64(l.burst+mode.more) + float64(l.perSec)*mode.grace.Seconds()
					if got := excess(c.all, int64(l.perSec)); got > most {
						t.Errorf("%d grants, and in some window %v tokens beyond the refill, want at most %v", len(c.all), got, most)
					}
				})
			}
		}
	}
}

// noDeadline is a context that ends without having told when.
type noDeadline struct{ context.Context }

func (noDeadline) Deadline() (time.Time, bool) { return time.Time{}, false }
