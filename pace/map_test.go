package pace

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// show returns what a sequence yields, and when.
func show[Out any](results iter.Seq2[Out, error]) string {
	var lines []string
	begun := time.Now()
	for out, err := range results {
		if err != nil {
			lines = append(lines, fmt.Sprintf("%v,%v@%v", out, err, time.Since(begun)))
		} else {
			lines = append(lines, fmt.Sprintf("%v@%v", out, time.Since(begun)))
		}
	}
	return strings.Join(lines, " ")
}

// sleepSort takes as many seconds as its item says, and fails for multiples of 3.
func sleepSort(ctx context.Context, seconds int) (string, error) {
	out := fmt.Sprintf("r%d", seconds)
	if err := pause(ctx, time.Duration(seconds)*time.Second); err != nil {
		return out, err
	}
	if seconds%3 == 0 {
		return out, errBoom
	}
	return out, nil
}

func TestMapOrder(t *testing.T) {
	in := slices.Values([]int{5, 1, 3, 2, 4})
	for _, c := range []struct {
		name string
		opts []MapOption
		want string
	}{
		{"input", []MapOption{WithConcurrency(5)}, "r5@5s r1@5s r3,boom@5s r2@5s r4@5s"},
		{"completed", []MapOption{WithConcurrency(5), WithCompletionOrder()}, "r1@1s r2@2s r3,boom@3s r4@4s r5@5s"},
		{"input, two at once", []MapOption{WithConcurrency(2)}, "r5@5s r1@5s r3,boom@5s r2@6s r4@9s"},
		{"input, two at once, none ahead", []MapOption{WithConcurrency(2), WithBuffer(0)}, "r5@5s r1@5s r3,boom@8s r2@8s r4@12s"},
		{"completed, one at once", []MapOption{WithConcurrency(1), WithCompletionOrder()}, "r5@5s r1@6s r3,boom@9s r2@11s r4@15s"},
		{"paced", []MapOption{WithConcurrency(5), WithCompletionOrder()}, "r1@2.5s r5@5s r3,boom@6s r2@6.5s r4@10s"},
		{"no bound", []MapOption{WithConcurrency(math.MaxInt), WithBuffer(math.MaxInt)}, "r5@5s r1@5s r3,boom@5s r2@5s r4@5s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				if c.name == "paced" {
					c.opts = append(c.opts, WithBucket(tokenbucket.New(tokenbucket.Per(1, 1500*time.Millisecond), 1)))
				}
				results := Map(context.Background(), in, sleepSort, c.opts...)
				for range 2 { // it may be looped over again
					if got := show(results); got != c.want {
						t.Errorf("got %s, want %s", got, c.want)
					}
				}
			})
		})
	}
}

func TestMapStartsWhenTokensCome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newEventLog()
		for _, err := range Map(context.Background(), upTo(5), func(_ context.Context, i int) (int, error) {
			d.record(i)
			return i, nil
		}, WithBucket(tokenbucket.New(tokenbucket.PerSecond(10), 1)), WithBuffer(9)) {
			if time.Sleep(70 * time.Millisecond); err != nil { // a slow loop
				t.Error(err)
			}
		}
		d.want(t, "0@0s 1@100ms 2@200ms 3@300ms 4@400ms")
	})
}

// An infinite sequence is pulled no further than allowed ahead of the loop, however slow that is,
// and not at all before it begins. Leaving the loop ends everything.
func TestMapBackPressure(t *testing.T) {
	for _, c := range []struct {
		slots, buffer int
		opts          []MapOption
	}{{4, 4, nil}, {4, 0, []MapOption{WithBuffer(0)}}, {1, 0, []MapOption{WithBuffer(0)}}, {2, 7, []MapOption{WithBuffer(7)}}} {
		for _, order := range [][]MapOption{nil, {WithCompletionOrder()}} {
			t.Run(fmt.Sprintf("%d+%d,%d", c.slots, c.buffer, len(order)), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					var s source
					results := Map(context.Background(), s.all, func(_ context.Context, i int) (int, error) { return i, nil },
						slices.Concat(c.opts, order, []MapOption{WithConcurrency(c.slots)})...)
					if synctest.Wait(); s.pulled.Load() != 0 {
						t.Errorf("%d were pulled before the loop", s.pulled.Load())
					}
					seen := 0
					for _, err := range results {
						if err != nil {
							t.Fatal(err)
						}
						synctest.Wait() // until the feeder has gone as far as it may
						if want := int64(seen + c.slots + c.buffer + 1); s.pulled.Load() != want {
							t.Fatalf("%d were pulled when the loop had done %d, want %d", s.pulled.Load(), seen, want)
						}
						if seen++; seen == 100 {
							break
						}
					}
					if !s.ended {
						t.Error("the sequence has not ended")
					}
				})
			})
		}
	}
}

