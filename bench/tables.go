package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
)

// A block is what stands between the markers of a name in a document.
type block struct{ name, text string }

// A sheet is a table of one unit: a row for each piece of work, a column for each contender.
type sheet struct {
	name   string
	table  string
	unit   string
	format string
	best   func(a, b float64) bool  // a is better than b; nil if the best is not to be marked
	label  func(row string) string  // how a row is called; nil for its name
	ratios []func(row string) ratio // more columns
}

// A ratio is a figure of the row, formed in each round.
type ratio struct {
	head string
	a, b place
}

func less(a, b float64) bool { return a < b }

// nearer tells which of two percentages is nearer to 100, to a tenth: more precise the measurement is not.
func nearer(a, b float64) bool {
	off := func(x float64) float64 { return math.Round(10 * math.Abs(x-100)) }
	return off(a) < off(b)
}

// floors are no contenders, and so is not the coarse clock, which is for those who ask for it.
var floors = []string{floorSince, floorCAS, floorMap, floorRedis}

func sheets() []sheet {
	over := func(table, unit, other string) func(row string) ratio {
		return func(row string) ratio {
			return ratio{other + " ÷ " + us, place{table, row, other, unit}, place{table, row, us, unit}}
		}
	}
	under := func(table, unit, floor string) func(row string) ratio {
		return func(row string) ratio {
			return ratio{us + " ÷ " + floor, place{table, row, us, unit}, place{table, row, floor, unit}}
		}
	}
	columns := func(table, unit, floor, other string) []func(row string) ratio {
		return []func(row string) ratio{under(table, unit, floor), over(table, unit, other)}
	}
	return []sheet{
		{name: "bucket", table: "bucket", unit: "ns/op", format: "%.1f", best: less, ratios: columns("bucket", "ns/op", floorSince, xtime)},
		{name: "keyed", table: "keyed", unit: "ns/op", format: "%.1f", best: less, ratios: columns("keyed", "ns/op", floorMap, mutexMap)},
		{name: "new-key", table: "fill", unit: "ns/op", format: "%.0f", best: less, ratios: columns("fill", "ns/op", floorMap, mutexMap)},
		{name: "churn", table: "churn", unit: "ns/op", format: "%.0f", best: less},
		{name: "memory", table: "fill", unit: "B/key", format: "%.1f", best: less, ratios: columns("fill", "B/key", floorMap, mutexMap)},
		{name: "collection", table: "fill", unit: "gc-ms", format: "%.1f", best: less},
		{name: "achieved", table: "wait", unit: "%", format: "%.1f", best: nearer, label: waiters},
		{name: "cpu", table: "wait", unit: "cpu-s/M", format: "%.2f", best: less, label: waiters},
		{name: "late-p50", table: "wait", unit: "late-p50-ms", format: "%.2f", label: waiters},
		{name: "late-p99", table: "wait", unit: "late-p99-ms", format: "%.2f", label: waiters},
		{name: "late-max", table: "wait", unit: "late-max-ms", format: "%.1f", label: waiters},
		{name: "cancel", table: "cancel", unit: "cancel-ms", format: "%.0f", best: less},
		{name: "redis", table: "redis", unit: "ns/op", format: "%.0f", best: less},
		{name: "trips", table: "redis", unit: "trips/op", format: "%.3g", best: less},
	}
}

// waiters names a row of the table wait.
func waiters(row string) string {
	rate, n, _ := strings.Cut(row, ",")
	return rate + "/s, " + n + " waiting"
}

// blocks returns all that the documents show.
func blocks(s *results) []block {
	all := []block{{"environment", environmentText(s)}, {"targets", targetsText(s)}, {"short", shortText(s)}}
	for _, sh := range sheets() {
		all = append(all, block{sh.name, sh.text(s)})
	}
	return append(all, block{"pause", pauseText(s)}, block{"failures", failuresText(s)})
}

func environmentText(s *results) string {
	e := s.env
	return fmt.Sprintf("%s; %s; commit %s; %s; rounds: %d; load at the start: %s.\n\nCommand: `%s`\n\nModules: %s.\n",
		e.Machine, e.Go, e.Commit, e.Date, s.rounds, e.Load, e.Command, strings.Join(e.Modules, ", "))
}

func failuresText(s *results) string {
	if len(s.failed) == 0 {
		return "Every cell was measured in every round that it took part in.\n"
	}
	var text strings.Builder
	for _, r := range s.failed {
		fmt.Fprintf(&text, "- round %d, %s, %s, %s: %s\n", r.Round, r.Table, r.Row, r.Who, r.Error)
	}
	return text.String()
}

