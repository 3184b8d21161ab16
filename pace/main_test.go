package pace

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/go-tokenbucket/tokenbucket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBoom = errors.New("boom")

// bubble runs f in a synctest bubble: time is exact, and f fails if a goroutine that it started is
// left.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// An eventLog records what happened when, since it was made.
type eventLog struct {
	begun  time.Time
	mu     sync.Mutex
	events []string
}

func newEventLog() *eventLog { return &eventLog{begun: time.Now()} }

func (d *eventLog) record(what any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, fmt.Sprintf("%v@%v", what, time.Since(d.begun)))
}

// job returns a job that records its start, then runs for the given time or until its context ends.
func (d *eventLog) job(what any, takes time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		d.record(what)
		return pause(ctx, takes)
	}
}

func (d *eventLog) want(t *testing.T, want string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if got := strings.Join(d.events, " "); got != want {
		t.Errorf("happened\n\t%s, want\n\t%s", got, want)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// elapsed fails unless exactly want has passed since begun.
func elapsed(t *testing.T, begun time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(begun); got != want {
		t.Errorf("it took %v, want %v", got, want)
	}
}

// wantIs fails unless err wraps all of the targets.
func wantIs(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("error is %v, want one that wraps %v", err, target)
		}
	}
}

// panicOf returns what f panics with.
func panicOf(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

// exits reports whether f calls runtime.Goexit.
func exits(f func()) bool {
	returned := make(chan bool)
	go func() {
		ok := false
		defer func() { returned <- ok }()
		f()
		ok = true
	}()
	return !<-returned
}

func unlimited() *tokenbucket.Bucket { return tokenbucket.New(tokenbucket.Inf(), 1) }

// drained returns a bucket whose burst has been taken.
func drained(rate tokenbucket.Rate, burst int) *tokenbucket.Bucket {
	b := tokenbucket.New(rate, burst)
	b.TakeAvailable(burst)
	return b
}

func nothing(context.Context) error { return nil }

func fails(context.Context) error { return errBoom }

// untilDone is a job that runs until its context ends, and succeeds.
func untilDone(ctx context.Context) error { <-ctx.Done(); return nil }

func TestMistakesPanic(t *testing.T) {
	ctx, b, k := context.Background(), unlimited(), tokenbucket.NewKeyed[string](tokenbucket.Inf(), 1)
	group, _ := NewGroup(ctx, b, 1)
	keyed, _ := NewKeyedGroup(ctx, k, 1)
	for _, c := range []struct {
		want string
		f    func()
	}{
		{"pace: NewGroup: the bucket is nil", func() { NewGroup(ctx, nil, 1) }},
		{"pace: NewGroup: concurrency is 0, want 1 or more", func() { NewGroup(ctx, b, 0) }},
		{"pace: GoN: n is -1, want 0 or more", func() { _ = group.GoN(-1, nothing) }},
		{"pace: GoN: the job is nil", func() { _ = group.Go(nil) }},
		{"pace: TryGo: the job is nil", func() { group.TryGo(nil) }},
		{"pace: GoN: the job is nil", func() { _ = keyed.Go("a", nil) }},
		{"pace: TryGo: the job is nil", func() { keyed.TryGo("a", nil) }},
		{"pace: ForEach: the func is nil", func() { _ = ForEach(ctx, upTo(1), nil) }},
		{"pace: Map: the func is nil", func() { Map[int, int](ctx, upTo(1), nil) }},
		{"pace: Retry: the job is nil", func() { _ = Retry(ctx, b, Policy{}, nil) }},
		{"pace: NewReader: the reader is nil", func() { NewReader(ctx, nil, b) }},
		{"pace: NewReader: the bucket is nil", func() { NewReader(ctx, strings.NewReader(""), nil) }},
		{"pace: NewWriter: the writer is nil", func() { NewWriter(ctx, nil, b) }},
		{"pace: NewWriter: the bucket is nil", func() { NewWriter(ctx, newMeter(), nil) }},
		{"pace: NewConn: the connection is nil", func() { NewConn(ctx, nil, b, b) }},
		{"pace: NewKeyedGroup: the Keyed is nil", func() { NewKeyedGroup[string](ctx, nil, 1) }},
		{"pace: NewKeyedGroup: concurrency is -1, want 1 or more", func() { NewKeyedGroup(ctx, k, -1) }},
		{"pace: GoN: n is -2, want 0 or more", func() { _ = keyed.GoN("a", -2, nothing) }},
		{"pace: WithQueue: n is 0, want 1 or more", func() { WithQueue(0) }},
		{"pace: WithBucket: the bucket is nil", func() { WithBucket(nil) }},
		{"pace: WithConcurrency: n is 0, want 1 or more", func() { WithConcurrency(0) }},
		{"pace: WithBuffer: n is -1, want 0 or more", func() { WithBuffer(-1) }},
		{"pace: Retry: the bucket is nil", func() { _ = Retry(ctx, nil, Policy{}, nothing) }},
		{"pace: Retry: Attempts is -1, want 0 or more", func() { _ = Retry(ctx, b, Policy{Attempts: -1}, nothing) }},
		{"pace: Retry: Base is -1s and Max is 0s, want 0 or more", func() { _ = Retry(ctx, b, Policy{Base: -time.Second}, nothing) }},
		{"pace: Retry: Base is 0s and Max is -1s, want 0 or more", func() { _ = Retry(ctx, b, Policy{Max: -time.Second}, nothing) }},
	} {
		if got := panicOf(c.f); got != c.want {
			t.Errorf("panic %v, want %v", got, c.want)
		}
	}
	if err := errors.Join(group.Wait(), keyed.Wait()); err != nil {
		t.Errorf("Wait: %v: a panic of GoN has left something behind", err)
	}
}
