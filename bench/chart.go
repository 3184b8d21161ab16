package main

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// A panel is a part of the chart: a bar for each contender, and a line for the floor.
type panel struct {
	title string
	table string
	row   string
	unit  string
	short string // the unit as it stands behind a figure
	floor string
}

// A bar is a contender's figure.
type bar struct {
	who   string
	value float64
}

// Measures of the chart, in pixels.
const (
	panelWidth = 440
	labelWidth = 130
	valueWidth = 66
	barHeight  = 16
	barStep    = 24
	panelHead  = 42
	panelGap   = 20
	noteStep   = 16
	margin     = 16
)

// style colours the chart for a light page and, where the reader prefers it, for a dark one.
const style = `<style>
text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #1f2328 }
.title { font-size: 13px; font-weight: 600 }
.note { font-size: 11px; fill: #59636e }
.peer { fill: #afb8c1 }
.ours { fill: #1a7f64 }
.floor { stroke: #bc4c00; stroke-width: 1.5; stroke-dasharray: 4 3 }
.floorname { font-size: 11px; fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.note { fill: #9198a1 }
.peer { fill: #57606a }
.ours { fill: #3fb995 }
.floor { stroke: #f0883e }
.floorname { fill: #f0883e }
}
</style>
`

func panels(procs int) []panel {
	return []panel{
		{"Allow, one goroutine", "bucket", "allow,serial", "ns/op", "ns", floorSince},
		{fmt.Sprintf("Allow, one bucket on %d processors", procs), "bucket", fmt.Sprintf("allow,hot,%d", procs), "ns/op", "ns", ""},
		{"Allow, one of a million string keys", "keyed", "1000000,string,uniform,serial", "ns/op", "ns", floorMap},
		{"Memory of a key, among a million", "fill", "1000000,string", "B/key", "B", floorMap},
	}
}

// bars returns the contenders of a panel, the best first.
func (p panel) bars(s *results) []bar {
	var all []bar
	for _, who := range s.whos[p.table] {
		value := s.value(place{p.table, p.row, who, p.unit})
		if isContender(who) && !math.IsNaN(value) {
			all = append(all, bar{who, value})
		}
	}
	slices.SortStableFunc(all, func(a, b bar) int { return cmp.Compare(a.value, b.value) })
	return all
}

// chart returns an SVG of the panels that were measured, two beside each other.
func chart(s *results) string {
	var body strings.Builder
	y, height, column := margin, 0, 0
	for _, p := range panels(s.env.Procs) {
		bars := p.bars(s)
		if len(bars) == 0 {
			continue
		}
		floor := s.value(place{p.table, p.row, p.floor, p.unit})
		fmt.Fprintf(&body, "<g transform=\"translate(%d %d)\">\n%s</g>\n", margin+column*(panelWidth+panelGap), y, p.svg(bars, floor))
		height = max(height, panelHead+len(bars)*barStep)
		if column++; column == 2 {
			y, height, column = y+height+panelGap, 0, 0
		}
	}
	if column > 0 {
		y += height + panelGap
	}
	width := 2*panelWidth + panelGap + 2*margin
	for _, note := range []string{
		"Shorter is better. httprate keeps a hash in place of the key.",
		fmt.Sprintf("%s; %s; commit %s; %s.", s.env.Machine, s.env.Go, s.env.Commit, s.env.Date),
	} {
		y += noteStep
		fmt.Fprintf(&body, "<text class=\"note\" x=\"%d\" y=\"%d\">%s</text>\n", margin, y, html.EscapeString(note))
	}
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %[1]d %[2]d\" role=\"img\">\n"+
		"<title>tokenbucket beside its peers</title>\n%s%s</svg>\n", width, y+margin, style, body.String())
}

// svg draws the panel at the origin. A floor that is not a number is not drawn.
func (p panel) svg(bars []bar, floor float64) string {
	var text strings.Builder
	most := bars[len(bars)-1].value
	const room = panelWidth - labelWidth - valueWidth
	scale := func(x float64) float64 { return x / max(most, 1e-9) * room }
	fmt.Fprintf(&text, "<text class=\"title\" x=\"0\" y=\"12\">%s</text>\n", html.EscapeString(p.title))
	for i, b := range bars {
		class, y := "peer", panelHead+i*barStep
		if b.who == us {
			class = "ours"
		}
		fmt.Fprintf(&text, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", labelWidth-8, y+barHeight-4, html.EscapeString(b.who))
		fmt.Fprintf(&text, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>\n",
			class, labelWidth, y, max(scale(b.value), 1), barHeight)
		fmt.Fprintf(&text, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s %s</text>\n", panelWidth, y+barHeight-4, figure(b.value), p.short)
	}
	if !math.IsNaN(floor) && floor <= most {
		x := labelWidth + scale(floor)
		fmt.Fprintf(&text, "<line class=\"floor\" x1=\"%.1f\" x2=\"%[1]f\" y1=\"%d\" y2=\"%d\"/>\n", x, panelHead-6, panelHead+len(bars)*barStep-4)
		fmt.Fprintf(&text, "<text class=\"floorname\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s %s %s</text>\n",
			x, panelHead-10, html.EscapeString(floorLabel(p)), figure(floor), p.short)
	}
	return text.String()
}

// floorLabel names the floor of a panel.
func floorLabel(p panel) string {
	if p.unit == "B/key" {
		return "map[string]uint64"
	}
	return p.floor
}

// figure formats a number for the chart: three digits.
func figure(x float64) string {
	if x < 10 {
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}
