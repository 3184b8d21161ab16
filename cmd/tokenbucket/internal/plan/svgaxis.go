package plan

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// niceTicks returns round numbers from 0 to at least most, about n steps apart.
func niceTicks(most float64, n int) []float64 {
	if most <= 0 {
		return []float64{0, 1}
	}
	raw := most / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * power
	for _, m := range []float64{1, 2, 5} {
		if m*power >= raw*0.999 {
			step = m * power
			break
		}
	}
	var ticks []float64
	for i := 0; ; i++ {
		ticks = append(ticks, float64(i)*step)
		if float64(i)*step >= most*0.999 {
			return ticks
		}
	}
}

// trimFloat formats a tick without its rounding error.
func trimFloat(v float64) string {
	s := strconv.FormatFloat(v, 'g', 6, 64)
	if strings.Contains(s, "e") {
		return strings.Replace(s, "e+0", "e", 1)
	}
	return s
}

// timeStep is a distance between ticks on the time axis, and the layout of their labels.
type timeStep struct {
	d      time.Duration
	layout string
}

const day = 24 * time.Hour

var timeSteps = []timeStep{
	{time.Millisecond, "05.000"}, {5 * time.Millisecond, "05.000"}, {20 * time.Millisecond, "05.000"},
	{100 * time.Millisecond, "05.0"}, {200 * time.Millisecond, "05.0"}, {500 * time.Millisecond, "05.0"},
	{time.Second, "15:04:05"}, {2 * time.Second, "15:04:05"}, {5 * time.Second, "15:04:05"}, {10 * time.Second, "15:04:05"},
	{20 * time.Second, "15:04:05"}, {30 * time.Second, "15:04:05"}, {time.Minute, "15:04"}, {2 * time.Minute, "15:04"},
	{5 * time.Minute, "15:04"}, {10 * time.Minute, "15:04"}, {15 * time.Minute, "15:04"}, {30 * time.Minute, "15:04"},
	{time.Hour, "15:04"}, {2 * time.Hour, "15:04"}, {3 * time.Hour, "15:04"}, {6 * time.Hour, "Jan 2 15:04"},
	{12 * time.Hour, "Jan 2 15:04"}, {day, "Jan 2"}, {2 * day, "Jan 2"}, {7 * day, "Jan 2"}, {14 * day, "Jan 2"},
	{30 * day, "2006-01-02"}, {90 * day, "2006-01-02"}, {365 * day, "2006-01-02"}, {1825 * day, "2006-01-02"},
	{3650 * day, "2006-01-02"}, {18250 * day, "2006-01-02"},
}

// times draws the time axis below both plots.
func (d *drawing) times(p plot) {
	c := d.chart
	begin, span := c.first*c.ns(), int64(len(c.bins))*c.ns()
	const most = 9 // labels that have room
	step := timeSteps[len(timeSteps)-1]
	for _, s := range timeSteps {
		if span/int64(s.d) < most {
			step = s
			break
		}
	}
	_, offset := time.Unix(0, begin).In(d.zone).Zone()
	shift := int64(offset) * int64(time.Second) // so that midnight there is a tick
	for t := (begin+shift+int64(step.d)-1)/int64(step.d)*int64(step.d) - shift; t <= begin+span; t += int64(step.d) {
		x := svgLeft + float64(t-begin)/float64(span)*(svgRight-svgLeft)
		fmt.Fprintf(d, `<path class="axis" d="M%.1f %.1fv6"/>`+"\n", x, p.bottom)
		d.text(x, p.bottom+21, "soft", "middle", time.Unix(0, t).In(d.zone).Format(step.layout))
	}
	from := time.Unix(0, begin).In(d.zone)
	d.text((svgLeft+svgRight)/2, p.bottom+46, "", "middle", fmt.Sprintf("time, from %s, UTC%s", from.Format("2006-01-02 15:04:05"),
		from.Format("-07:00")))
}

// shortWidth formats the width of a bin.
func shortWidth(ns int64) string {
	d := time.Duration(ns)
	switch {
	case d >= day:
		return fmt.Sprintf("%d d", d/day)
	case d >= time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d >= time.Second:
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return fmt.Sprintf("%d ms", d/time.Millisecond)
}
