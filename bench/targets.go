package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A target is what the library has to reach: a figure and its bound.
type target struct {
	what   string
	figure func(s *results) float64
	atMost bool
	bound  float64
}

func (t target) met(x float64) bool { return t.atMost && x <= t.bound || !t.atMost && x >= t.bound }

func ns(table, row, who string) place { return place{table, row, who, "ns/op"} }

// of returns the ratio of two figures.
func of(a, b place) func(s *results) float64 {
	return func(s *results) float64 { return s.ratio(a, b) }
}

// best returns how many times the figure at p the best peer of its row needs.
func best(p place) func(s *results) float64 {
	return func(s *results) float64 {
		least := math.NaN()
		for _, who := range s.whos[p.table] {
			if !isContender(who) || who == us {
				continue
			}
			if r := s.ratio(place{p.table, p.row, who, p.unit}, p); !math.IsNaN(r) && !(r > least) {
				least = r
			}
		}
		return least
	}
}

// targets are those of a single bucket, of keys, of waiting, and of what processes share.
func targets() []target {
	return slices.Concat(bucketTargets(), keyedTargets(), waitTargets(), redisTargets())
}

func bucketTargets() []target {
	var all []target
	for _, work := range []string{"allow", "deny"} {
		at := func(who string) place { return ns("bucket", work+",serial", who) }
		all = append(all,
			target{work + ", serial ÷ time.Since", of(at(us), at(floorSince)), true, 1.25},
			target{"x/time/rate ÷ " + work + ", serial", of(at(xtime), at(us)), false, 2.5},
			target{"fastest peer ÷ " + work + ", serial", best(at(us)), false, 1},
		)
	}
	hot := func(who string) place { return ns("bucket", "allow,hot,2", who) }
	return append(all,
		target{"x/time/rate ÷ allow, hot on 2", of(hot(xtime), hot(us)), false, 3},
		target{"deny, hot on 2: throughput ÷ serial",
			of(ns("bucket", "deny,serial", us), ns("bucket", "deny,hot,2", us)), false, 1.7},
		target{"allow on a coarse clock, serial ÷ compare-and-swap",
			of(ns("bucket", "allow,serial", usCoarse), ns("bucket", "allow,serial", floorCAS)), true, 3},
	)
}

func keyedTargets() []target {
	var all []target
	for _, n := range []int{1000, million} {
		row := fmt.Sprintf("%d,string,uniform,", n)
		serial, two := ns("keyed", row+"serial", us), ns("keyed", row+"parallel,2", us)
		allocs := place{"keyed", row + "serial", us, "allocs/op"}
		all = append(all,
			target{fmt.Sprintf("hit, %d keys, serial ÷ map and time.Since", n), of(serial, ns("keyed", row+"serial", floorMap)), true, 1.3},
			target{fmt.Sprintf("hit, %d keys, on 2: throughput ÷ serial", n), of(serial, two), false, 1.7},
			target{fmt.Sprintf("fastest peer ÷ hit, %d keys, serial", n), best(serial), false, 1},
			target{fmt.Sprintf("fastest peer ÷ hit, %d keys, on 2", n), best(two), false, 1},
			target{fmt.Sprintf("hit, %d keys: allocations", n), func(s *results) float64 { return s.value(allocs) }, true, 0},
		)
	}
	for _, n := range []int{million, tenMillion} {
		at := func(who, unit string) place { return place{"fill", fmt.Sprintf("%d,string", n), who, unit} }
		memory := func(other string) func(s *results) float64 {
			return func(s *results) float64 { return s.value(at(us, "B/key")) / s.value(at(other, "B/key")) }
		}
		bare := func(s *results) float64 {
			return (s.value(at(us, "B/key")) - copiedText) / (s.value(at(mutexMap, "B/key")) - float64(keySize))
		}
		all = append(all,
			target{fmt.Sprintf("bytes per key, %d keys ÷ map[string]uint64", n), memory(floorMap), true, 1.5},
			target{fmt.Sprintf("bytes per key, %d keys ÷ map[string]*rate.Limiter", n), memory(mutexMap), true, 0.5},
			target{fmt.Sprintf("the same, without the bytes of the strings, %d keys", n), bare, true, 0.5},
			target{fmt.Sprintf("new key, %d keys ÷ insert into a map", n), of(at(us, "ns/op"), at(floorMap, "ns/op")), true, 2},
		)
	}
	worst := place{"pause", fmt.Sprintf("%d,without GC", tenMillion), us, "p99.999-µs"}
	return append(all, target{"churn at 10000000 keys: µs of a call, p99.999", func(s *results) float64 { return s.value(worst) }, true, 1000})
}

