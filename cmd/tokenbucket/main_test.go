//go:build unix

// The scripts need a shell and signals.

package main

import (
	"bytes"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/pipe"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/plan"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/run"
)

// TestMain makes this binary the command too: the scripts run it as a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tokenbucket": main})
}

func TestScripts(t *testing.T) {
	data, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	// A runner that was started in the background, or by nohup, ignores these signals, and so would
	// all that it starts. What a process catches, the processes that it starts do not ignore.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, os.Interrupt, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(caught) })
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("DATA", data)
			e.Setenv("TERM", "xterm")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"waitlines": waitLines,
			"waitsize":  waitSize,
			"status":    status,
			"tear":      tear,
			"ended":     ended,
			"fill":      fill,
		},
	})
}

// A minute is for machines that are very busy; what waits looks every few milliseconds.
func eventually(ts *testscript.TestScript, what string, ok func() bool) {
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("after a minute still not: %s", what)
		}
	}
}

// waitLines FILE N waits until the file has N lines or more.
func waitLines(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	eventually(ts, strings.Join(args, " has lines: "), func() bool {
		b, _ := os.ReadFile(ts.MkAbs(args[0]))
		return bytes.Count(b, []byte("\n")) >= n
	})
}

// waitSize FILE N waits until the file has N bytes or more.
func waitSize(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	eventually(ts, strings.Join(args, " has bytes: "), func() bool {
		info, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil && info.Size() >= n
	})
}

// status N CMD... is exec for a command that must exit with N.
func status(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status is %d, want %d", got, want)
	}
}

// tear FILE N cuts N bytes off the end of the file.
func tear(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := ts.ReadFile(args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b[:len(b)-n]), 0o666))
}

// ended FILE waits until the processes whose numbers are in the file are no more.
func ended(ts *testscript.TestScript, _ bool, args []string) {
	for _, pid := range strings.Fields(ts.ReadFile(args[0])) {
		eventually(ts, "process "+pid+" has ended", func() bool {
			// A process that has ended and that nobody has waited for is still there, as a zombie.
			state, err := exec.Command("ps", "-o", "stat=", "-p", pid).Output()
			return err != nil || strings.HasPrefix(strings.TrimSpace(string(state)), "Z")
		})
	}
}

// fill FILE N TEXT writes N times the text, in which %d is the number, from 1.
func fill(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var b bytes.Buffer
	text, err := strconv.Unquote(`"` + args[2] + `"`)
	ts.Check(err)
	for i := range n {
		b.WriteString(strings.ReplaceAll(text, "%d", strconv.Itoa(i+1)))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o666))
}

// The examples of -h must work when they are pasted.
func TestHelpExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("the examples last seconds")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir() // what testscript makes is only on the path of the scripts
	if err := os.Symlink(exe, filepath.Join(bin, "tokenbucket")); err != nil {
		t.Fatal(err)
	}
	for _, help := range []string{run.Help.Text, pipe.Help.Text, plan.Help.Text} {
		_, examples, _ := strings.Cut(help, "Examples:\n")
		for _, line := range regexp.MustCompile(`(?m)^  .*tokenbucket .*$`).FindAllString(examples, -1) {
			line = strings.TrimSpace(line)
			if strings.Contains(line, "/var/log") {
				continue // it needs a server's log
			}
			t.Run(line, func(t *testing.T) {
				t.Parallel()
				cmd := exec.Command("sh", "-c", line)
				if cmd.Dir = t.TempDir(); os.WriteFile(filepath.Join(cmd.Dir, "file"), nil, 0o666) != nil {
					t.Fatal("no file to find")
				}
				cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
				var out, errs bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &errs
				if err := cmd.Run(); err != nil || out.Len() == 0 && !strings.Contains(line, "test") || errs.Len() > 0 {
					t.Errorf("%v, output %q, errors %q", err, out.Bytes(), errs.Bytes())
				}
			})
		}
	}
}
