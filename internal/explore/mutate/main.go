// Command mutate changes the core in one place at a time, and runs the short tests and the
// scenarios against each of these mutants. It prints the mutants that survive. The sources on disk
// stay as they are.
//
//	go run ./internal/explore/mutate -sample 40            # 40 mutants, chosen by -seed
//	go run ./internal/explore/mutate -files 'word|take'    # all mutants of these files
//	go run ./internal/explore/mutate -list                 # only say what would be done
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/explore/overlay"
)

var (
	sample  = flag.Int("sample", 0, "try so many mutants, chosen at random; 0 for all")
	seed    = flag.Uint64("seed", 1, "chooses the sample")
	files   = flag.String("files", ".", "a pattern of the files to change")
	list    = flag.Bool("list", false, "list the mutants and do not try them")
	timeout = flag.Duration("timeout", 5*time.Minute, "a mutant whose tests take longer counts as killed")
)

// core is the folders and files whose code is changed.
var core = []string{"internal/engine/*.go", "internal/hashtable/*.go", "hold.go", "wait.go", "alarm.go", "reserve.go", "decide.go",
	"tokenbucket.go", "keyed*.go", "lines.go", "entry.go", "table.go", "resize.go", "sweep.go", "overflow.go", "clock.go", "coarseclock.go"}

func main() {
	flag.Parse()
	survived, err := run()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case survived > 0:
		os.Exit(1)
	}
}

func run() (survived int, err error) {
	root, err := overlay.Root()
	if err != nil {
		return 0, err
	}
	mutants, err := all(root)
	if err != nil {
		return 0, err
	}
	if *sample > 0 && *sample < len(mutants) {
		rand.New(rand.NewPCG(*seed, 0)).Shuffle(len(mutants), func(i, j int) { mutants[i], mutants[j] = mutants[j], mutants[i] })
		mutants = mutants[:*sample]
	}
	excused := excuses()
	tried, killed := 0, 0
	for _, m := range mutants {
		if *list {
			fmt.Println(m)
			continue
		}
		by, err := m.try(root)
		if err != nil {
			return survived, err
		}
		if by == alive && excused[m.name()] {
			by = equivalent
		}
		fmt.Printf("%-10s %v\n", by, m)
		switch by {
		case invalid, equivalent:
		case alive:
			tried, survived = tried+1, survived+1
		default:
			tried, killed = tried+1, killed+1
		}
	}
	if tried > 0 {
		fmt.Printf("%d of %d mutants killed: %.1f %%\n", killed, tried, 100*float64(killed)/float64(tried))
	}
	return survived, nil
}

// all returns the mutants of the core.
func all(root string) ([]*mutant, error) {
	wanted, err := regexp.Compile(*files)
	if err != nil {
		return nil, err
	}
	var mutants []*mutant
	for _, pattern := range core {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			rel, err := filepath.Rel(root, name)
			if err != nil {
				return nil, err
			}
			if strings.HasSuffix(name, "_test.go") || !wanted.MatchString(rel) {
				continue
			}
			src, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			of, err := mutantsOf(filepath.ToSlash(rel), src)
			if err != nil {
				return nil, err
			}
			mutants = append(mutants, of...)
		}
	}
	return mutants, nil
}

// The fates of a mutant.
const (
	invalid    = "invalid"    // it does not compile
	equivalent = "equivalent" // it survives, and that does not matter; see equivalent.txt
	alive      = "SURVIVES"
	tests      = "tests"     // killed by the short tests
	explore    = "schedules" // killed by the scenarios
)

//go:embed equivalent.txt
var equivalentList string

// excuses returns the mutants that may survive, by name. In the file each follows the reason, which
// is a comment.
func excuses() map[string]bool {
	known := make(map[string]bool)
	for line := range strings.Lines(equivalentList) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			known[line] = true
		}
	}
	return known
}

// try runs the tests against the mutant, the scenarios first, because they are the faster ones.
func (m *mutant) try(root string) (fate string, err error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	list, err := m.overlay(root, dir)
	if err != nil {
		return "", err
	}
	b := &overlay.Builder{Root: root, Dir: dir, Replace: map[string][]byte{m.file: m.src}}
	program, err := b.Test()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return invalid, nil
	case err != nil:
		return "", err
	}
	if command(root, program, "-test.short", "-test.failfast") != nil {
		return explore, nil
	}
	if command(root, "go", "test", "-short", "-vet=off", "-failfast", "-overlay", list, ".", "./internal/engine", "./internal/hashtable") != nil {
		return tests, nil
	}
	return alive, nil
}

// overlay writes the mutant, and the file for go build's -overlay.
func (m *mutant) overlay(root, dir string) (string, error) {
	src, list := filepath.Join(dir, "mutant.txt"), filepath.Join(dir, "mutant.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, m.file): src}})
	if err != nil {
		return "", err
	}
	return list, errors.Join(os.WriteFile(src, m.src, 0o600), os.WriteFile(list, text, 0o600))
}

// command runs a program and returns an error if it fails, or does not end in time.
func command(dir, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	return cmd.Run()
}
