//go:build !unix

package run

import (
	"os"
	"os/exec"
)

// There are no process groups here: terminate and kill reach the job's first process alone.

func ownSession(*exec.Cmd) {}

func terminate(p *os.Process) { _ = p.Kill() }
func kill(p *os.Process)      { _ = p.Kill() }

func exitStatus(s *os.ProcessState) int { return s.ExitCode() }
