package plan

import (
	"bytes"
	"fmt"
	"html"
	"os"
	"strings"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/terminal"
)

// svgStyle has a light and a dark theme: a picture that is opened by itself follows the reader's
// setting. Colors are written out, because not every renderer supports variables. Color-blind
// readers can distinguish blue from orange, and denials are hatched.
const svgStyle = `
svg { background: #fff; font: 13px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
.page { fill: #fff } text { fill: #24292f } .title { font-size: 17px; font-weight: 600 } .soft { fill: #57606a }
.grid { stroke: #d0d7de; stroke-width: 1 } .axis { stroke: #57606a; stroke-width: 1 }
.granted { fill: #5b9bd5 } .denied { fill: #e8590c } .hatch { stroke: #fff; stroke-width: 1.2 }
.demand { fill: none; stroke: #24292f; stroke-width: 1 } .limit { stroke: #24292f; stroke-width: 1.2; stroke-dasharray: 6 4 }
.level { fill: none; stroke: #1a7f37; stroke-width: 1.5 } .under { fill: #1a7f37; fill-opacity: .18 }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117 }
.page { fill: #0d1117 } text { fill: #e6edf3 } .soft { fill: #9198a1 }
.grid { stroke: #2f353d } .axis { stroke: #9198a1 }
.granted { fill: #3b7dbf } .denied { fill: #f0883e } .hatch { stroke: #0d1117 }
.demand { stroke: #e6edf3 } .limit { stroke: #e6edf3 }
.level { stroke: #3fb950 } .under { fill: #3fb950 }
}
`

// Places in the picture, in its units.
const (
	svgWidth, svgHeight = 960, 600
	svgLeft, svgRight   = 76, 936 // of both plots
)

// plot is a part of the picture for curves whose values lie between 0 at bottom and most at top.
type plot struct {
	top, bottom float64
	most        float64
	c           *chart
}

func (p plot) y(v float64) float64 { return p.bottom - min(v/p.most, 1)*(p.bottom-p.top) }

// x returns the left edge of bin i, or the right edge of bin i-1.
func (p plot) x(i int) float64 {
	return svgLeft + float64(i)/float64(len(p.c.bins))*(svgRight-svgLeft)
}

// drawing is a picture that is being written.
type drawing struct {
	bytes.Buffer
	chart  *chart
	zone   *time.Location
	single bool // one bucket, not one for each key
}

// draw writes a picture of the replay to the file of -svg.
func (p *plan) draw() error {
	c := p.replay.chart
	c.finish()
	total := newSummary(p.replay)
	d := &drawing{chart: c, zone: p.replay.zone, single: !p.key.isSet()}
	limit := fmt.Sprint(c.limit)
	if !d.single {
		limit += " for each key"
	}
	title := fmt.Sprintf("%s under a limit of %s", plainText(strings.Join(p.files, ", ")), limit)
	if p.files[0] == "-" {
		title = "Traffic under a limit of " + limit
	}
	about := fmt.Sprintf("%s: %d granted, %d denied (%.1f%%)", terminal.Plural(p.replay.seq, "request"), total.allowed, total.denied,
		percent(total.denied, p.replay.seq))
	d.picture(title, about)
	return os.WriteFile(p.svg, d.Bytes(), 0o666)
}

// plainText replaces the characters that XML cannot have.
func plainText(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0xfffe || c == 0xffff {
			return '\ufffd'
		}
		return c
	}, strings.ToValidUTF8(s, "\ufffd"))
}

func (d *drawing) picture(title, about string) {
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" `+
		`aria-labelledby="title about">`+"\n", svgWidth, svgHeight, svgWidth, svgHeight)
	fmt.Fprintf(d, `<title id="title">%s</title>`+"\n", html.EscapeString(title))
	fmt.Fprintf(d, `<desc id="about">%s. The upper plot has the demand over time, and what of it is granted and denied; `+
		`the lower plot has the tokens in the bucket.</desc>`+"\n", html.EscapeString(about))
	fmt.Fprintf(d, "<style>%s</style>\n", svgStyle)
	d.WriteString(`<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">` +
		`<rect class="denied" width="6" height="6"/><path class="hatch" d="M0 0V6"/></pattern></defs>` + "\n")
	fmt.Fprintf(d, `<rect class="page" width="%d" height="%d"/>`+"\n", svgWidth, svgHeight)
	d.text(svgLeft, 32, "title", "start", clip([]byte(title), 90))
	d.text(svgLeft, 54, "soft", "start", about)
	d.demand(plot{top: 124, bottom: 346, c: d.chart})
	d.level(plot{top: 420, bottom: 538, c: d.chart, most: float64(d.chart.limit.Burst)})
	d.WriteString("</svg>\n")
}

func (d *drawing) text(x, y float64, class, anchor, text string) {
	fmt.Fprintf(d, `<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`+"\n", x, y, class, anchor, html.EscapeString(text))
}