func waitTargets() []target {
	at := func(row, who, unit string) place { return place{"wait", row, who, unit} }
	over := func(figure func(s *results, row string) float64) func(s *results) float64 {
		return func(s *results) float64 {
			worst := math.NaN()
			for _, row := range s.rows["wait"] {
				if x := figure(s, row); !math.IsNaN(x) && !(x < worst) {
					worst = x
				}
			}
			return worst
		}
	}
	keepsRate := func(s *results, row, who string) bool { return math.Abs(s.value(at(row, who, "%"))-100) <= 5 }
	return []target{
		{"waiting: furthest from 100 % of the rate, in %", over(func(s *results, row string) float64 {
			return math.Abs(s.value(at(row, us, "%")) - 100)
		}), true, 0.5},
		{"waiting: processor time per grant ÷ that of x/time/rate, worst row where it keeps the rate", over(func(s *results, row string) float64 {
			if !keepsRate(s, row, xtime) {
				return math.NaN()
			}
			return s.ratio(at(row, us, "cpu-s/M"), at(row, xtime, "cpu-s/M"))
		}), true, 1},
	}
}

func redisTargets() []target {
	var all []target
	for _, work := range redisWork {
		row := work.row
		fastest := func(who string) func(s *results) float64 {
			return func(s *results) float64 {
				at := func(who string) place { return ns("redis", row, who) }
				rate, other := s.ratio(at(redisRate), at(who)), s.ratio(at(throttle), at(who))
				if math.IsNaN(other) { // it fails when callers of one key are many
					return rate
				}
				return min(rate, other)
			}
		}
		label := "redis, " + strings.ReplaceAll(row, ",", ", ") + ": fastest peer ÷ "
		all = append(all, target{label + "exact", fastest(usExact), false, 1}, target{label + "leased", fastest(usLeased), false, 20})
	}
	return all
}

func targetsText(s *results) string {
	lines := [][]string{{"", "measured", "target", ""}}
	for _, t := range targets() {
		x := t.figure(s)
		if math.IsNaN(x) {
			continue
		}
		sign, verdict := "at least ", "missed"
		if t.atMost {
			sign = "at most "
		}
		if t.met(x) {
			verdict = "met"
		}
		lines = append(lines, []string{t.what, number("%.2f", x), sign + fmt.Sprint(t.bound), verdict})
	}
	if len(lines) == 1 {
		return "None was measured.\n"
	}
	return markdown(lines)
}

// shortText is the table for the README: what most readers ask for.
func shortText(s *results) string {
	last := s.env.Procs
	columns := []struct {
		head  string
		place place
	}{
		{"allow, ns", ns("bucket", "allow,serial", "")},
		{"deny, ns", ns("bucket", "deny,serial", "")},
		{fmt.Sprintf("allow on %d processors, ns", last), ns("bucket", fmt.Sprintf("allow,hot,%d", last), "")},
		{"of a million keys, ns", ns("keyed", "1000000,string,uniform,serial", "")},
		{"bytes a key", place{"fill", "1000000,string", "", "B/key"}},
	}
	head := []string{"limiter"}
	for _, c := range columns {
		head = append(head, c.head)
	}
	lines := [][]string{head}
	for _, who := range []string{us, xtime, juju, failsafe, uberName, mutexMap, syncMap, goLimiter, throttle, chi, floorSince, floorMap} {
		cells := []string{who}
		for _, c := range columns {
			sh := sheet{table: c.place.table, unit: c.place.unit, format: "%.0f", best: less}
			cells = append(cells, sh.cell(s, c.place.row, who, sh.bestOf(s, c.place.row, s.whos[c.place.table])))
		}
		if strings.Join(cells[1:], "") != strings.Repeat("—", len(columns)) {
			lines = append(lines, cells)
		}
	}
	return markdown(lines)
}
