// Package terminal draws a line of progress below a command's output, and makes text that others
// wrote fit to be shown there.
package terminal

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/cli"
)

const (
	// drawAfter is how long the work must last for a progress line to be of use.
	drawAfter = time.Second

	// RedrawEvery is the interval between two drawings: smooth to the eye, and little work for a
	// terminal.
	RedrawEvery = 200 * time.Millisecond
)

// Screen coordinates a line of progress on standard error with the output around it. If standard
// error is no terminal, or the command is to be quiet, there is no line and Screen only passes
// output on. Make it with NewScreen.
type Screen struct {
	cli.Streams
	Color bool // the line may have colors

	live  bool                   // there is a line to draw
	width func() int             // of the terminal, in columns
	text  func(width int) string // returns the line, of at most width columns
	quit  chan struct{}          // closed by Stop
	ended chan struct{}          // closed once the line is gone

	mu    sync.Mutex // held while the terminal is written to; guards shown
	shown bool       // the line is on the terminal
}

// NewScreen returns a screen whose line is what text returns.
func NewScreen(s cli.Streams, quiet bool, text func(width int) string) *Screen {
	sc := &Screen{Streams: s, text: text, quit: make(chan struct{}), ended: make(chan struct{})}
	f := asTerminal(s.Err)
	if f == nil || quiet || os.Getenv("TERM") == "dumb" {
		return sc
	}
	sc.live = true
	sc.Color = os.Getenv("NO_COLOR") == ""
	sc.width = func() int {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
		return 80
	}
	return sc
}

// asTerminal returns w as a file if it is a terminal, and nil otherwise.
func asTerminal(w io.Writer) *os.File {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// Start begins to draw the line once the work has lasted a second. The caller must call Stop.
func (s *Screen) Start() {
	if !s.live {
		close(s.ended)
		return
	}
	go func() {
		defer close(s.ended)
		next := time.NewTimer(drawAfter)
		defer next.Stop()
		for {
			select {
			case <-s.quit:
				s.Around(s.Err, func() {})
				return
			case <-next.C:
				s.draw()
				next.Reset(RedrawEvery)
			}
		}
	}()
}

// Stop erases the line and returns once it is gone.
func (s *Screen) Stop() {
	close(s.quit)
	<-s.ended
}

func (s *Screen) draw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.width() - 1 // some terminals wrap after the last column
	fmt.Fprint(s.Err, "\r\x1b[K", s.text(w))
	s.shown = true
}

// Around calls f, which writes to w, with the line erased. If w is no terminal the line stays, and
// f waits for nobody: a slow terminal does not hold up a file.
func (s *Screen) Around(w io.Writer, f func()) {
	if !s.live || asTerminal(w) == nil {
		f()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown {
		fmt.Fprint(s.Err, "\r\x1b[K")
		s.shown = false
	}
	f()
}

// Notef prints a message on standard error.
func (s *Screen) Notef(format string, args ...any) {
	s.Around(s.Err, func() { fmt.Fprintf(s.Err, "tokenbucket: "+format+"\n", args...) })
}
