package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// A mutant is a file of the core that is changed in one place.
type mutant struct {
	file string
	line int
	what string
	src  []byte
}

func (m *mutant) String() string { return fmt.Sprintf("%s:%d: %s", m.file, m.line, m.what) }

// name is String without the line, which changes often.
func (m *mutant) name() string { return m.file + ": " + m.what }

// others are the operators that an operator is replaced by.
var others = map[token.Token][]token.Token{
	token.LSS:  {token.LEQ, token.GEQ},
	token.LEQ:  {token.LSS, token.GTR},
	token.GTR:  {token.GEQ, token.LEQ},
	token.GEQ:  {token.GTR, token.LSS},
	token.EQL:  {token.NEQ},
	token.NEQ:  {token.EQL},
	token.ADD:  {token.SUB},
	token.SUB:  {token.ADD},
	token.LAND: {token.LOR},
	token.LOR:  {token.LAND},
	token.SHL:  {token.SHR},
	token.SHR:  {token.SHL},
}

// A maker collects the mutants of one file.
type maker struct {
	file    string
	src     []byte
	fset    *token.FileSet
	mutants []*mutant
}

func mutantsOf(name string, src []byte) ([]*mutant, error) {
	m := &maker{file: name, src: src, fset: token.NewFileSet()}
	file, err := parser.ParseFile(m.fset, name, src, 0)
	if err != nil {
		return nil, err
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			ast.Inspect(f.Body, m.visit)
		}
	}
	return m.mutants, nil
}

func (m *maker) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		for _, op := range others[n.Op] {
			m.add(n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), op.String())
		}
	case *ast.IfStmt:
		m.add(n.Cond.Pos(), n.Cond.End(), "(false && "+m.text(n.Cond)+")")
		m.add(n.Cond.Pos(), n.Cond.End(), "(true || "+m.text(n.Cond)+")")
	case *ast.UnaryExpr:
		if n.Op == token.NOT {
			m.add(n.Pos(), n.X.Pos(), "")
		}
	case *ast.CallExpr:
		m.call(n)
	case *ast.BlockStmt:
		for _, s := range n.List {
			m.statement(s)
		}
	case *ast.CaseClause:
		for _, s := range n.Body {
			m.statement(s)
		}
	}
	return true
}

// call swaps the functions min and max, and makes a compare-and-swap a store.
func (m *maker) call(n *ast.CallExpr) {
	switch f := n.Fun.(type) {
	case *ast.Ident:
		switch f.Name {
		case "min":
			m.add(f.Pos(), f.End(), "max")
		case "max":
			m.add(f.Pos(), f.End(), "min")
		}
	case *ast.SelectorExpr:
		if f.Sel.Name == "CompareAndSwap" && len(n.Args) == 2 {
			m.add(n.Pos(), n.End(), fmt.Sprintf("func() bool { %s.Store(%s); return true }()", m.text(f.X), m.text(n.Args[1])))
		}
	}
}

// statement takes a statement away, if that can compile.
func (m *maker) statement(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.ExprStmt, *ast.DeferStmt, *ast.IncDecStmt:
		m.add(s.Pos(), s.End(), "")
	case *ast.AssignStmt:
		if s.Tok != token.DEFINE {
			m.add(s.Pos(), s.End(), "")
		}
	}
}

func (m *maker) text(n ast.Node) string {
	return string(m.src[m.fset.Position(n.Pos()).Offset:m.fset.Position(n.End()).Offset])
}

// add adds the mutant that has other text from one place to another.
func (m *maker) add(from, to token.Pos, text string) {
	at, end := m.fset.Position(from), m.fset.Position(to)
	old := strings.Join(strings.Fields(string(m.src[at.Offset:end.Offset])), " ")
	lines := "" // so that what follows keeps its line
	for range end.Line - at.Line - strings.Count(text, "\n") {
		lines += "\n"
	}
	m.mutants = append(m.mutants, &mutant{
		file: m.file, line: at.Line, what: fmt.Sprintf("%.70q becomes %.70q", old, text),
		src: slices.Concat(m.src[:at.Offset], []byte(text+lines), m.src[end.Offset:]),
	})
}
