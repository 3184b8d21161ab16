package plan

import (
	"math"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// maxBins is the largest number of intervals in a chart: one for about two pixels.
const maxBins = 480

// binWidths are the widths that an interval may have. Each is a multiple of the one before, so that
// two or more bins make one of the next width, whenever the log begins.
var binWidths = []time.Duration{
	time.Millisecond, 2 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond,
	200 * time.Millisecond, time.Second, 2 * time.Second, 10 * time.Second, 20 * time.Second, time.Minute, 2 * time.Minute,
	10 * time.Minute, 20 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	2 * 24 * time.Hour, 10 * 24 * time.Hour, 20 * 24 * time.Hour, 100 * 24 * time.Hour, 200 * 24 * time.Hour,
	1000 * 24 * time.Hour,
}

// wholeSecond is the index of the finest width for a log that has its times in whole seconds.
const wholeSecond = 6

// bin is what happened in an interval.
type bin struct {
	allowed, denied int64
	lowest          float64 // level of the emptiest bucket
}

// chart counts requests in intervals. The intervals become wider as the log goes on, so that memory
// is constant. Make it with newChart.
type chart struct {
	limit    tokenbucket.Limit
	perNs    float64 // tokens
	width    int     // index of binWidths
	first    int64   // number of the first bin, counted from 1970
	bins     []bin
	last     int64   // ns, of the last request
	level    float64 // of the emptiest bucket, after that
	fraction bool    // some time is not in whole seconds
}

func newChart(l tokenbucket.Limit) *chart {
	return &chart{limit: l, perNs: l.Rate.TokensPerSecond() / 1e9, level: float64(l.Burst)}
}

// add counts a request, not before the last one. After it, its bucket has level tokens.
//
// The level of the emptiest bucket is found without a look at all buckets: all refill at the same
// rate, so the lowest level rises at that rate up to the burst, and only a request lowers a level.
func (c *chart) add(t int64, allowed bool, level float64) {
	c.fraction = c.fraction || t%int64(time.Second) != 0
	if c.bins == nil {
		c.first, c.last = t/c.ns(), t
		c.bins = append(c.bins, bin{lowest: c.level})
	}
	for t/c.ns()-c.first >= maxBins {
		c.widen()
	}
	at := int(t/c.ns() - c.first)
	for i := len(c.bins); i <= at; i++ {
		begins := (c.first + int64(i)) * c.ns()
		c.bins = append(c.bins, bin{lowest: c.refilled(begins)})
	}
	b := &c.bins[at]
	if allowed {
		b.allowed++
	} else {
		b.denied++
	}
	c.level, c.last = min(c.refilled(t), max(level, 0)), t
	b.lowest = min(b.lowest, c.level)
}

// refilled returns the level at t if no request comes until then.
func (c *chart) refilled(t int64) float64 {
	return min(c.level+float64(t-c.last)*c.perNs, float64(c.limit.Burst))
}

func (c *chart) ns() int64 { return int64(binWidths[c.width]) }

// widen merges the bins into bins of the next width.
func (c *chart) widen() {
	narrow := c.ns()
	c.width++
	times := c.ns() / narrow
	first := c.first / times
	var wide []bin
	for i, b := range c.bins {
		at := int((c.first+int64(i))/times - first)
		if at == len(wide) {
			wide = append(wide, bin{lowest: math.Inf(1)})
		}
		w := &wide[at]
		w.allowed += b.allowed
		w.denied += b.denied
		w.lowest = min(w.lowest, b.lowest)
	}
	c.first, c.bins = first, wide
}

// finish widens the bins to a second if the log has whole seconds: narrower bins would show spikes
// that are not in the traffic.
func (c *chart) finish() {
	for !c.fraction && c.width < wholeSecond {
		c.widen()
	}
}
