package tokenbucket_test

import (
	"errors"
	"math/big"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

var reserveScripts = []script{
	{"an appointment", "10/s 2", []step{
		{0, "Reserve 1", "0s"}, // a token that is there
		{0, "Reserve 2", "100ms"},
		{0, "Reserve 1", "200ms"},
		{0, "Tokens", "-2"},
		{0, "Allow", "false"},
		{0, "Take 1", "no, 0 left, retry in 300ms, full in 400ms"},
		{0, "Delay 0", "0s"},
		{0, "Cancel 0", ""},
		{0, "Delay 0", "0s"},
		{60 * ms, "Delay 1", "40ms"},
		{100 * ms, "Delay 1", "0s"},
		{100 * ms, "Allow", "false"},
		{200*ms - 3, "Delay 2", "3ns"},
		{200 * ms, "Tokens", "0"},
		{300 * ms, "Allow", "true"},
		{300 * ms, "Allow", "false"},
	}},
	{"an appointment that was given up moves nobody beside another", "10/s 2", []step{
		{0, "Charge 2", ""},
		{0, "Reserve 2", "200ms"},
		{0, "Reserve 2", "400ms"},
		{0, "Cancel 0", ""},
		{0, "Delay 0", "never"},
		{0, "Delay 1", "400ms"},
		{0, "Reserve 2", "600ms"},
		{0, "Tokens", "-4"},
		{200 * ms, "Allow", "false"},
		{400*ms - 3, "Delay 1", "3ns"},
		{400 * ms, "Delay 1", "0s"},
		{400 * ms, "Tokens", "-2"},
		{400 * ms, "Delay 2", "200ms"},
		{400 * ms, "Allow", "false"},
		{600 * ms, "Delay 2", "0s"},
		{600 * ms, "Allow", "false"},
		{700 * ms, "Allow", "true"},
	}},
	{"cancel once, twice, late", "10/s 2", []step{
		{0, "Charge 2", ""},
		{0, "Reserve 1", "100ms"},
		{0, "Reserve 1", "200ms"},
		{0, "Cancel 0", ""},
		{0, "Cancel 0", ""},
		{0, "Tokens", "-1"},
		{200 * ms, "Cancel 1", ""}, // its time has come: the token is taken
		{200 * ms, "Delay 1", "0s"},
		{200 * ms, "Cancel 0", ""},
		{200 * ms, "Tokens", "1"},
		{200 * ms, "Allow", "true"},
		{200 * ms, "Allow", "false"},
		{time.Hour, "Cancel 1", ""},
		{time.Hour, "Cancel 0", ""},
		{time.Hour, "Delay 0", "never"},
		{time.Hour, "Delay 1", "0s"},
		{time.Hour, "Tokens", "2"},
	}},
	{"cancel in time", "10/s 2", []step{
		{0, "Charge 2", ""},
		{0, "Reserve 1", "100ms"},
		{100*ms - 2, "Cancel 0", ""},
		{100*ms - 2, "Delay 0", "never"},
		{100 * ms, "Allow", "true"},
		{100 * ms, "Allow", "false"},
	}},
	{"cancel out of order", "10/s 3", []step{
		{0, "Charge 3", ""},
		{0, "Reserve 3", "300ms"},
		{0, "Reserve 2", "500ms"},
		{0, "Reserve 1", "600ms"},
		{0, "Reserve 3", "900ms"},
		{0, "Cancel 2", ""},
		{0, "Cancel 1", ""},
		{0, "Delay 3", "900ms"},
		{0, "Cancel 3", ""},
		{0, "Reserve 1", "400ms"}, // behind the first, the only one that is left
		{0, "Cancel 0", ""},
		{0, "Delay 4", "400ms"},
		{0, "Cancel 4", ""},
		{0, "Tokens", "0"},
		{0, "Reserve 1", "100ms"},
	}},
	{"the last one cancelled", "10/s 2", []step{
		{0, "Charge 2", ""},
		{0, "Reserve 1", "100ms"},
		{0, "Reserve 2", "300ms"},
		{0, "Cancel 1", ""},
		{0, "Take 1", "no, 0 left, retry in 200ms, full in 300ms"},
		{0, "Reserve 1", "200ms"},
	}},
	{"kept at their own times, however late that is noticed", "10/s 2", []step{
		{0, "Charge 2", ""},
		{0, "Reserve 1", "100ms"},
		{350 * ms, "Tokens", "2"}, // taken at 100ms; taken now, it would leave 1
		{350 * ms, "Charge 2", ""},
		{350 * ms, "Reserve 2", "200ms"},
		{350 * ms, "Reserve 2", "400ms"},
		{800 * ms, "Tokens", "0.5"},
	}},
	{"an appointment with a bucket that has become full", "10/s 2", []step{
		{0, "Charge 2", ""},
		{0, "Reserve 1", "100ms"},
		{0, "Refund 2", ""},
		{0, "Delay 0", "100ms"},
		{0, "Tokens", "1"},
		{0, "Allow", "false"}, // nobody overtakes
		{100 * ms, "Tokens", "1"},
		{100 * ms, "Allow", "true"},
		{100 * ms, "Allow", "false"},
	}},
	{"a limit that is raised moves nothing", "10/s 2", []step{
		{0, "Charge 2", ""},
		{0, "Reserve 2", "200ms"},
		{0, "SetLimit 1000/s 2", ""},
		{0, "Delay 0", "200ms"},
		{0, "Reserve 2", "202ms"},
		{199 * ms, "Allow", "false"},
		{200 * ms, "Delay 0", "0s"},
		{200 * ms, "Tokens", "-2"},
		{202 * ms, "Tokens", "0"},
	}},
	{"a limit that is lowered, and raised again", "10/s 2", []step{
		{0, "Charge 2", ""},
		{0, "Reserve 1", "100ms"},
		{0, "Reserve 1", "200ms"},
		{0, "SetLimit 1/s 2", ""},
		{0, "Delay 0", "1s"},
		{0, "Delay 1", "2s"},
		{100 * ms, "Delay 0", "900ms"},
		{100 * ms, "SetLimit 0 2", ""},
		{100 * ms, "Delay 0", "never"},
		{time.Hour, "SetLimit 10/s 2", ""},
		{time.Hour + 90*ms - 3, "Allow", "false"},
		{time.Hour + 90*ms + 3, "Delay 0", "0s"}, // each change may have cost a quantum
		{time.Hour + 190*ms + 3, "Delay 1", "0s"},
	}},
	{"a burst that becomes smaller than an appointment", "10/s 5", []step{
		{0, "Charge 5", ""},
		{0, "Reserve 5", "500ms"},
		{0, "SetLimit 10/s 2", ""},
		{500 * ms, "Delay 0", "0s"},
		{500 * ms, "Take 1", "no, 0 left, retry in 400ms, full in 500ms"}, // 3 tokens more than there can be
	}},
	{"to Inf", "10/s 2", []step{
		{0, "Charge 2", ""},
		{0, "Reserve 2", "200ms"},
		{0, "SetLimit inf 1", ""},
		{0, "Delay 0", "0s"},
		{0, "Cancel 0", ""},
		{0, "Delay 0", "0s"},
		{0, "Reserve max", "0s"},
	}},
	{"charged and refunded", "10/s 2", []step{
		{0, "Charge 2", ""},
		{0, "Reserve 1", "100ms"},
		{0, "Reserve 1", "200ms"},
		{0, "Charge 1", ""},
		{0, "Delay 0", "200ms"},
		{0, "Delay 1", "300ms"},
		{0, "Cancel 0", ""},
		{0, "Delay 1", "200ms"},
		{0, "Refund 1", ""},
		{0, "Delay 1", "200ms"},
		{200 * ms, "Tokens", "1"},
	}},
	{"a clock that steps back", "10/s 2", []step{
		{sec, "Charge 2", ""},
		{sec, "Reserve 1", "100ms"},
		{0, "Delay 0", "1.1s"},
		{0, "Reserve 1", "1.2s"},
		{sec + 100*ms, "Delay 0", "0s"},
		{0, "Cancel 0", ""},
		{0, "Delay 0", "0s"},
		{0, "Delay 1", "1.2s"},
		{0, "Cancel 1", ""},
		{sec + 200*ms, "Tokens", "1"},
	}},
	{"at the zero rate", "0 2", []step{
		{0, "Reserve 2", "0s"},
		{0, "Reserve 1", "tokenbucket: waiting for 1: the tokens will never be there"},
		{0, "Refund 1", ""},
		{0, "Reserve 1", "0s"},
	}},
	{"centuries away", "1/8760h 1", []step{
		{0, "Charge 120", ""},
		{0, "Reserve 1", "1051200h0m0s"},
		{0, "Charge 120", ""},
		{0, "Delay 0", "never"}, // or as good as
		{0, "Reserve 1", "tokenbucket: waiting for 1: the tokens will never be there"},
		{0, "Cancel 0", ""},
	}},
	{"an end of time", "10/s 2", []step{
		{0, "Charge 2", ""},
		{0, "Reserve 2", "200ms"},
		{never, "Delay 0", "0s"},
		{never, "Charge 2", ""},
		{never, "Reserve 1", "tokenbucket: waiting for 1: the tokens will never be there"},
	}},
}

func TestReserve(t *testing.T) {
	for _, s := range reserveScripts {
		s.run(t)
	}
	script{"a queue of one", "10/s 2", []step{
		{0, "Charge 2", ""},
		{0, "Reserve 2", "200ms"},
		{0, "Reserve 1", "tokenbucket: waiting for 1, due in 300ms: too many waiters"},
		{0, "Tokens", "-2"},
		{0, "Cancel 0", ""},
		{0, "Reserve 1", "100ms"},
		{100 * ms, "Reserve 1", "100ms"},
	}}.run(t, tokenbucket.WithMaxWaiters(1))
	script{"no queue", "10/s 2", []step{
		{0, "Reserve 2", "0s"},
		{0, "Reserve 1", "tokenbucket: waiting for 1, due in 100ms: too many waiters"},
		{100 * ms, "Reserve 1", "0s"},
	}}.run(t, tokenbucket.WithMaxWaiters(0))
}

func TestReserveErrors(t *testing.T) {
	for _, test := range []struct {
		b     *tokenbucket.Bucket
		n     int
		delay time.Duration
		is    error
	}{
		{drained("10/s 2", tokenbucket.WithClock(newFakeClock())), 3, tokenbucket.Never, tokenbucket.ErrExceedsBurst},
		{drained("0 2", tokenbucket.WithClock(newFakeClock())), 2, tokenbucket.Never, tokenbucket.ErrNever},
		{drained("10/s 2", tokenbucket.WithClock(newFakeClock()), tokenbucket.WithMaxWaiters(0)), 2, 200 * ms, tokenbucket.ErrQueueFull},
	} {
		level, _ := test.b.Word()
		r, err := test.b.ReserveN(test.n)
		var we *tokenbucket.WaitError
		if r != nil || !errors.Is(err, test.is) || !errors.As(err, &we) || we.N != test.n || we.Delay != test.delay {
			t.Errorf("%v, %#v, want %v with a delay of %v", r, err, test.is, test.delay)
		}
		if l, inQueue := test.b.Word(); l != level || inQueue {
			t.Errorf("%v: the word was %d, now it is %d %v", test.is, level, l, inQueue)
		}
	}
}

// TestReserveDoesNotDrift makes ten thousand appointments whose times are no whole nanoseconds.
func TestReserveDoesNotDrift(t *testing.T) {
	for _, perSec := range []int64{3, 7, 999_983, 600_000_000} {
		b := drained("1/s 1", tokenbucket.WithClock(newFakeClock()))
		b.SetLimit(tokenbucket.Limit{Rate: tokenbucket.PerSecond(int(perSec)), Burst: 1})
		for k := range int64(10_000) {
			r, err := b.Reserve()
			if err != nil {
				t.Fatal(err)
			}
			due := big.NewRat((k+1)*1e9, perSec)
			want := time.Duration(ceil(due).Int64())
			soon := time.Duration(ceil(new(big.Rat).Sub(due, big.NewRat(137, 100))).Int64()) // a quantum early
			if got := r.Delay(); got > want || got < soon {
				t.Fatalf("%d/s: appointment %d is in %v, want %v", perSec, k+1, got, want)
			}
		}
	}
}

// TestManyReservations makes a hundred thousand, and gives them up in random order.
func TestManyReservations(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 10_000
	}
	start := time.Now()
	b := drained("10/s 5", tokenbucket.WithClock(newFakeClock()))
	level, _ := b.Word()
	all := make([]*tokenbucket.Reservation, n)
	for i := range all {
		var err error
		if all[i], err = b.ReserveN(1 + i%5); err != nil {
			t.Fatal(err)
		}
	}
	rand.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, r := range all {
		r.Cancel()
	}
	if l, inQueue := b.Word(); l != level || inQueue || b.Tokens() != 0 {
		t.Errorf("afterwards: level %d, was %d, in queue %v, %v tokens", l, level, inQueue, b.Tokens())
	}
	if r, err := b.Reserve(); err != nil || r.Delay() != 100*ms {
		t.Errorf("the next one: %v, %v", r.Delay(), err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

// TestWaitersBesideAppointments has waiters use the places that appointments in front of them left, and no others.
func TestWaitersBesideAppointments(t *testing.T) {
	for _, test := range []struct {
		cancel  bool
		waiters []int
		want    []time.Duration
	}{
		{false, []int{1}, []time.Duration{500 * ms}},
		{false, []int{2, 1}, []time.Duration{600 * ms, 700 * ms}},
		{true, []int{1}, []time.Duration{100 * ms}},
		{true, []int{2}, []time.Duration{200 * ms}},
		{true, []int{1, 1, 1}, []time.Duration{100 * ms, 200 * ms, 500 * ms}},
		{true, []int{1, 2, 1}, []time.Duration{100 * ms, 600 * ms, 700 * ms}}, // and nobody overtakes the second
	} {
		synctest.Test(t, func(t *testing.T) {
			b := drained("10/s 2")
			start := time.Now()
			first, _ := b.ReserveN(2)
			second, _ := b.ReserveN(2)
			var waits []*waiting
			for _, n := range test.waiters {
				waits = append(waits, goWait(t.Context(), b, n))
			}
			if test.cancel {
				first.Cancel()
			}
			for i, w := range waits {
				<-w.done
				if d := time.Since(start); d != test.want[i] || w.err != nil {
					t.Errorf("%+v: waiter %d was served after %v: %v", test, i, d, w.err)
				}
				if d, want := second.Delay(), max(400*ms-time.Since(start), 0); d != want {
					t.Errorf("%+v: after %v the second appointment is in %v, want %v", test, time.Since(start), d, want)
				}
			}
			if test.want[len(test.want)-1] > 400*ms && b.Tokens() != 0 {
				t.Errorf("%+v: %v tokens are left", test, b.Tokens())
			}
		})
	}
}

// TestAppointmentsBehindWaiters has a waiter give up in front of an appointment, which stays where it is.
func TestAppointmentsBehindWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := drained("10/s 2")
		w := goWait(t.Context(), b, 1)
		r, err := b.Reserve()
		if err != nil || r.Delay() != 200*ms {
			t.Fatalf("in %v: %v", r.Delay(), err)
		}
		last := goWait(t.Context(), b, 2)
		w.cancel()
		if synctest.Wait(); r.Delay() != 200*ms || b.Waiting() != 1 {
			t.Errorf("after the waiter has gone: in %v, waiting %d", r.Delay(), b.Waiting())
		}
		time.Sleep(200 * ms)
		if r.Delay() != 0 || last.served() {
			t.Error("at its time the appointment is not kept, or the waiter behind it is served")
		}
		time.Sleep(100 * ms)
		if !last.served() || b.Tokens() != 0 {
			t.Errorf("the place that was left is lost: %v tokens", b.Tokens())
		}
	})
}

