package main

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// A cell is one measurement: a contender at one piece of work. It is a benchmark, BenchmarkCell/table/row/who, which the
// program runs in a process of its own: so it finds a clean heap and leaves nothing behind, neither garbage for the next
// one to collect nor goroutines that some peers never stop.
type cell struct {
	table string // what it belongs to: the rows of a table are compared with each other
	row   string
	who   string
	time  string // -test.benchtime: a duration, or 1x for a cell that measures itself
	every int    // takes part in every so many rounds, the first included; 0 is like 1

	// prepare makes what the benchmark needs, once: a benchmark may be called several times, for more and more ops.
	prepare func() func(b *testing.B)
}

// name returns the name of the benchmark below BenchmarkCell: three parts without spaces.
func (c cell) name() string {
	tidy := strings.NewReplacer(" ", "_", "/", ".").Replace
	return tidy(c.table) + "/" + tidy(c.row) + "/" + tidy(c.who)
}

// A size says how much is measured.
type size struct {
	quick   bool
	maxKeys int   // cells with more keys are left out
	procs   []int // 1, 2, 4 ... GOMAXPROCS
}

// cells returns all measurements, those to be compared with each other side by side.
func cells(s size) []cell {
	var all []cell
	all = append(all, bucketCells(s)...)
	all = append(all, keyedCells(s)...)
	all = append(all, fillCells(s)...)
	all = append(all, pauseCells(s)...)
	all = append(all, waitCells(s)...)
	all = append(all, cancelCells(s)...)
	all = append(all, redisCells(s)...)
	seen := make(map[string]bool)
	for _, c := range all {
		if seen[c.name()] {
			panic(fmt.Sprintf("bench: two cells are called %s", c.name()))
		}
		seen[c.name()] = true
	}
	return all
}

// procsOf returns 1, 2, 4 ... and n itself.
func procsOf(n int) []int {
	var procs []int
	for p := 1; p < n; p *= 2 {
		procs = append(procs, p)
	}
	return append(procs, n)
}

// batch is how many calls one op of a benchmark makes: enough to hide the cost of counting ops.
const batch = 256

// report replaces the time of an op by that of a call.
func report(b *testing.B, calls int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(calls), "ns/op")
}

// setProcs sets the number of processors for the rest of the benchmark.
func setProcs(b *testing.B, procs int) {
	before := runtime.GOMAXPROCS(procs)
	b.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

func pick[T any](yes bool, a, b T) T {
	if yes {
		return a
	}
	return b
}
