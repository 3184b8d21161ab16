package terminal

import "fmt"

// maxNotes is how many notes are shown.
const maxNotes = 5

// Notes collects notes about a file's lines, of which there may be as many as there are lines: it
// keeps the first few and counts the others. The zero Notes is empty.
type Notes struct {
	Count int64
	first []string
}

// Addf adds a note.
func (n *Notes) Addf(format string, args ...any) {
	if n.Count++; len(n.first) < maxNotes {
		n.first = append(n.first, fmt.Sprintf(format, args...))
	}
}

// Print prints the notes below a title. It prints nothing if there are none.
func (n *Notes) Print(s *Screen, title string) {
	if n.Count == 0 {
		return
	}
	s.Notef("%s:", title)
	s.Around(s.Err, func() {
		for _, text := range n.first {
			fmt.Fprintln(s.Err, " ", text)
		}
		if more := n.Count - int64(len(n.first)); more > 0 {
			fmt.Fprintf(s.Err, "  and %d more\n", more)
		}
	})
}

// Plural returns a number of things: "1 line", "2 lines".
func Plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