// demand draws the upper plot: grants, denials stacked on them, and the demand as their outline.
func (d *drawing) demand(p plot) {
	unit, perBin := d.rateUnit()
	var most float64
	for _, b := range d.chart.bins {
		most = max(most, float64(b.allowed+b.denied)*perBin)
	}
	limit := perUnit(d.chart.limit.Rate, unit)
	showLimit := d.single && limit <= 3*most
	if showLimit {
		most = max(most, limit)
	}
	ticks := niceTicks(most, 5)
	p.most = ticks[len(ticks)-1]
	d.axes(p, ticks)

	granted := func(i int) float64 { return float64(d.chart.bins[i].allowed) * perBin }
	all := func(i int) float64 { b := d.chart.bins[i]; return float64(b.allowed+b.denied) * perBin }
	none := func(int) float64 { return 0 }
	fmt.Fprintf(d, `<path class="granted" d="%s"/>`+"\n", p.area(none, granted))
	fmt.Fprintf(d, `<path fill="url(#hatch)" d="%s"/>`+"\n", p.area(granted, all))
	fmt.Fprintf(d, `<path class="demand" d="M%s"/>`+"\n", p.steps(all, true))
	if showLimit {
		fmt.Fprintf(d, `<path class="limit" d="M%d %.1fH%d"/>`+"\n", svgLeft, p.y(limit), svgRight)
	}
	d.text(svgLeft, p.top-34, "", "start", fmt.Sprintf("requests per %s, mean of each %s", unit, shortWidth(d.chart.ns())))
	legend := []legendEntry{{"demand", `class="demand" d="M0 -4h18"`}, {"granted", `class="granted" d="M0 -10h18v11h-18z"`},
		{"denied", `fill="url(#hatch)" d="M0 -10h18v11h-18z"`}}
	if showLimit {
		legend = append(legend, legendEntry{"rate of the limit", `class="limit" d="M0 -4h18"`})
	}
	d.legend(p.top-12, legend)
}

// level draws the lower plot.
func (d *drawing) level(p plot) {
	ticks := niceTicks(p.most, 3)
	if ticks[len(ticks)-1] > p.most { // the burst itself is the top, and is worth a number
		ticks[len(ticks)-1] = p.most
		if n := len(ticks); n > 2 && ticks[n-1]-ticks[n-2] < 0.12*p.most {
			ticks = append(ticks[:n-2], p.most)
		}
	}
	d.axes(p, ticks)
	level := func(i int) float64 { return d.chart.bins[i].lowest }
	fmt.Fprintf(d, `<path class="under" d="%s"/>`+"\n", p.area(func(int) float64 { return 0 }, level))
	fmt.Fprintf(d, `<path class="level" d="M%s"/>`+"\n", p.steps(level, true))
	of := "tokens in the bucket"
	if !d.single {
		of = "tokens in the emptiest bucket of all keys"
	}
	d.text(svgLeft, p.top-34, "", "start", fmt.Sprintf("%s, of a burst of %d", of, d.chart.limit.Burst))
	d.legend(p.top-12, []legendEntry{{"lowest level of each " + shortWidth(d.chart.ns()), `class="level" d="M0 -4h18"`}})
	d.times(p)
}

type legendEntry struct{ text, path string }

func (d *drawing) legend(y float64, entries []legendEntry) {
	x := float64(svgLeft)
	for _, e := range entries {
		fmt.Fprintf(d, `<path transform="translate(%.1f %.1f)" %s/>`+"\n", x, y, e.path)
		d.text(x+25, y, "soft", "start", e.text)
		x += 25 + 7.2*float64(len(e.text)) + 22
	}
}

// area returns the path between two step curves.
func (p plot) area(low, high func(i int) float64) string {
	return "M" + p.steps(high, true) + "L" + p.steps(low, false) + "Z"
}

// steps returns the path of a step curve, without its first letter, from left to right or back.
func (p plot) steps(f func(i int) float64, forward bool) string {
	var b strings.Builder
	n := len(p.c.bins)
	at := func(x int, v float64) {
		if b.Len() > 0 {
			b.WriteByte('L')
		}
		fmt.Fprintf(&b, "%.1f %.1f", p.x(x), p.y(v))
	}
	for k := range n {
		i, from, to := k, k, k+1
		if !forward {
			i = n - 1 - k
			from, to = i+1, i
		}
		// Equal neighbors are one step: a day of silence is two points.
		if prev := i - (to - from); k == 0 || f(prev) != f(i) {
			at(from, f(i))
		}
		if next := i + (to - from); k == n-1 || f(next) != f(i) {
			at(to, f(i))
		}
	}
	return b.String()
}

// axes draws the lines at the ticks, and their numbers.
func (d *drawing) axes(p plot, ticks []float64) {
	for _, v := range ticks {
		class := "grid"
		if v == 0 {
			class = "axis"
		}
		fmt.Fprintf(d, `<path class="%s" d="M%d %.1fH%d"/>`+"\n", class, svgLeft, p.y(v), svgRight)
		d.text(svgLeft-8, p.y(v)+4, "soft", "end", trimFloat(v))
	}
}

// rateUnit returns the unit in which the busiest interval has 1 or more requests, and the rate in
// this unit of one request in a bin.
func (d *drawing) rateUnit() (unit string, perBin float64) {
	var most int64
	for _, b := range d.chart.bins {
		most = max(most, b.allowed+b.denied)
	}
	width := time.Duration(d.chart.ns())
	for _, u := range []time.Duration{time.Second, time.Minute, time.Hour} {
		unit, perBin = unitNames[u], u.Seconds()/width.Seconds()
		if float64(most)*perBin >= 1 {
			break
		}
	}
	return unit, perBin
}

var unitNames = map[time.Duration]string{time.Second: "second", time.Minute: "minute", time.Hour: "hour"}

func perUnit(r tokenbucket.Rate, unit string) float64 {
	for d, name := range unitNames {
		if name == unit {
			return r.TokensPerSecond() * d.Seconds()
		}
	}
	return 0
}
