package terminal

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/cli"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain text":        "plain text",
		"ünïcödé 日本":        "ünïcödé 日本",
		"":                  `""`,
		"a\tb":              `"a\tb"`,
		"\x1b[31mred":       `"\x1b[31mred"`,
		"\u009b31m":         `"\u009b31m"`, // CSI as one character
		"\u0085":            `"\u0085"`,
		"user\u202egnp.exe": `"user\u202egnp.exe"`,
		"\u2066x\u2069":     `"\u2066x\u2069"`,
		"zero\u200bwidth":   `"zero\u200bwidth"`,
		"no\u00a0break":     `"no\u00a0break"`,
		"\xff":              `"\xff"`,
		"\ufffd":            "\ufffd",
	} {
		if got := Printable(text); got != want {
			t.Errorf("Printable(%q) is %s, want %s", text, got, want)
		}
	}
}

func TestExcerptIsShort(t *testing.T) {
	long := strings.Repeat("é", 1<<20)
	if got, want := Excerpt(long), strings.Repeat("é", 30)+"..."; got != want {
		t.Errorf("the excerpt has %d bytes: %.100q, want %q", len(got), got, want)
	}
	if got, _ := Clip("aé", 2); got != "a" {
		t.Errorf("Clip cuts a character in two: %q", got)
	}
	if got, _ := Clip("\x80\x80\x80\x80\x80\x80", 5); got == "" {
		t.Error("Clip of continuation bytes alone is empty")
	}
}

func TestNotesAreBounded(t *testing.T) {
	var n Notes
	for i := range 1000 {
		n.Addf("line %d", i)
	}
	var out bytes.Buffer
	n.Print(NewScreen(cli.Streams{Err: &out}, false, nil), "strange")
	if got, want := out.String(), "tokenbucket: strange:\n  line 0\n  line 1\n  line 2\n  line 3\n  line 4\n  and 995 more\n"; got != want {
		t.Errorf("printed is %q, want %q", got, want)
	}
}
