package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// meter measures an achieved rate over the last while, so that the burst of the beginning is soon forgotten. The zero meter
// is ready. It is not safe for use by several goroutines at once.
type meter struct {
	ring [50]sample // at a redraw each, this is 10 s
	n    int        // samples taken
}

type sample struct {
	at    time.Time
	count int64
}

// perSecond takes a sample and returns the rate since the oldest that is remembered.
func (m *meter) perSecond(at time.Time, count int64) float64 {
	oldest := m.ring[0]
	if m.n >= len(m.ring) {
		oldest = m.ring[m.n%len(m.ring)]
	}
	m.ring[m.n%len(m.ring)] = sample{at, count}
	m.n++
	if dt := at.Sub(oldest.at); m.n > 1 && dt > 0 {
		return float64(count-oldest.count) / dt.Seconds()
	}
	return 0
}

// beside prints an achieved rate in the unit of the one that was asked for, and that: "9.8/s of 10/s".
func beside(perSecond float64, asked tokenbucket.Rate) string {
	text := asked.String()
	if asked == tokenbucket.Inf() {
		return fmt.Sprintf("%s/s", shortNumber(perSecond))
	}
	_, unit, _ := strings.Cut(text, "/")
	period, err := time.ParseDuration(unit)
	if err != nil { // without a number
		period, err = time.ParseDuration("1" + unit)
	}
	if err != nil { // of more than 292 years
		period, unit = time.Hour, "h"
	}
	return fmt.Sprintf("%s/%s of %s", shortNumber(perSecond*period.Seconds()), unit, text)
}

// shortNumber prints x with about three digits.
func shortNumber(x float64) string {
	switch {
	case x >= 99.5 || x == 0:
		return fmt.Sprintf("%.0f", x)
	case x >= 9.95:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// shortDuration prints d to the second, or to the minute if it is hours.
func shortDuration(d time.Duration) string {
	if d < time.Hour {
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

// fit cuts text to w columns. All that is printed here is ASCII.
func fit(text string, w int) string {
	if len(text) > w {
		return text[:max(w, 0)]
	}
	return text
}

// counter is a reader that knows how far it is in a file, for other goroutines too. Make it with newCounter.
type counter struct {
	r    io.Reader
	size int64 // of the file, from where it was at first; 0 if that cannot be told
	read atomic.Int64
}

func newCounter(r io.Reader) *counter {
	c := &counter{r: r}
	f, ok := r.(*os.File)
	if !ok {
		return c
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return c
	}
	if at, err := f.Seek(0, io.SeekCurrent); err == nil {
		c.size = max(info.Size()-at, 0)
	}
	return c
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.read.Add(int64(n))
	return n, err
}