// Leaving the loop cancels the jobs that run and waits for them, wherever the feeder is; also when
// it is left by a panic.
func TestMapLeft(t *testing.T) {
	for _, c := range []struct {
		name   string
		bucket *tokenbucket.Bucket
		opts   []MapOption
	}{
		{"feeder waits for room", unlimited(), []MapOption{WithConcurrency(2), WithBuffer(0)}},
		{"feeder waits for slot", unlimited(), []MapOption{WithConcurrency(2), WithBuffer(5)}},
		{"feeder waits for token", tokenbucket.New(tokenbucket.Rate{}, 3), []MapOption{WithConcurrency(5)}},
	} {
		for _, how := range []string{"break", "panic", "Goexit"} {
			t.Run(c.name+", "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := c.bucket
					if b.Limit().Rate != tokenbucket.Inf() {
						b = tokenbucket.New(b.Limit().Rate, b.Limit().Burst)
					}
					var s source
					var running atomic.Int64
					f := func(ctx context.Context, i int) (int, error) {
						running.Add(1)
						defer running.Add(-1)
						if i > 0 {
							<-ctx.Done()
						}
						return i, nil
					}
					loop := func() {
						for _, err := range Map(context.Background(), s.all, f, append(c.opts, WithBucket(b))...) {
							if err != nil {
								t.Error(err)
							}
							synctest.Wait()
							switch how {
							case "break":
								return
							case "panic":
								panic(errBoom)
							}
							runtime.Goexit()
						}
					}
					if how == "Goexit" {
						if !exits(loop) {
							t.Error("Goexit went missing")
						}
					} else if v := panicOf(loop); (v == errBoom) != (how == "panic") {
						t.Errorf("panic %v", v)
					}
					if running.Load() != 0 || !s.ended || b.Waiting() != 0 {
						t.Errorf("%d still run, the sequence ended: %t, %d wait for a token", running.Load(), s.ended, b.Waiting())
					}
				})
			})
		}
	}
}

// When the context ends, Map yields the results of what was started, and then the reason.
func TestMapCancelled(t *testing.T) {
	for _, order := range [][]MapOption{nil, {WithCompletionOrder()}} {
		bubble(t, func(t *testing.T) {
			parent, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			time.AfterFunc(2500*time.Millisecond, func() { cancel(errBoom) })
			var errs []error
			var outs []int
			begun := time.Now()
			for out, err := range Map(parent, upTo(1000), func(ctx context.Context, i int) (int, error) {
				return i + 1, pause(ctx, time.Second)
			}, append(order, WithConcurrency(1))...) {
				outs, errs = append(outs, out), append(errs, err)
			}
			elapsed(t, begun, 2500*time.Millisecond)
			if !slices.Equal(outs, []int{1, 2, 3, 0}) {
				t.Fatalf("got %v, want three results and a zero one", outs)
			}
			if errs[0] != nil || errs[1] != nil || errs[2] != context.Canceled {
				t.Errorf("errors %v", errs)
			}
			wantIs(t, errs[3], context.Canceled, errBoom)
		})
	}
}

func TestMapContextAtTheEdges(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	double := func(_ context.Context, i int) (int, error) {
		if i == 2 {
			cancel()
		}
		return 2 * i, nil
	}
	if got := show(Map(ctx, upTo(3), double)); strings.Contains(got, "context") {
		t.Errorf("got %s, but every item was done", got)
	}
	var s source
	for out, err := range Map(ctx, s.all, double) {
		if wantIs(t, err, context.Canceled); out != 0 || s.pulled.Load() != 0 {
			t.Errorf("got %d after %d were pulled", out, s.pulled.Load())
		}
	}
	if s.pulled.Load() != 0 {
		t.Errorf("%d were pulled, want none", s.pulled.Load())
	}
}

