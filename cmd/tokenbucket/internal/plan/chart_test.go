package plan

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
)

// The chart of any traffic has in each interval what an exact look at every bucket has.
func TestChartAgainstBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 60 {
		l, s := limitOf(t, []string{"10/s", "100/m", "7/h"}[r.IntN(3)], 1+r.IntN(5))
		times := traffic(r, 1+r.IntN(300))
		replay := newReplay(l, s, 10)
		replay.chart = newChart(l)
		names := make([]string, len(times))
		for i, at := range times {
			names[i] = string(rune('a' + r.IntN(3)))
			replay.add(request{ns: at, key: []byte(names[i])})
		}
		replay.finish()
		replay.chart.finish()
		checkChart(t, l, replay.chart, times, names)
	}
}

func checkChart(t *testing.T, l tokenbucket.Limit, c *chart, times []int64, names []string) {
	t.Helper()
	levels := map[string]float64{"a": float64(l.Burst), "b": float64(l.Burst), "c": float64(l.Burst)}
	at := times[0]
	lowestAt := func(now int64) float64 {
		low := float64(l.Burst)
		for name, level := range levels {
			levels[name] = min(level+float64(now-at)*c.perNs, float64(l.Burst))
			low = min(low, levels[name])
		}
		at = now
		return low
	}
	want := make([]bin, len(c.bins))
	next := 0
	for i := range want {
		begins, ends := (c.first+int64(i))*c.ns(), (c.first+int64(i)+1)*c.ns()
		want[i].lowest = lowestAt(max(begins, times[0]))
		for ; next < len(times) && times[next] < ends; next++ {
			lowestAt(times[next])
			if levels[names[next]] >= 1-1e-6 { // a decimal may be a little short of what is exact
				levels[names[next]] = max(levels[names[next]]-1, 0)
				want[i].allowed++
			} else {
				want[i].denied++
			}
			want[i].lowest = min(want[i].lowest, levels[names[next]])
		}
	}
	if next != len(times) {
		t.Fatalf("the chart ends before request %d of %d", next, len(times))
	}
	for i, b := range c.bins {
		if b.allowed != want[i].allowed || b.denied != want[i].denied || math.Abs(b.lowest-want[i].lowest) > 1e-3 {
			t.Fatalf("limit %v, interval %d of %d, each %v: %+v, want %+v", l, i, len(want), time.Duration(c.ns()), b, want[i])
		}
	}
}

func TestChartIsBounded(t *testing.T) {
	l, _ := limitOf(t, "1/s", 5)
	c := newChart(l)
	for i := range int64(62) {
		c.add(17e17+1<<i, true, 1) // 1 ns to 146 years
	}
	var n int64
	for _, b := range c.bins {
		n += b.allowed
	}
	if len(c.bins) > maxBins || n != 62 {
		t.Errorf("%d intervals with %d requests, want at most %d with 62", len(c.bins), n, maxBins)
	}
	for i := 1; i < len(binWidths); i++ {
		if binWidths[i]%binWidths[i-1] != 0 {
			t.Errorf("%v is no multiple of %v", binWidths[i], binWidths[i-1])
		}
	}
}

// A picture of whatever span is well-formed, and has its numbers within itself.
func TestPictures(t *testing.T) {
	for _, span := range []time.Duration{0, 3, time.Millisecond, time.Second, 90 * time.Second, time.Hour, 25 * time.Hour, 20 * day, 900 * day,
		36500 * day} {
		l, _ := limitOf(t, "100/m", 7)
		c := newChart(l)
		for i := range int64(100) {
			c.add(17e17+int64(span)/100*i, i%3 > 0, float64(i%8))
		}
		c.finish()
		d := &drawing{chart: c, zone: time.FixedZone("", 5*3600+1800), single: span > time.Hour}
		d.picture(`<a & "b">`, "about")
		if bytes.Contains(d.Bytes(), []byte("NaN")) || bytes.Contains(d.Bytes(), []byte("Inf")) {
			t.Errorf("of %v: the picture has a number that is none", span)
		}
		ticks := bytes.Count(d.Bytes(), []byte("v6\"/>"))
		if ticks < 1 || ticks > 11 {
			t.Errorf("of %v: %d ticks of time, want 1 to 11", span, ticks)
		}
		x := xml.NewDecoder(&d.Buffer)
		for {
			if _, err := x.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("of %v: %v", span, err)
			}
		}
	}
}

func TestNiceTicks(t *testing.T) {
	for most, want := range map[float64][]float64{
		10: {0, 2, 4, 6, 8, 10}, 1: {0, .2, .4, .6, .8, 1}, 7: {0, 2, 4, 6, 8}, 0: {0, 1}, 1234: {0, 500, 1000, 1500},
	} {
		got := niceTicks(most, 5)
		if !slices.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
			t.Errorf("ticks up to %v are %v, want %v", most, got, want)
		}
	}
}
