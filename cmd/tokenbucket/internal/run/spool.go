package run

import (
	"io"
	"os"
)

// spoolMemory is what a spool keeps in memory: enough for most jobs, and little beside the processes themselves.
const spoolMemory = 32 << 10

// spool holds the output of a job until it may be printed: in memory at first, then in a file that has no name any more, so
// that it is gone when this process is, however it ends. The zero spool is empty. Of use to one goroutine at a time.
//
// The jobs write to pipes, not to the file itself, which would be simpler: who opens /dev/stderr would truncate it.
type spool struct {
	mem   []byte
	file  *os.File
	named bool // file could not be removed while it is open
}

func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && len(s.mem)+len(p) <= spoolMemory {
		s.mem = append(s.mem, p...)
		return len(p), nil
	}
	if s.file == nil {
		f, err := os.CreateTemp("", "tokenbucket-")
		if err != nil {
			return 0, err
		}
		s.file, s.named = f, os.Remove(f.Name()) != nil
	}
	return s.file.Write(p)
}

// copyTo writes all to w.
func (s *spool) copyTo(w io.Writer) error {
	if _, err := w.Write(s.mem); err != nil || s.file == nil {
		return err
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := io.Copy(w, s.file)
	return err
}

func (s *spool) empty() bool { return len(s.mem) == 0 && s.file == nil }

func (s *spool) close() {
	if s.file == nil {
		return
	}
	s.file.Close()
	if s.named {
		_ = os.Remove(s.file.Name())
	}
	s.file = nil
}
