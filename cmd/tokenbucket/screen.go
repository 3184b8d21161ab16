package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

const (
	longWork    = time.Second            // what is done sooner needs no progress line
	redrawEvery = 200 * time.Millisecond // quick enough for the eye, and nothing for a terminal
)

// screen owns the terminal: one line of progress on standard error, and the output that has to go around it. Without a
// terminal, or when quiet, it only passes output on. Make it with newScreen.
type screen struct {
	streams
	live  bool               // there is a progress line to draw
	color bool               // and it may have colors
	width func() int         // of the terminal, in columns
	text  func(w int) string // what to draw, at most w columns
	quit  chan struct{}      // closed by stop
	ended chan struct{}      // closed when the line is gone
	mu    sync.Mutex         // guards what is on the terminal, and shown
	shown bool               // the line is there
}

// newScreen returns a screen that draws text on s.err, if that is a terminal on which it can be redrawn.
func newScreen(s streams, quiet bool, text func(w int) string) *screen {
	sc := &screen{streams: s, text: text, quit: make(chan struct{}), ended: make(chan struct{})}
	if f := terminal(s.err); f != nil && !quiet && os.Getenv("TERM") != "dumb" {
		sc.live = true
		sc.color = os.Getenv("NO_COLOR") == ""
		sc.width = func() int {
			if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
				return w
			}
			return 80
		}
	}
	return sc
}

// terminal returns the file that w is, if it is a terminal.
func terminal(w any) *os.File {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// start begins to draw, once the work has turned out to be long. stop ends it.
func (s *screen) start() {
	if !s.live {
		close(s.ended)
		return
	}
	go func() {
		defer close(s.ended)
		next := time.NewTimer(longWork)
		defer next.Stop()
		for {
			select {
			case <-s.quit:
				s.around(s.err, func() {})
				return
			case <-next.C:
				s.draw()
				next.Reset(redrawEvery)
			}
		}
	}()
}

// stop takes the line away for good.
func (s *screen) stop() {
	close(s.quit)
	<-s.ended
}

func (s *screen) draw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.width() - 1 // in the last column some terminals wrap
	fmt.Fprint(s.err, "\r\x1b[K", s.text(w))
	s.shown = true
}

// around calls f, which writes to w, with the line out of its way. Output that does not go to the terminal does not wait for
// it, and does not hold it up.
func (s *screen) around(w io.Writer, f func()) {
	if !s.live || terminal(w) == nil {
		f()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown {
		fmt.Fprint(s.err, "\r\x1b[K")
		s.shown = false
	}
	f()
}

// notef prints a message on standard error.
func (s *screen) notef(format string, args ...any) {
	s.around(s.err, func() { fmt.Fprintf(s.err, "tokenbucket: "+format+"\n", args...) })
}
