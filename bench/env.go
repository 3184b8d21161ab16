package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// An env is where and how something was measured.
type env struct {
	Machine string   `json:"machine"`
	Procs   int      `json:"procs"`
	Go      string   `json:"go"`
	Command string   `json:"command"`
	Commit  string   `json:"commit"`
	Date    string   `json:"date"`
	Load    string   `json:"load,omitempty"` // of the machine when it began, over 1, 5 and 15 minutes
	Modules []string `json:"modules"`
}

func environment(o options) *env {
	command := "go -C bench run ."
	if args := os.Args[1:]; len(args) > 0 {
		command += " " + strings.Join(args, " ")
	}
	e := &env{
		Machine: fmt.Sprintf("%s, %d processors, %s/%s", processor(), runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH),
		Procs:   runtime.GOMAXPROCS(0),
		Go:      runtime.Version(),
		Command: command,
		Commit:  commit(),
		Date:    time.Now().UTC().Format(time.DateOnly),
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		e.Load = strings.Join(strings.Fields(string(load))[:3], " ")
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			e.Modules = append(e.Modules, m.Path+" "+m.Version)
		}
	}
	return e
}

// processor returns the name of the machine's processor, where there is a file that tells it.
func processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for text := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(text, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// commit returns the commit of the working copy, and whether the library's sources differ from it.
func commit() string {
	id, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	changed, err := exec.Command("git", "status", "--porcelain", "--", "..", ":!../BENCHMARKS.md", ":!../docs", ":!results.jsonl").Output()
	if err != nil || len(changed) > 0 {
		return strings.TrimSpace(string(id)) + " and changes"
	}
	return strings.TrimSpace(string(id))
}
