// Package faults tests the explorer: it plants faults into the packages under test, and the
// scenarios have to find each of them.
package faults

import (
	"errors"
	"os/exec"
	"regexp"
	"testing"

	"github.com/go-tokenbucket/tokenbucket/internal/explore/overlay"
)

// A fault is a change of the source that only shows under some schedules.
type fault struct {
	name    string
	patches []overlay.Patch
	finder  string // the scenario that finds it, as a pattern for -run
}

// schedule is how a scenario says that it has failed.
var schedule = regexp.MustCompile(`schedule: (\S+)`)

func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("each fault takes a build of the scenarios")
	}
	root, err := overlay.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			b := &overlay.Builder{Root: root, Dir: t.TempDir(), Patches: f.patches}
			program, err := b.Test()
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(program, "-test.run", f.finder, "-test.failfast", "-preemptions", "2").CombinedOutput()
			var exit *exec.ExitError
			found := schedule.FindSubmatch(out)
			if !errors.As(err, &exit) || found == nil {
				t.Fatalf("%s does not find it: %v\n%s", f.finder, err, out)
			}
			t.Logf("found under schedule %s", found[1])
		})
	}
}
