package overlay

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	explorePath = modulePath + "/internal/explore"
	twinPath    = explorePath + "/twin/"
	exploreName = "explore٠" // a letter that no product code uses
	timeName    = "time٠"
)

// twins are the packages that are replaced as a whole, by the twins' names.
var twins = map[string]string{
	"context":                        "context",
	"hash/maphash":                   "maphash",
	"sync":                           "sync",
	"sync/atomic":                    "atomic",
	"golang.org/x/sync/errgroup":     "errgroup",
	"golang.org/x/sync/semaphore":    "semaphore",
	"golang.org/x/sync/singleflight": "singleflight",
}

// present are the names of package time that have to do with the present.
var present = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "Timer"}

// An edit replaces the source from one offset to another.
type edit struct {
	from, to int
	text     string
}

// A rewriter makes the edits of one file. Lines keep their numbers.
type rewriter struct {
	src      []byte
	fset     *token.FileSet
	edits    []edit
	needTime bool
	usesTime bool // also for what stays
	needCore bool
	failure  error
}

// Rewrite returns the source of a Go file with its use of concurrency and time replaced by the
// instrumented twins.
func Rewrite(name string, src []byte) ([]byte, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	w := &rewriter{src: src, fset: fset}
	for _, spec := range file.Imports {
		w.importSpec(spec)
	}
	for _, d := range file.Decls {
		w.walk(d)
	}
	w.addImports(file)
	if w.failure != nil {
		return nil, w.failure
	}
	return apply(src, 0, len(src), w.edits), nil
}

func (w *rewriter) offset(p token.Pos) int { return w.fset.Position(p).Offset }

func (w *rewriter) replace(from, to token.Pos, text string) {
	w.edits = append(w.edits, edit{w.offset(from), w.offset(to), text})
}

func (w *rewriter) importSpec(spec *ast.ImportSpec) {
	from, _ := strconv.Unquote(spec.Path.Value)
	to, ok := twins[from]
	if !ok {
		return
	}
	text := strconv.Quote(twinPath + to)
	if spec.Name == nil {
		text = path.Base(from) + " " + text
	}
	w.replace(spec.Path.Pos(), spec.Path.End(), text)
}

// addImports adds the imports that the edits need, on the line of the package clause.
func (w *rewriter) addImports(file *ast.File) {
	text := ""
	if w.needCore {
		text += "; import " + exploreName + " " + strconv.Quote(explorePath)
	}
	if w.needTime {
		text += "; import " + timeName + " " + strconv.Quote(twinPath+"time")
	}
	w.replace(file.Name.End(), file.Name.End(), text)
	if w.needTime && !w.usesTime {
		end := token.Pos(w.fset.File(file.Pos()).Base() + len(w.src))
		w.replace(end, end, "\nvar _ = time.Nanosecond\n")
	}
}

// walk makes the edits in n.
func (w *rewriter) walk(n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			w.selector(n)
		case *ast.SelectStmt:
			w.selectStmt(n)
			return false
		case *ast.GoStmt:
			return w.goStmt(n)
		case *ast.SendStmt:
			w.core(n.Pos(), n.Pos(), "Send(")
			w.replace(n.Chan.End(), n.Value.Pos(), ", ")
			w.replace(n.End(), n.End(), ")")
		case *ast.AssignStmt:
			if u, ok := received(n.Rhs); ok && len(n.Lhs) == 2 {
				w.receive(u, "Receive2(")
				w.walk(u.X)
				return false
			}
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				w.receive(n, "Receive(")
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "close" && f.Obj == nil {
				w.core(f.Pos(), f.End(), "Close")
			}
		}
		return true
	})
}

// core replaces the source by a name of package explore and what follows it.
func (w *rewriter) core(from, to token.Pos, text string) {
	w.needCore = true
	w.replace(from, to, exploreName+"."+text)
}

func (w *rewriter) receive(n *ast.UnaryExpr, call string) {
	w.core(n.Pos(), n.X.Pos(), call)
	w.replace(n.End(), n.End(), ")")
}

