// Package progress measures how far and how fast a command is, for its progress line.
package progress

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// Meter measures an achieved rate over the last 50 samples. At one sample a redraw these are 10 s,
// so a burst at the beginning does not show for long. The zero Meter is ready to use. It must not
// be used by several goroutines at once.
type Meter struct {
	ring [50]sample
	n    int // samples taken
}

type sample struct {
	at    time.Time
	count int64
}

// PerSecond takes a sample and returns the rate since the oldest sample in memory.
func (m *Meter) PerSecond(at time.Time, count int64) float64 {
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

// Beside returns an achieved rate in the unit of the limit's rate, and the latter: "9.8/s of 10/s".
func Beside(perSecond float64, limit tokenbucket.Rate) string {
	text := limit.String()
	if limit == tokenbucket.Inf() {
		return fmt.Sprintf("%s/s", shortNumber(perSecond))
	}
	_, unit, _ := strings.Cut(text, "/")
	period, err := time.ParseDuration(unit)
	if err != nil { // "s" is one second
		period, err = time.ParseDuration("1" + unit)
	}
	if err != nil { // a period of more than 292 years
		period, unit = time.Hour, "h"
	}
	return fmt.Sprintf("%s/%s of %s", shortNumber(perSecond*period.Seconds()), unit, text)
}

// shortNumber formats x with about three digits.
func shortNumber(x float64) string {
	switch {
	case x >= 99.5 || x == 0:
		return fmt.Sprintf("%.0f", x)
	case x >= 9.95:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// ShortDuration formats d to the second, or to the minute from an hour on.
func ShortDuration(d time.Duration) string {
	if d < time.Hour {
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}
