package fields

import "testing"

func TestFields(t *testing.T) {
	for _, c := range []struct {
		sep, line string
		want      []string
	}{
		{"", "a  b\tc ", []string{"a", "b", "c"}},
		{"", "", nil},
		{"", `h - - [t z] "GET / \"x\"" 200 "-" "U (A)"` + "\r", []string{"h", "-", "-", "t z", `GET / \"x\"`, "200", "-", "U (A)"}},
		{"", `"" [] x`, []string{"", "", "x"}},
		{"", `"open [too`, []string{`"open`, "[too"}},
		{"", `x"y z"`, []string{`x"y`, `z"`}},
		{",", `a,,"c d",[e]`, []string{"a", "", "c d", "e"}},
		{",", "", []string{""}},
		{",", "a,", []string{"a", ""}},
		{`\t`, "a b\tc", []string{"a b", "c"}},
		{"/", "https://host/path", []string{"https:", "", "host", "path"}},
	} {
		f := New(c.sep)
		for i, want := range append(c.want, "none") {
			got, ok := f.Nth([]byte(c.line), i+1)
			if there := i < len(c.want); ok != there || there && string(got) != want {
				t.Errorf("field %d of %q by %q is %q, %v; want %q, %v", i+1, c.line, c.sep, got, ok, want, there)
			}
		}
	}
}
