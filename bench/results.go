package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
)

// A result is what one run of a cell gave: its figures by their units, or an error.
type result struct {
	Round  int                `json:"round"`
	Table  string             `json:"table"`
	Row    string             `json:"row"`
	Who    string             `json:"who"`
	Values map[string]float64 `json:"values,omitempty"`
	Error  string             `json:"error,omitempty"`
}

func (r result) summary() string {
	if r.Error != "" {
		return "FAILED: " + r.Error
	}
	var parts []string
	for _, unit := range slices.Sorted(maps.Keys(r.Values)) {
		parts = append(parts, fmt.Sprintf("%.4g %s", r.Values[unit], unit))
	}
	return strings.Join(parts, ", ")
}

// A line of the file of raw results is the environment, which comes first, or a result.
type line struct {
	Env    *env    `json:"env,omitempty"`
	Result *result `json:"result,omitempty"`
}

func write(w io.Writer, l line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// A place is where a figure stands: a row and a contender of a table, and a unit.
type place struct{ table, row, who, unit string }

// results are the figures of all rounds.
type results struct {
	env    env
	rounds int
	values map[place]map[int]float64 // by round
	failed []result
	rows   map[string][]string // of each table, in the order of their first results
	whos   map[string][]string // likewise, its contenders
}

func load(path string) (*results, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	set, err := read(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return set, nil
}

func read(r io.Reader) (*results, error) {
	set := &results{
		values: make(map[place]map[int]float64), rows: make(map[string][]string), whos: make(map[string][]string),
	}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if l.Env != nil {
			set.env = *l.Env
		}
		if l.Result != nil {
			set.add(*l.Result)
		}
	}
	return set, lines.Err()
}

func (s *results) add(r result) {
	s.rounds = max(s.rounds, r.Round)
	if !slices.Contains(s.rows[r.Table], r.Row) {
		s.rows[r.Table] = append(s.rows[r.Table], r.Row)
	}
	if !slices.Contains(s.whos[r.Table], r.Who) {
		s.whos[r.Table] = append(s.whos[r.Table], r.Who)
	}
	if r.Error != "" {
		s.failed = append(s.failed, r)
		return
	}
	for unit, value := range r.Values {
		p := place{r.Table, r.Row, r.Who, unit}
		if s.values[p] == nil {
			s.values[p] = make(map[int]float64)
		}
		s.values[p][r.Round] = value
	}
}

// value returns the median of a figure over the rounds, NaN if there is none.
func (s *results) value(p place) float64 { return median(slices.Collect(maps.Values(s.values[p]))) }

// ratio returns the median of a/b over the rounds in which both were measured, NaN if there are none.
func (s *results) ratio(a, b place) float64 {
	var ratios []float64
	for round, value := range s.values[a] {
		if other, ok := s.values[b][round]; ok {
			ratios = append(ratios, value/other)
		}
	}
	return median(ratios)
}

func (s *results) didFail(table, row, who string) bool {
	return slices.ContainsFunc(s.failed, func(r result) bool { return r.Table == table && r.Row == row && r.Who == who })
}

// median returns the middle of the values, the mean of the two middle ones if their number is even, NaN if there are none.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	values = slices.Sorted(slices.Values(values))
	return (values[(n-1)/2] + values[n/2]) / 2
}
