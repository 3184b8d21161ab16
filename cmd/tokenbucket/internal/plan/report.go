package plan

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/cli"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/terminal"
)

// print prints the report.
func (p *plan) print() error {
	var b bytes.Buffer
	if p.json {
		p.writeJSON(&b)
	} else {
		p.writeText(&b)
	}
	_, err := p.Out.Write(b.Bytes())
	if cli.IsClosedPipe(err) {
		return nil
	}
	return err
}

// worstFirst returns the followed keys, those with the most denials first.
func (r *replay) worstFirst() []*followed {
	return slices.SortedFunc(maps.Values(r.keys), func(x, y *followed) int {
		return cmp.Or(cmp.Compare(y.denied, x.denied), cmp.Compare(y.requests(), x.requests()), cmp.Compare(x.name, y.name))
	})
}

func (p *plan) writeText(b *bytes.Buffer) {
	r := p.replay
	p.reportInput(b)
	keys, total := r.worstFirst(), newSummary(r)
	p.reportTable(b, keys, total)

	fmt.Fprintln(b)
	if total.wait > 0 {
		fmt.Fprintf(b, "longest wait if clients wait: %s, at %s", showWait(total.wait), p.showTime(total.worst.demand.mostAt))
		if p.key.isSet() {
			fmt.Fprintf(b, ", of %s", terminal.Printable(total.worst.name))
		}
		fmt.Fprintln(b)
	} else {
		fmt.Fprintln(b, "longest wait if clients wait: none")
	}
	fmt.Fprintf(b, "smallest burst at %v that denies nothing: %v\n", r.limit.Rate, total.burst)
	fmt.Fprintf(b, "smallest rate at burst %d that denies nothing: %s\n", r.limit.Burst, showSlope(r.steepest))
	if n := r.rest.requests(); n > 0 {
		fmt.Fprintf(b, "These three leave out the %s of the keys beyond -maxkeys %d.\n", terminal.Plural(n, "request"), p.maxKeys)
	}
	if r.assumed > 0 {
		fmt.Fprintf(b, "%s of them had no room for a bucket and count as allowed: the denials are a lower bound.\n",
			terminal.Plural(r.assumed, "request"))
	}
	switch {
	case r.spread != nil:
		fmt.Fprintln(b, "The requests of each second were spread evenly within it (-spread).")
	case !r.fraction && r.steepest.atOnce > 1:
		fmt.Fprintln(b, "All times are whole seconds: with -spread, the requests of each second are spread evenly within it.")
	}
}

func (p *plan) reportInput(b *bytes.Buffer) {
	r := p.replay
	fmt.Fprint(b, terminal.Plural(r.seq, "request"))
	if p.key.isSet() {
		more := ""
		if r.rest.requests() > 0 {
			more = "more than "
		}
		fmt.Fprintf(b, " of %s%s", more, terminal.Plural(int64(len(r.keys)), "key"))
	}
	fmt.Fprintf(b, " in %v, from %s to %s", time.Duration(r.last-r.first), p.showTime(r.first), p.showTime(r.last))
	if p.leftOut.Count > 0 {
		fmt.Fprintf(b, "; %s left out", terminal.Plural(p.leftOut.Count, "line"))
	}
	fmt.Fprintf(b, "\nlimit %v", r.limit)
	if p.key.isSet() {
		fmt.Fprintf(b, " for each key")
	}
	fmt.Fprint(b, "\n\n")
}

// summary is the result of the replay over all keys.
type summary struct {
	allowed, denied int64
	worst           *followed // the one that needs the most
	wait            time.Duration
	burst           *big.Int
}

func newSummary(r *replay) summary {
	s := summary{allowed: r.rest.allowed, denied: r.rest.denied}
	for _, k := range r.keys {
		s.allowed += k.allowed
		s.denied += k.denied
		worse := s.worst == nil || s.worst.demand.most.less(k.demand.most)
		if worse || s.worst.demand.most == k.demand.most && k.name < s.worst.name {
			s.worst = k
		}
	}
	s.wait, s.burst = s.worst.demand.wait(r.scale), s.worst.demand.burst(r.scale)
	return s
}

func (p *plan) reportTable(b *bytes.Buffer, keys []*followed, total summary) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, allowed, denied int64, wait time.Duration, burst any) {
		n := allowed + denied
		fmt.Fprintf(w, "%d\t%d\t%d\t%.1f%%\t%s\t%v\t  %s\n", n, allowed, denied, percent(denied, n), showWait(wait), burst, name)
	}
	fmt.Fprintln(w, "requests\tallowed\tdenied\t\tlongest wait\tburst needed\t")
	if p.key.isSet() {
		shown := keys[:min(p.top, len(keys))]
		for _, k := range shown {
			row(terminal.Printable(k.name), k.allowed, k.denied, k.demand.wait(p.scale), k.demand.burst(p.scale))
		}
		rest := p.replay.rest
		for _, k := range keys[len(shown):] {
			rest.allowed += k.allowed
			rest.denied += k.denied
		}
		if rest.requests() > 0 {
			fmt.Fprintf(w, "%d\t%d\t%d\t%.1f%%\t\t\t  other keys\n", rest.requests(), rest.allowed, rest.denied,
				percent(rest.denied, rest.requests()))
		}
	}
	row("all", total.allowed, total.denied, total.wait, total.burst)
	w.Flush()
}

func percent(part, whole int64) float64 { return 100 * float64(part) / float64(whole) }

func (p *plan) showTime(ns int64) string {
	return time.Unix(0, ns).In(p.replay.zone).Format(time.RFC3339Nano)
}

func showWait(d time.Duration) string {
	switch {
	case d == tokenbucket.Never:
		return "more than 292 years"
	case d < time.Second:
		return d.String()
	}
	return d.Round(time.Millisecond).String()
}

// showSlope formats the smallest rate as -rate accepts it: in few digits, rounded up if need be,
// with the exact rate beside it.
func showSlope(s steepest) string {
	switch exact := s.rate(); {
	case s.ns == 0:
		return fmt.Sprintf("inf: %d requests came at one instant", s.atOnce)
	case s.tokens == 0:
		return "0: no key ever had more requests than the burst"
	default:
		text, rounded := roundUp(s.slope)
		if rounded {
			text += fmt.Sprintf(" (exactly %v)", exact)
		}
		if s.thinned {
			text = "at least " + text
		}
		return text
	}
}

// roundUp returns s as a decimal of four digits, rounded up, per second, minute or hour: the first
// of these units in which it is 1 or more.
func roundUp(s slope) (text string, rounded bool) {
	units := []struct {
		name string
		d    time.Duration
	}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}}
	var x *big.Rat
	var unit string
	for _, u := range units {
		unit = u.name
		x = new(big.Rat).SetFrac(new(big.Int).SetUint64(s.tokens), new(big.Int).SetUint64(s.ns))
		if x.Mul(x, new(big.Rat).SetInt64(int64(u.d))); x.Cmp(big.NewRat(1, 1)) >= 0 {
			break
		}
	}
	f, _ := x.Float64()
	decimals := max(0, 3-int(math.Floor(math.Log10(f))))
	shift := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil))
	up := new(big.Rat).Mul(x, shift)
	n := new(big.Int).Add(up.Num(), up.Denom())
	n.Sub(n, big.NewInt(1)).Quo(n, up.Denom())
	rate := new(big.Rat).SetInt(n)
	rate.Quo(rate, shift)
	text = rate.FloatString(decimals)
	if decimals > 0 {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + "/" + unit, rate.Cmp(x) != 0
}
