package tokenbucket_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadme sees to it that what README shows compiles: each of its snippets stands, line by line, in an example.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	code := ""
	for _, name := range []string{"example_test.go", "httplimit/example_test.go", "redisbucket/example_test.go"} {
		examples, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		code += unindented(string(examples))
	}
	snippets := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(snippets) == 0 {
		t.Error("README.md has no snippets")
	}
	for _, s := range snippets {
		if !strings.Contains(code, unindented(s[1])) {
			t.Errorf("not in an example:\n%s", s[1])
		}
	}
}

// unindented returns s without the white space at both ends of its lines.
func unindented(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}
