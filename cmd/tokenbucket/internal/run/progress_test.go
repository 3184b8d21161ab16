package run

import (
	"strings"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/progress"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/terminal"
)

func TestRunProgress(t *testing.T) {
	r := &run{options: options{rate: tokenbucket.PerSecond(10)}, screen: &terminal.Screen{}, in: &progress.Counter{}, sched: &scheduler{}}
	c := &r.sched.count
	c.done.Store(12)
	c.failed.Store(1)
	c.running.Store(8)
	c.waiting.Store(79)
	if got, want := r.progress(80), "12 done, 1 failed, 8 running, >=79 queued, 0/s of 10/s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// A third of the file is read: that was 100 items, so some 200 more are to come.
	r.in.Size = 3000
	r.in.Done.Store(1000)
	if got, want := r.progress(200), "~279 queued"; !strings.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
	c.complete.Store(true)
	r.achieved = progress.Meter{}
	r.achieved.PerSecond(time.Now().Add(-10*time.Second), 0)
	c.started.Store(87)
	got := r.progress(200)
	if !strings.Contains(got, "1 failed, 8 running, 79 queued, 8.70/s of 10/s, 10s left") {
		t.Errorf("got %q", got)
	}
	if got := r.progress(10); got != "12 done, 1" {
		t.Errorf("in 10 columns: %q", got)
	}
}
