//go:build unix

package run

import (
	"os"
	"os/exec"
	"syscall"
)

// ownSession starts the process in a session of its own. It then leads a process group, so Ctrl-C
// does not reach it, and terminate and kill reach the processes that it starts too. A session has
// no terminal at first: a job that reads /dev/tty gets an error. In this program's session the
// kernel would stop it, as a background job, and nothing would ever continue it.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// terminate asks the process group of p to end; kill ends it. A group that has ended already is no
// error.
func terminate(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGTERM) }
func kill(p *os.Process)      { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

// exitStatus returns the exit status that a shell would report.
func exitStatus(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}
