//go:build !unix

package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
)

// Where there are no process groups and no SIGPIPE, a job is its first process alone.

func interrupts() []os.Signal { return []os.Signal{os.Interrupt} }

func writeErrorsNotSignals() {}

func isClosedPipe(err error) bool { return errors.Is(err, io.ErrClosedPipe) }

func ownGroup(*exec.Cmd) {}

func terminate(p *os.Process) { _ = p.Kill() }
func kill(p *os.Process)      { _ = p.Kill() }

func exitStatus(s *os.ProcessState) int { return s.ExitCode() }