func TestMapRefused(t *testing.T) {
	n := 0
	for _, err := range Map(context.Background(), upTo(3), sleepSort, WithBucket(new(tokenbucket.Bucket))) {
		n++
		wantIs(t, err, tokenbucket.ErrExceedsBurst)
	}
	if n != 1 {
		t.Errorf("%d results, want the error alone", n)
	}
}

// A panic of a job or of the sequence leaves the loop after the results before it, when nothing
// runs any more; also if the loop is about to be left.
func TestMapPanics(t *testing.T) {
	seqPanics := func(yield func(int) bool) { _ = yield(0) && yield(1); panic(errBoom) }
	jobPanics := func(ctx context.Context, i int) (int, error) {
		if i == 2 {
			panic(errBoom)
		}
		if i > 2 {
			<-ctx.Done()
		}
		return i, nil
	}
	fine := func(_ context.Context, i int) (int, error) { return i, nil }
	for _, c := range []struct {
		name string
		seq  iter.Seq[int]
		f    func(context.Context, int) (int, error)
		opts []MapOption
		most int // results before the panic
	}{
		{"job", upTo(50), jobPanics, nil, 2},
		{"job, as completed", upTo(50), jobPanics, []MapOption{WithCompletionOrder()}, 50},
		{"sequence", seqPanics, fine, nil, 2},
		{"sequence, as completed", seqPanics, fine, []MapOption{WithCompletionOrder()}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := 0
			v := panicOf(func() {
				for _, err := range Map(context.Background(), c.seq, c.f, append(c.opts, WithConcurrency(3))...) {
					if got++; err != nil {
						t.Error(err)
					}
				}
			})
			if p, ok := v.(*PanicError); !ok || p.Value != errBoom {
				t.Errorf("panic %v, want a PanicError of %v", v, errBoom)
			}
			if got > c.most {
				t.Errorf("%d results before the panic, want at most %d", got, c.most)
			}
		})
	}
	bubble(t, func(t *testing.T) {
		v := panicOf(func() {
			for _, err := range Map(context.Background(), upTo(9), jobPanics, WithConcurrency(3)) {
				if err != nil {
					t.Error(err)
				}
				synctest.Wait()
				break
			}
		})
		if _, ok := v.(*PanicError); !ok {
			t.Errorf("panic %v, want the job's, although the loop was left", v)
		}
	})
	exit := func(_ context.Context, i int) (int, error) { runtime.Goexit(); return i, nil }
	if !exits(func() { show(Map(context.Background(), upTo(9), exit)) }) {
		t.Error("Goexit in a job did not arrive")
	}
	if !exits(func() { show(Map(context.Background(), func(func(int) bool) { runtime.Goexit() }, fine)) }) {
		t.Error("Goexit in the sequence did not arrive")
	}
}

func TestMap100000(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 5_000
	}
	for _, order := range [][]MapOption{nil, {WithCompletionOrder()}} {
		var outs []int
		for out, err := range Map(context.Background(), upTo(n), func(_ context.Context, i int) (int, error) {
			if rand.IntN(100) == 0 {
				runtime.Gosched()
			}
			return i, nil
		}, append(order, WithConcurrency(16), WithBucket(unlimited()))...) {
			if err != nil {
				t.Fatal(err)
			}
			outs = append(outs, out)
		}
		if order != nil {
			slices.Sort(outs)
		}
		if !slices.Equal(outs, slices.Collect(upTo(n))) {
			t.Errorf("%d results, not those of all items in order", len(outs))
		}
	}
}

// Several loops over one Map at once, left at random, do not affect one another.
func TestMapStress(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	b := tokenbucket.New(tokenbucket.PerSecond(10_000_000), 10)
	results := Map(context.Background(), upTo(200), func(ctx context.Context, i int) (int, error) {
		return i, ctx.Err()
	}, WithBucket(b), WithConcurrency(4), WithBuffer(2))
	err := ForEach(context.Background(), upTo(rounds), func(_ context.Context, round int) error {
		stop, next := rand.IntN(250), 0
		for out, err := range results {
			if err != nil || out != next {
				return errors.Join(err, fmt.Errorf("got %d, want %d", out, next))
			}
			if next++; next == stop {
				return nil
			}
		}
		if next != 200 {
			return fmt.Errorf("%d results, want 200", next)
		}
		return nil
	}, WithConcurrency(4))
	if err != nil {
		t.Error(err)
	}
}
