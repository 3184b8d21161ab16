package terminal

import (
	"fmt"
	"strings"
)

// Printable returns text as it is, or quoted if it is empty or has characters that a terminal would act on or not show.
func Printable(text string) string {
	unprintable := strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\ufffd' })
	if text == "" || unprintable {
		return fmt.Sprintf("%q", text)
	}
	return text
}

// Fit returns the first width bytes of text. A progress line is ASCII, so that these are columns too.
func Fit(text string, width int) string {
	if len(text) > width {
		return text[:max(width, 0)]
	}
	return text
}