// text returns the sheet as a table. The best of the contenders of each row is in bold.
func (sh sheet) text(s *results) string {
	whos := slices.DeleteFunc(slices.Clone(s.whos[sh.table]), func(who string) bool { return sh.empty(s, who) })
	if len(whos) == 0 {
		return "Not measured.\n"
	}
	head := slices.Concat([]string{""}, whos)
	for _, r := range sh.ratios {
		head = append(head, r("").head)
	}
	lines := [][]string{head}
	for _, row := range s.rows[sh.table] {
		label := strings.ReplaceAll(row, ",", ", ")
		if sh.label != nil {
			label = sh.label(row)
		}
		cells := []string{label}
		best := sh.bestOf(s, row, whos)
		for _, who := range whos {
			cells = append(cells, sh.cell(s, row, who, best))
		}
		for _, r := range sh.ratios {
			x := r(row)
			cells = append(cells, number("%.2f", s.ratio(x.a, x.b)))
		}
		lines = append(lines, cells)
	}
	return markdown(lines)
}

func (sh sheet) place(row, who string) place { return place{sh.table, row, who, sh.unit} }

func (sh sheet) empty(s *results, who string) bool {
	return !slices.ContainsFunc(s.rows[sh.table], func(row string) bool {
		return len(s.values[sh.place(row, who)]) > 0 || s.didFail(sh.table, row, who)
	})
}

func (sh sheet) cell(s *results, row, who string, best float64) string {
	value := s.value(sh.place(row, who))
	switch {
	case math.IsNaN(value) && s.didFail(sh.table, row, who):
		return "failed"
	case sh.best != nil && isContender(who) && !math.IsNaN(value) && !sh.best(best, value):
		return "**" + number(sh.format, value) + "**"
	}
	return number(sh.format, value)
}

func isContender(who string) bool {
	return !slices.Contains(floors, who) && who != usCoarse && who != usRate
}

// bestOf returns the best figure of the row's contenders, NaN if there is none.
func (sh sheet) bestOf(s *results, row string, whos []string) float64 {
	best := math.NaN()
	for _, who := range whos {
		value := s.value(sh.place(row, who))
		if sh.best != nil && isContender(who) && !math.IsNaN(value) && (math.IsNaN(best) || sh.best(value, best)) {
			best = value
		}
	}
	return best
}

// pauseText is the table of the single calls: for each row and contender a line of quantiles.
func pauseText(s *results) string {
	units := []string{"p50-µs", "p99.9-µs", "p99.999-µs", "max-µs"}
	lines := [][]string{append([]string{"", "limiter"}, units...)}
	for _, row := range s.rows["pause"] {
		for _, who := range s.whos["pause"] {
			cells := []string{strings.ReplaceAll(row, ",", ", "), who}
			for _, unit := range units {
				cells = append(cells, number("%.1f", s.value(place{"pause", row, who, unit})))
			}
			lines = append(lines, cells)
		}
	}
	if len(lines) == 1 {
		return "Not measured.\n"
	}
	return markdown(lines)
}

// number formats a figure; one that is not there is a dash.
func number(format string, x float64) string {
	if math.IsNaN(x) {
		return "—"
	}
	return fmt.Sprintf(format, x)
}

// markdown formats a table whose first line is its head. Columns after the first are flush right.
func markdown(lines [][]string) string {
	var text strings.Builder
	for i, line := range lines {
		fmt.Fprintf(&text, "| %s |\n", strings.Join(line, " | "))
		if i == 0 {
			fmt.Fprintf(&text, "|---|%s\n", strings.Repeat("---:|", len(line)-1))
		}
	}
	return text.String()
}

// insert replaces what stands between the markers of the blocks in the document at path. If there is no such document, it
// begins as the template, or is left alone.
func insert(path string, blocks []block, create bool) error {
	text, err := os.ReadFile(path)
	switch {
	case os.IsNotExist(err) && !create:
		return nil
	case os.IsNotExist(err):
		text = template
	case err != nil:
		return err
	}
	after, err := replace(string(text), blocks)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(after), 0o666)
}

// replace returns the document with the blocks between their markers. A block whose markers are missing is left out.
func replace(document string, blocks []block) (string, error) {
	for _, b := range blocks {
		begin, end := "<!-- bench:"+b.name+" -->\n", "<!-- /bench:"+b.name+" -->"
		head, rest, found := strings.Cut(document, begin)
		if !found {
			continue
		}
		_, foot, found := strings.Cut(rest, end)
		if !found {
			return "", fmt.Errorf("the marker %q has no %q", strings.TrimSpace(begin), end)
		}
		document = head + begin + "\n" + b.text + "\n" + end + foot
	}
	return document, nil
}
