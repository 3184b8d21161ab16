//go:build unix

package run

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup starts the process in a process group of its own. Ctrl-C does not reach it there, and terminate and kill reach
// the processes that it starts too.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// terminate asks the process group of p to end; kill ends it. A group that has ended already is no error.
func terminate(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGTERM) }
func kill(p *os.Process)      { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

// exitStatus returns the exit status that a shell would report.
func exitStatus(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}
