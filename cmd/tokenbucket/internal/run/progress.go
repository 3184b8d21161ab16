package run

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/progress"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/terminal"
)

// progress returns the progress line, of at most width columns.
func (r *run) progress(width int) string {
	c := &r.sched.count
	perSecond := r.achieved.PerSecond(time.Now(), c.started.Load())
	var failed string
	if n := c.failed.Load(); n > 0 {
		failed = fmt.Sprintf("%d failed", n)
	}
	left, mark := r.left()
	parts := []string{fmt.Sprintf("%d done", c.done.Load()), failed}
	if n := c.skipped.Load(); n > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped", n))
	}
	parts = append(parts, fmt.Sprintf("%d running", c.running.Load()))
	if mark != atLeast || left > 0 { // at least none says nothing
		parts = append(parts, fmt.Sprintf("%s%d queued", mark, left))
	}
	parts = append(parts, progress.Beside(perSecond, r.rate))
	// The rate is that of attempts, so this includes the attempts that jobs have needed so far.
	if total := left + c.running.Load(); mark != atLeast && perSecond > 0 && total > 0 {
		if seconds := float64(total) / perSecond; seconds < math.MaxInt32 {
			parts = append(parts, progress.ShortDuration(time.Duration(seconds*float64(time.Second)))+" left")
		}
	}
	text := terminal.Fit(strings.Join(compact(parts), ", "), width)
	if r.screen.Color && failed != "" {
		text = strings.Replace(text, failed, "\x1b[31m"+failed+"\x1b[0m", 1)
	}
	return text
}

// Marks of the precision of a number of items.
const (
	exactly = ""
	about   = "~"
	atLeast = ">="
)

// left returns how many jobs have not been started. Until a file is read to its end, this is an
// estimate by the bytes read so far. Of a pipe only the items read so far are known.
func (r *run) left() (n int64, mark string) {
	c := &r.sched.count
	n = c.waiting.Load()
	if c.complete.Load() {
		return n, exactly
	}
	read, size := r.in.Done.Load(), r.in.Size
	known := n + c.running.Load() + c.done.Load() + c.failed.Load() + c.skipped.Load()
	if size == 0 || read == 0 {
		return n, atLeast
	}
	return n + int64(float64(known)*float64(max(size-read, 0))/float64(read)), about
}

// compact returns the parts that are not empty.
func compact(parts []string) []string {
	kept := parts[:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return kept
}