func received(rhs []ast.Expr) (*ast.UnaryExpr, bool) {
	if len(rhs) != 1 {
		return nil, false
	}
	u, ok := rhs[0].(*ast.UnaryExpr)
	return u, ok && u.Op == token.ARROW
}

func (w *rewriter) selector(n *ast.SelectorExpr) {
	if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && x.Obj == nil {
		if !slices.Contains(present, n.Sel.Name) {
			w.usesTime = true
			return
		}
		w.needTime = true
		w.replace(x.Pos(), x.End(), timeName)
	}
}

// goStmt makes "go f(x)" a call of explore.Go, and reports whether what is in it is still to be
// walked.
func (w *rewriter) goStmt(n *ast.GoStmt) bool {
	if _, ok := n.Call.Fun.(*ast.FuncLit); ok && len(n.Call.Args) == 0 {
		w.core(n.Pos(), n.Call.Pos(), "Go(")
		w.replace(n.Call.Lparen, n.End(), ")")
		return true
	}
	w.core(n.Pos(), n.Call.Pos(), "Go(func() { ")
	w.replace(n.End(), n.End(), " })")
	return true
}

// selectStmt makes a select a switch on the index of the case that was chosen.
func (w *rewriter) selectStmt(n *ast.SelectStmt) {
	var names, cases []string
	hasDefault := false
	for _, c := range n.Body.List {
		clause := c.(*ast.CommClause)
		if clause.Comm == nil {
			hasDefault = true
		} else {
			name := fmt.Sprintf("case٠%d", w.offset(clause.Pos()))
			w.commClause(clause, name, len(names), &cases)
			names = append(names, name)
		}
		for _, s := range clause.Body {
			w.walk(s)
		}
	}
	if !hasDefault { // so that a function that ends with a select still ends as the compiler wants it
		w.replace(n.Body.Rbrace, n.Body.Rbrace, "default: panic(0);")
	}
	list := strings.Join(names, ", ")
	w.needCore = true
	w.replace(n.Pos(), n.Body.Lbrace, fmt.Sprintf("switch %s := %s; %s.Select(%v, %s) ",
		list, strings.Join(cases, ", "), exploreName, hasDefault, list))
}

func (w *rewriter) commClause(clause *ast.CommClause, name string, i int, cases *[]string) {
	assign := ""
	switch s := clause.Comm.(type) {
	case *ast.SendStmt:
		*cases = append(*cases, fmt.Sprintf("%s.NewSending(%s, %s)", exploreName, w.text(s.Chan), w.text(s.Value)))
	case *ast.ExprStmt:
		*cases = append(*cases, w.receiving(s.X))
	case *ast.AssignStmt:
		*cases = append(*cases, w.receiving(s.Rhs[0]))
		assign = w.text(s.Lhs[0])
		if len(s.Lhs) == 2 {
			assign += ", " + w.text(s.Lhs[1]) + " " + s.Tok.String() + " " + name + ".Value, " + name + ".OK;"
		} else {
			assign += " " + s.Tok.String() + " " + name + ".Value;"
		}
	}
	w.replace(clause.Case, clause.Colon+1, fmt.Sprintf("case %d: %s", i, assign))
}

func (w *rewriter) receiving(x ast.Expr) string {
	u, ok := ast.Unparen(x).(*ast.UnaryExpr)
	if !ok {
		w.failure = fmt.Errorf("%v: this receive is not understood", w.fset.Position(x.Pos()))
		return ""
	}
	return exploreName + ".NewReceiving(" + w.text(u.X) + ")"
}

// text returns the source of n with its edits.
func (w *rewriter) text(n ast.Node) string {
	kept := w.edits
	w.edits = nil
	w.walk(n)
	text := apply(w.src, w.offset(n.Pos()), w.offset(n.End()), w.edits)
	w.edits = kept
	return string(text)
}

// apply returns the source from one offset to another, edited.
func apply(src []byte, from, to int, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int { return a.from - b.from })
	var out []byte
	for _, e := range edits {
		out = append(append(out, src[from:e.from]...), e.text...)
		from = e.to
	}
	return append(out, src[from:to]...)
}
