package terminal

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns text as it is, or quoted as in Go if it is empty or if a terminal would not
// show exactly these characters: controls of any kind, characters that change the direction of the
// text or have no width, blanks other than a space, and bytes that are no UTF-8.
func Printable(text string) string {
	if text == "" || !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return strconv.Quote(text)
	}
	return text
}

// maxExcerpt is the length of an excerpt, in bytes: what fits into a line beside a message.
const maxExcerpt = 60

// Excerpt returns the beginning of text, made fit by Printable.
func Excerpt(text string) string {
	short, cut := Clip(text, maxExcerpt)
	if short = Printable(short); cut {
		short += "..."
	}
	return short
}

// Clip returns the first max bytes of text, or fewer so as not to cut a character in two, and
// reports whether there are more.
func Clip(text string, max int) (short string, cut bool) {
	if len(text) <= max {
		return text, false
	}
	end := max
	for end > max-utf8.UTFMax+1 && end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end], true
}

// Fit returns the first width bytes of text. A progress line is ASCII, so that these are columns
// too.
func Fit(text string, width int) string {
	if len(text) > width {
		return text[:max(width, 0)]
	}
	return text
}
