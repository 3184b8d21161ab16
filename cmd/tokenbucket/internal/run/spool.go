package run

import (
	"io"
	"os"
)

// spoolMemory is how much a spool keeps in memory: enough for most jobs, and little beside the
// processes themselves.
const spoolMemory = 32 << 10

// spool keeps the output of a job until it is printed: the beginning in memory, the rest in a file.
// The file's name is removed at once, so that the file goes with this process however it ends. The
// zero spool is empty. It must not be used by several goroutines at once.
//
// Jobs write to pipes. If they wrote to the file itself, a job that opens /dev/stderr would
// truncate it.
type spool struct {
	mem     []byte
	file    *os.File
	named   bool  // file could not be removed while it is open
	failure error // the first of the file; what came after it is lost
}

// Write never fails. A failed write would close the job's pipe, and the job would be ended for a
// fault of this program; so a spool that failed drops the output and keeps the error in failure.
func (s *spool) Write(p []byte) (int, error) {
	switch {
	case s.failure != nil:
	case s.file == nil && len(s.mem)+len(p) <= spoolMemory:
		s.mem = append(s.mem, p...)
	default:
		s.failure = s.writeFile(p)
	}
	return len(p), nil
}

func (s *spool) writeFile(p []byte) error {
	if s.file == nil {
		f, err := os.CreateTemp("", "tokenbucket-")
		if err != nil {
			return err
		}
		s.file, s.named = f, os.Remove(f.Name()) != nil
	}
	_, err := s.file.Write(p)
	return err
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
