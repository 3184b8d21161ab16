package progress

import (
	"io"
	"os"
	"sync/atomic"
)

// Counter is a reader that counts the bytes read. Make it with NewCounter.
type Counter struct {
	Size int64        // bytes left in the file when reading began; 0 if unknown
	Done atomic.Int64 // bytes read so far

	r io.Reader
}

// NewCounter returns a reader of r. The size is known if r is a regular file.
func NewCounter(r io.Reader) *Counter {
	c := &Counter{r: r}
	f, ok := r.(*os.File)
	if !ok {
		return c
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return c
	}
	if at, err := f.Seek(0, io.SeekCurrent); err == nil {
		c.Size = max(info.Size()-at, 0)
	}
	return c
}

func (c *Counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.Done.Add(int64(n))
	return n, err
}
