package scenarios

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket/internal/explore"
	"github.com/go-tokenbucket/tokenbucket/internal/explore/overlay"
)

var (
	everything  = flag.Bool("explore", os.Getenv("EXPLORE") != "", "explore every scenario to its full bound")
	preemptions = flag.Int("preemptions", -1, "explore to this number of preemptions, instead of the usual one")
	schedule    = flag.String("schedule", "", "replay this schedule; use it with -run")
	unreduced   = flag.Bool("unreduced", false, "explore without reduction, to see what it saves")
)

// TestMain builds the test anew, with the packages under test instrumented, and runs that.
func TestMain(m *testing.M) {
	flag.Parse()
	if instrumented {
		debug.SetGCPercent(400)
		os.Exit(m.Run())
	}
	code, err := runInstrumented()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runInstrumented() (int, error) {
	root, err := overlay.Root()
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "explore")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	b := &overlay.Builder{Root: root, Dir: dir}
	program, err := b.Test()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(program, os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	} else if err != nil {
		return 0, err
	}
	return 0, nil
}

// bound returns the preemptions to which a scenario is explored, whose full bound is most.
func bound(most int) int {
	switch {
	case *preemptions >= 0:
		return *preemptions
	case *everything:
		return most
	case testing.Short():
		return 1
	}
	return 2
}

// search explores a scenario, or replays a schedule of it. known is a fault that it is known to show.
func search(t *testing.T, most int, known string, setup func(x *explore.Execution)) {
	t.Helper()
	s := &explore.Search{Preemptions: bound(most), Reduce: !*unreduced}
	if *schedule != "" {
		chosen, err := explore.ParseSchedule(*schedule)
		if err != nil {
			t.Fatal(err)
		}
		f := s.Replay(setup, chosen)
		t.Log("\n" + f.Trace)
		if f.Reason != "" {
			t.Error(f.Reason)
		}
		return
	}
	start := time.Now()
	stats, failure := s.Run(setup)
	switch {
	case failure != nil && known != "":
		t.Skipf("known fault, schedule %v: %s", failure.Schedule, known)
	case failure != nil:
		t.Errorf("%v\nreplay: go test ./internal/explore/scenarios -run '%s' -schedule %v", failure, t.Name(), failure.Schedule)
	case known != "" && s.Preemptions > 0:
		t.Errorf("it does not show any more: %s; take the note away", known)
	}
	t.Logf("%d preemptions, %v, %v", s.Preemptions, stats, time.Since(start).Round(time.Millisecond))
}
