package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// progress is the line that tells how far the run is, at most w columns.
func (r *run) progress(w int) string {
	c := &r.sched.count
	perSecond := r.achieved.perSecond(time.Now(), c.started.Load())
	var failed string
	if n := c.failed.Load(); n > 0 {
		failed = fmt.Sprintf("%d failed", n)
	}
	left, mark := r.left()
	parts := []string{fmt.Sprintf("%d done", c.done.Load()), failed}
	if n := c.skipped.Load(); n > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped", n))
	}
	parts = append(parts, fmt.Sprintf("%d running", c.running.Load()), fmt.Sprintf("%s%d queued", mark, left),
		beside(perSecond, r.rate))
	// By the attempts that are started: a job that is tried again takes its turn too.
	if total := left + c.running.Load(); mark != atLeast && perSecond > 0 && total > 0 {
		if seconds := float64(total) / perSecond; seconds < math.MaxInt32 {
			parts = append(parts, shortDuration(time.Duration(seconds*float64(time.Second)))+" left")
		}
	}
	text := fit(strings.Join(compact(parts), ", "), w)
	if r.screen.color && failed != "" {
		text = strings.Replace(text, failed, "\x1b[31m"+failed+"\x1b[0m", 1)
	}
	return text
}

// Marks of a number of items.
const (
	exactly = ""
	about   = "~"
	atLeast = ">="
)

// left returns how many jobs are still to be started. Of a file that is not read to its end it is an estimate by what has
// been read so far; of a pipe only that is known.
func (r *run) left() (n int64, mark string) {
	c := &r.sched.count
	n = c.waiting.Load()
	if c.complete.Load() {
		return n, exactly
	}
	read, size := r.in.read.Load(), r.in.size
	known := n + c.running.Load() + c.done.Load() + c.failed.Load() + c.skipped.Load()
	if size == 0 || read == 0 {
		return n, atLeast
	}
	return n + int64(float64(known)*float64(max(size-read, 0))/float64(read)), about
}

// compact drops what is empty.
func compact(parts []string) []string {
	kept := parts[:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return kept
}
