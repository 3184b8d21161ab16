package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A runner runs cells, each in a process of the compiled test binary.
type runner struct {
	dir    string
	binary string
	quick  bool
}

// cellTimeout ends a cell that hangs. The slowest takes some half a minute.
const cellTimeout = 5 * time.Minute

// newRunner builds the test binary of the module in the working directory.
func newRunner(quick bool) (*runner, error) {
	dir, err := os.MkdirTemp("", "tokenbucket-bench-")
	if err != nil {
		return nil, err
	}
	r := &runner{dir: dir, binary: filepath.Join(dir, "bench.test"), quick: quick}
	build := exec.Command("go", "test", "-c", "-o", r.binary, ".")
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		r.close()
		return nil, fmt.Errorf("%s: %w; run it in the folder bench\n%s", build, err, out)
	}
	return r, nil
}

func (r *runner) close() { _ = os.RemoveAll(r.dir) }

// run runs a cell. What goes wrong is part of the result.
func (r *runner) run(c cell) result {
	ctx, cancel := context.WithTimeout(context.Background(), cellTimeout)
	defer cancel()
	args := []string{"-test.run=^$", "-test.bench=" + pattern(c), "-test.benchtime=" + c.time, "-test.timeout=0"}
	if r.quick {
		args = append(args, "-test.short")
	}
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, r.binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	res := result{Table: c.table, Row: c.row, Who: c.who}
	if ctx.Err() != nil {
		err = fmt.Errorf("it took more than %v", cellTimeout)
	}
	if err == nil {
		res.Values, err = values(out.String())
	} else {
		err = fmt.Errorf("%w: %s", err, tail(out.String()+stderr.String()))
	}
	if err != nil {
		res.Error = err.Error()
	}
	return res
}

// pattern returns the -test.bench pattern for a cell alone.
func pattern(c cell) string {
	parts := []string{"^BenchmarkCell$"}
	for part := range strings.SplitSeq(c.name(), "/") {
		parts = append(parts, "^"+regexp.QuoteMeta(part)+"$")
	}
	return strings.Join(parts, "/")
}

// values reads the figures from the output of a benchmark: a line of the name, the number of ops, and pairs of a value and
// its unit.
func values(out string) (map[string]float64, error) {
	for text := range strings.Lines(out) {
		fields := strings.Fields(text)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "BenchmarkCell/") {
			continue
		}
		found := make(map[string]float64)
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("in %q: %w", strings.TrimSpace(text), err)
			}
			found[fields[i+1]] = value
		}
		return found, nil
	}
	return nil, errors.New("no figures: " + tail(out))
}

// tail returns the end of a text, in one line.
func tail(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 500 {
		text = "... " + text[len(text)-500:]
	}
	return text
}
