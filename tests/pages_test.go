package tests

import (
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// snippetImports are the packages that snippets may use, by the name that they use.
var snippetImports = map[string]string{
	"clock": "github.com/benbjohnson/clock", "context": "context", "errors": "errors", "flag": "flag", "fmt": "fmt",
	"http": "net/http", "httplimit": root + "/httplimit", "json": "encoding/json", "netip": "net/netip",
	"pace": root + "/pace", "rate": root + "/rate", "redis": "github.com/redis/go-redis/v9",
	"redisbucket": root + "/redisbucket", "time": "time", "tokenbucket": root,
}

// snippetVariables are what a snippet need not declare: what a reader has at that place.
var snippetVariables = []string{
	"ctx context.Context", "key string", "n int", "w http.ResponseWriter", "r *http.Request",
	"b *tokenbucket.Bucket", "k *tokenbucket.Keyed[string]", "client redis.UniversalClient", "mux *http.ServeMux", "plans map[string]int",
}

// TestPages compiles and vets the Go snippets of all pages, each as the body of a function that
// returns an error.
func TestPages(t *testing.T) {
	var files []string
	dir := t.TempDir()
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range regexp.MustCompile("(?ms)^[ \t]*```go\n(.*?)^[ \t]*```").FindAllStringSubmatch(string(text), -1) {
			name := fmt.Sprintf("%s_%d", strings.Trim(regexp.MustCompile(`\W+`).ReplaceAllString(page, "_"), "_"), i+1)
			code, err := snippetFile(name, s[1])
			if err != nil {
				t.Errorf("%s, snippet %d: %v\n%s", page, i+1, err, s[1])
				continue
			}
			file := filepath.Join(dir, name+".go")
			if err := os.WriteFile(file, code, 0o666); err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
	}
	if len(files) < 10 {
		t.Errorf("found %d snippets, want 10 or more", len(files))
	}
	// In the workspace, so that snippets may use all modules of this repository.
	if out, err := exec.Command("go", append([]string{"vet"}, files...)...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// pages lists the pages of the repository that may have snippets.
func pages(t *testing.T) (names []string) {
	t.Helper()
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/decisions/*.md", "../redisbucket/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	return slices.DeleteFunc(names, func(s string) bool { return filepath.Base(s) == "BENCHMARKS.md" })
}

// snippetFile makes a snippet a file that imports what it uses, and uses what it declares. The inner
// braces let a snippet declare a variable that is a parameter of the function, too.
func snippetFile(name, body string) ([]byte, error) {
	header := "package snippets\n"
	signature := fmt.Sprintf("func %s(%s) (err error)", name, strings.Join(snippetVariables, ", "))
	code := regexp.MustCompile(`//[^\n]*|"[^"\n]*"`).ReplaceAllString(signature+body, "")
	for used, path := range snippetImports {
		if regexp.MustCompile(`\b` + used + `\.[A-Z]`).MatchString(code) {
			header += fmt.Sprintf("import %s %q\n", used, path)
		}
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), name, header+signature+"{{\n"+body+"\n}}", 0)
	if err != nil {
		return nil, err
	}
	uses := ""
	function := parsed.Decls[len(parsed.Decls)-1].(*ast.FuncDecl)
	for _, v := range declared(function.Body.List[0].(*ast.BlockStmt)) {
		uses += "_ = " + v + "\n"
	}
	return format.Source([]byte(header + signature + "{{\n" + body + "\n" + uses + "}\nreturn nil\n}"))
}

// declared returns the variables that a body declares, those of inner blocks left out.
func declared(body *ast.BlockStmt) (names []string) {
	add := func(x ast.Expr) {
		if id, ok := x.(*ast.Ident); ok && id.Name != "_" {
			names = append(names, id.Name)
		}
	}
	for _, s := range body.List {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				for _, x := range s.Lhs {
					add(x)
				}
			}
		case *ast.DeclStmt:
			for _, spec := range s.Decl.(*ast.GenDecl).Specs {
				if v, ok := spec.(*ast.ValueSpec); ok {
					for _, id := range v.Names {
						add(id)
					}
				}
			}
		}
	}
	return names
}

// TestLinks checks that the links of all pages to files of this repository lead somewhere.
func TestLinks(t *testing.T) {
	for _, page := range append(pages(t), "../BENCHMARKS.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		prose := regexp.MustCompile("(?s)```.*?```|`[^`]*`").ReplaceAllString(string(text), "code")
		for _, m := range regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`).FindAllStringSubmatch(prose, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}
