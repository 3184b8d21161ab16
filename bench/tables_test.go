package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, x := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 100}, 3}} {
		if got := median(x.values); got != x.want {
			t.Errorf("median(%v) = %v, want %v", x.values, got, x.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing is %v, want NaN", got)
	}
}

func TestQuantile(t *testing.T) {
	for share, want := range map[float64]int{0: 0, 0.5: 50, 0.99: 99, 1: 99} {
		if got := quantile(100, share); got != want {
			t.Errorf("quantile(100, %v) = %d, want %d", share, got, want)
		}
	}
}

func TestValues(t *testing.T) {
	got, err := values("goos: linux\nBenchmarkCell/fill/1000,string/tokenbucket-2 \t 1\t 41.5 B/key\t 0.5 gc-ms\nPASS\n")
	if err != nil || len(got) != 2 || got["B/key"] != 41.5 || got["gc-ms"] != 0.5 {
		t.Errorf("values = %v, %v", got, err)
	}
	for _, out := range []string{"PASS\n", "BenchmarkCell/a/b/c 1 x ns/op\n"} {
		if got, err := values(out); err == nil {
			t.Errorf("values(%q) = %v, want an error", out, got)
		}
	}
}

func TestPattern(t *testing.T) {
	c := cell{table: "wait", row: "1000,100 (burst 10 ms)", who: "x/time/rate"}
	want := `^BenchmarkCell$/^wait$/^1000,100_\(burst_10_ms\)$/^x\.time\.rate$`
	if got := pattern(c); got != want {
		t.Errorf("pattern = %s, want %s", got, want)
	}
}

// sample has two rounds of a machine that became twice as slow, and a cell that failed.
func sample(t *testing.T) *results {
	t.Helper()
	var raw strings.Builder
	emit := func(l line) {
		if err := write(&raw, l); err != nil {
			t.Fatal(err)
		}
	}
	emit(line{Env: &env{Machine: "a <quick> machine", Procs: 2, Commit: "abc"}})
	for round := 1; round <= 2; round++ {
		for who, ns := range map[string]float64{floorSince: 20, us: 25, xtime: 100, juju: 24} {
			emit(line{Result: &result{Round: round, Table: "bucket", Row: "allow,serial", Who: who,
				Values: map[string]float64{"ns/op": ns * float64(round)}}})
		}
		emit(line{Result: &result{Round: round, Table: "bucket", Row: "allow,serial", Who: failsafe, Error: "exit status 2"}})
	}
	set, err := read(strings.NewReader(raw.String()))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestRatioIsFormedWithinARound(t *testing.T) {
	set := sample(t)
	a, b := ns("bucket", "allow,serial", us), ns("bucket", "allow,serial", floorSince)
	if got := set.ratio(a, b); got != 1.25 {
		t.Errorf("ratio = %v, want 1.25", got)
	}
	if got := set.value(a); got != 37.5 {
		t.Errorf("value = %v, want the median 37.5", got)
	}
	if got := set.ratio(a, ns("bucket", "allow,serial", uberName)); !math.IsNaN(got) {
		t.Errorf("ratio to what was not measured is %v, want NaN", got)
	}
}

func TestTables(t *testing.T) {
	set := sample(t)
	text := make(map[string]string)
	for _, b := range blocks(set) {
		text[b.name] = b.text
	}
	for name, wants := range map[string][]string{
		"bucket":   {"**36.0**", " 37.5 ", " failed ", " 1.25 ", " 4.00 "},
		"keyed":    {"Not measured"},
		"failures": {"round 1, bucket, allow,serial, failsafe-go: exit status 2"},
		"short":    {"| tokenbucket | 38 | — |", "| juju | **36** |"},
		"targets": {
			"| allow, serial ÷ time.Since | 1.25 | at most 1.25 | met |",
			"| fastest peer ÷ allow, serial | 0.96 | at least 1 | missed |",
		},
	} {
		for _, want := range wants {
			if !strings.Contains(text[name], want) {
				t.Errorf("the block %s lacks %q:\n%s", name, want, text[name])
			}
		}
	}
	if strings.Contains(text["bucket"], "**30.0**") {
		t.Error("a floor is shown as the winner")
	}
}

func TestInsert(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	all := blocks(sample(t))
	if err := insert(path, all, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatalf("insert made a page that was not to be made: %v", err)
	}
	var last string
	for range 2 { // the second time changes nothing
		if err := insert(path, all, true); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if last != "" && last != string(text) {
			t.Error("inserting twice is not the same as once")
		}
		last = string(text)
	}
	for _, b := range all {
		if !strings.Contains(last, b.text) && b.name != "short" {
			t.Errorf("the template has no place for the block %s", b.name)
		}
	}
	if _, err := replace("<!-- bench:short -->\nbut no end", all); err == nil {
		t.Error("a marker without an end is not noticed")
	}
}

func TestChart(t *testing.T) {
	svg := chart(sample(t))
	decoder := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the chart is no XML: %v\n%s", err, svg)
		}
	}
	for _, want := range []string{"a &lt;quick&gt; machine", ">juju</text>", "class=\"ours\"", "time.Since 30 ns"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the chart lacks %q", want)
		}
	}
}

func TestSchedule(t *testing.T) {
	todo := schedule([]cell{{row: "light"}, {row: "heavy", every: 2}}, 5)
	count := make(map[string]int)
	for i, turn := range todo {
		count[turn.cell.row]++
		if i > 0 && turn.round < todo[i-1].round {
			t.Error("the rounds are not one after the other")
		}
	}
	if count["light"] != 5 || count["heavy"] != 3 {
		t.Errorf("turns are %v, want 5 light and 3 heavy", count)
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-quick", "-count", "7"})
	if err != nil || o.count != 1 || o.write || o.maxKeys != million {
		t.Errorf("parse = %+v, %v", o, err)
	}
	for _, args := range [][]string{{"-count", "0"}, {"stray"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("parse(%q) gives no error", args)
		}
	}
}
