// Bench measures tokenbucket beside its peers and beside the floor under all of them, and writes the tables and the chart
// of BENCHMARKS.md. One command does it all, from the root of the repository:
//
//	go -C bench run .
//
// It takes some 20 minutes on two processors, which should have nothing else to do, and needs some 8 GiB of memory. Every
// cell of the tables is a benchmark of "go test -bench" and runs in a process of its own. All cells run in turn, one round
// after the other, so that a change of the machine's speed hits all alike; ratios are formed within a round; what the tables
// show is the median of the rounds.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

type options struct {
	quick   bool
	list    bool
	only    string
	count   int
	maxKeys int
	from    string
	raw     string
	md      string
	svg     string
	write   bool
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.BoolVar(&o.quick, "quick", false, "one short round without the largest cells, in under two minutes: a trial, not a measurement")
	f.BoolVar(&o.list, "list", false, "list the cells, and measure nothing")
	f.StringVar(&o.only, "only", "", "measure only cells whose name, table/row/contender, matches this `regexp`")
	f.IntVar(&o.count, "count", 5, "how many rounds; waiting takes part in every second, and what has ten million keys in every third")
	f.IntVar(&o.maxKeys, "max-keys", tenMillion, "leave out cells with more keys than this")
	f.StringVar(&o.from, "from", "", "measure nothing, make the tables from this `file` of raw results")
	f.StringVar(&o.raw, "raw", "", "keep the raw results in this `file` (default results.jsonl; with -quick or -only, a temporary file)")
	f.StringVar(&o.md, "md", "../BENCHMARKS.md,../README.md",
		"write the tables between the markers of these `files`; the first is created if need be, others are not")
	f.StringVar(&o.svg, "svg", "../docs/benchmarks.svg", "write the chart to this `file`")
	f.BoolVar(&o.write, "write", false, "write the tables and the chart with -quick or -only, too, instead of only printing the tables")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("arguments %q are not understood; see -help", f.Args())
	}
	if o.count < 1 {
		return o, fmt.Errorf("-count is %d, want 1 or more", o.count)
	}
	if o.quick {
		o.count, o.maxKeys = 1, min(o.maxKeys, million)
	}
	trial := o.quick || o.only != ""
	o.write = o.write || !trial
	if o.raw == "" && trial {
		o.raw = filepath.Join(os.TempDir(), "tokenbucket-bench.jsonl")
	} else if o.raw == "" {
		o.raw = "results.jsonl"
	}
	return o, nil
}

func main() {
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(o, os.Stdout)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o options, out io.Writer) error {
	only, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	var chosen []cell
	for _, c := range cells(size{quick: o.quick, maxKeys: o.maxKeys, procs: procsOf(runtime.GOMAXPROCS(0))}) {
		if only.MatchString(c.name()) {
			chosen = append(chosen, c)
		}
	}
	if o.list {
		for _, c := range chosen {
			fmt.Fprintln(out, c.name())
		}
		return nil
	}
	from := o.from
	if from == "" {
		from = o.raw
		if err := measure(o, chosen); err != nil {
			return err
		}
	}
	set, err := load(from)
	if err != nil {
		return err
	}
	return show(o, set, out)
}

// measure runs the cells round by round and writes the raw results as they come. An interrupt ends it after the cell at
// hand; what there is by then is shown.
func measure(o options, chosen []cell) error {
	r, err := newRunner(o.quick)
	if err != nil {
		return err
	}
	defer r.close()
	file, err := os.Create(o.raw)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := write(file, line{Env: environment(o)}); err != nil {
		return err
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	defer signal.Stop(interrupted)
	start := time.Now()
	todo := schedule(chosen, o.count)
	for i, t := range todo {
		result := r.run(t.cell)
		result.Round = t.round
		fmt.Fprintf(os.Stderr, "%5s  %d/%d  round %d  %s  %s\n",
			time.Since(start).Round(time.Second), i+1, len(todo), t.round, t.cell.name(), result.summary())
		if err := write(file, line{Result: &result}); err != nil {
			return err
		}
		select {
		case <-interrupted:
			fmt.Fprintln(os.Stderr, "bench: interrupted")
			return nil
		default:
		}
	}
	return nil
}

// A turn is a cell in a round.
type turn struct {
	cell  cell
	round int
}

// schedule returns the cells of all rounds.
func schedule(chosen []cell, rounds int) []turn {
	var todo []turn
	for round := 1; round <= rounds; round++ {
		for _, c := range chosen {
			if (round-1)%max(c.every, 1) == 0 {
				todo = append(todo, turn{c, round})
			}
		}
	}
	return todo
}

// show prints the tables, and writes them and the chart where they belong.
func show(o options, set *results, out io.Writer) error {
	blocks := blocks(set)
	for _, b := range blocks {
		fmt.Fprintf(out, "\n## %s\n\n%s", b.name, b.text)
	}
	if !o.write {
		fmt.Fprintf(out, "\nThe raw results are in %s. A trial writes no tables; -write does.\n", o.raw)
		return nil
	}
	for i, path := range strings.Split(o.md, ",") {
		if err := insert(path, blocks, i == 0); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(o.svg), 0o777); err != nil {
		return err
	}
	return os.WriteFile(o.svg, []byte(chart(set)), 0o666)
}