// TestForetoldBehindAWaiterThatMovedForward reserves behind a waiter that then uses a place further in front.
func TestForetoldBehindAWaiterThatMovedForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := drained("10/s 2")
		first, _ := b.ReserveN(2)  // 200ms
		second, _ := b.ReserveN(2) // 400ms
		w := goWait(t.Context(), b, 1)
		first.Cancel()
		// Behind all three: at 400ms the second leaves nothing, the waiter has 500ms or sooner, so 600ms is sure.
		if got := b.Take(1).RetryAfter; got != 600*ms {
			t.Errorf("RetryAfter = %v, want 600ms", got)
		}
		time.Sleep(100 * ms)
		if !w.served() {
			t.Fatal("the waiter did not use the free place")
		}
		if got := b.Take(1).RetryAfter; got != 400*ms {
			t.Errorf("RetryAfter = %v, want 400ms: the waiter is served already", got)
		}
		if r, err := b.Reserve(); err != nil || r.Delay() != 400*ms || second.Delay() != 300*ms {
			t.Errorf("reserved in %v, want 400ms; the other in %v, want 300ms", r.Delay(), second.Delay())
		}
	})
}

// TestReservationHoldsNoOthers keeps one reservation for long, which must not keep in memory all that came after it.
func TestReservationHoldsNoOthers(t *testing.T) {
	clk := newFakeClock()
	b := drained("1000/s 1", tokenbucket.WithClock(clk))
	kept, _ := b.Reserve()
	if _, err := b.Reserve(); err != nil {
		t.Fatal(err)
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for i := range 50_000 { // two in the queue at any time
		if _, err := b.Reserve(); err != nil {
			t.Fatal(err)
		}
		clk.set(int64(i+1) * int64(ms))
	}
	if more := heap() - before; more > 1<<20 {
		t.Errorf("a reservation that was kept holds %d bytes", more)
	}
	runtime.KeepAlive(kept)
}
