package main

import (
	"strings"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

func TestBeside(t *testing.T) {
	for _, c := range []struct {
		perSecond float64
		asked     tokenbucket.Rate
		want      string
	}{
		{9.84, tokenbucket.PerSecond(10), "9.84/s of 10/s"},
		{1.64, tokenbucket.PerMinute(100), "98.4/m of 100/m"},
		{0, tokenbucket.PerHour(1000), "0/h of 1000/h"},
		{1, tokenbucket.Every(24 * time.Hour), "86400/24h of 1/24h"},
		{1234.5, tokenbucket.Inf(), "1234/s"},
	} {
		if got := beside(c.perSecond, c.asked); got != c.want {
			t.Errorf("%v beside %v is %q, want %q", c.perSecond, c.asked, got, c.want)
		}
	}
}

func TestMeterForgetsTheBurst(t *testing.T) {
	var m meter
	at := time.Unix(0, 0)
	count := int64(1000) // at once
	for range 200 {
		at = at.Add(redrawEvery)
		count += 2
		m.perSecond(at, count)
	}
	if got := m.perSecond(at.Add(redrawEvery), count+2); got < 9.99 || got > 10.01 {
		t.Errorf("%v a second, want 10", got)
	}
}

func TestRunProgress(t *testing.T) {
	r := &run{runOptions: runOptions{rate: tokenbucket.PerSecond(10)}, screen: &screen{}, in: &counter{}, sched: &scheduler{}}
	c := &r.sched.count
	c.done.Store(12)
	c.failed.Store(1)
	c.running.Store(8)
	c.waiting.Store(79)
	if got, want := r.progress(80), "12 done, 1 failed, 8 running, >=79 queued, 0/s of 10/s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// A third of the file is read: that was 100 items, so some 200 more are to come.
	r.in.size = 3000
	r.in.read.Store(1000)
	if got, want := r.progress(200), "~279 queued"; !strings.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
	c.complete.Store(true)
	r.achieved = meter{n: 1}
	r.achieved.ring[0] = sample{time.Now().Add(-10 * time.Second), 0}
	c.started.Store(87)
	got := r.progress(200)
	if !strings.Contains(got, "1 failed, 8 running, 79 queued, 8.70/s of 10/s, 10s left") {
		t.Errorf("got %q", got)
	}
	if got := r.progress(10); got != "12 done, 1" {
		t.Errorf("in 10 columns: %q", got)
	}
}
