// Package rate_test compares package rate with golang.org/x/time/rate, whose face it has.
package rate_test

import (
	"fmt"
	"go/types"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const (
	ours   = "github.com/go-tokenbucket/tokenbucket/rate"
	theirs = "golang.org/x/time/rate"
)

// TestSameAPI compares everything that the two packages export: names, signatures, fields, methods,
// and the values of constants.
func TestSameAPI(t *testing.T) {
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedTypes | packages.NeedImports | packages.NeedDeps | packages.NeedSyntax | packages.NeedTypesInfo,
	}, ours, theirs)
	if err != nil || packages.PrintErrors(loaded) > 0 {
		t.Fatal("the packages could not be loaded: ", err)
	}
	apis := map[string]map[string]string{}
	for _, p := range loaded {
		apis[p.PkgPath] = api(p.Types)
	}
	want, got := apis[theirs], apis[ours]
	if len(want) < 30 {
		t.Fatalf("only %d exported names were found in x/time/rate", len(want))
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%s is %q, want %q", name, got[name], want[name])
		}
		delete(got, name)
	}
	for name, what := range got {
		t.Errorf("%s %s is not in x/time/rate", name, what)
	}
}

// api describes each exported object of a package, with the methods and exported fields of types.
func api(p *types.Package) map[string]string {
	all := map[string]string{}
	local := func(other *types.Package) string {
		if other == p {
			return ""
		}
		return other.Path()
	}
	for _, name := range p.Scope().Names() {
		switch o := p.Scope().Lookup(name).(type) {
		case *types.TypeName:
			if o.Exported() {
				describe(all, o, local)
			}
		case *types.Const:
			if o.Exported() {
				all[name] = fmt.Sprint("const ", types.TypeString(o.Type(), local), " ", o.Val().ExactString())
			}
		default:
			if o.Exported() {
				all[name] = shape(o.Type(), local)
			}
		}
	}
	return all
}

// describe adds a type, its exported fields and its methods.
func describe(all map[string]string, o *types.TypeName, local types.Qualifier) {
	all[o.Name()] = "type"
	if fields, ok := o.Type().Underlying().(*types.Struct); ok {
		for f := range fields.Fields() {
			if f.Exported() {
				all[o.Name()+"."+f.Name()] = types.TypeString(f.Type(), local)
			}
		}
	} else {
		all[o.Name()] += " " + types.TypeString(o.Type().Underlying(), local)
	}
	methods := types.NewMethodSet(types.NewPointer(o.Type()))
	byValue := types.NewMethodSet(o.Type())
	for m := range methods.Methods() {
		if name := m.Obj().Name(); m.Obj().Exported() {
			value := byValue.Lookup(m.Obj().Pkg(), name) != nil
			all[o.Name()+"."+name] = fmt.Sprint("method, by value: ", value, " ", shape(m.Obj().Type(), local))
		}
	}
}

// shape returns a signature without the names of its parameters, which nobody can depend on.
func shape(typ types.Type, local types.Qualifier) string {
	s, ok := typ.(*types.Signature)
	if !ok {
		return types.TypeString(typ, local)
	}
	tuple := func(t *types.Tuple) string {
		var parts []string
		for v := range t.Variables() {
			parts = append(parts, types.TypeString(v.Type(), local))
		}
		return "(" + strings.Join(parts, ", ") + ")"
	}
	return fmt.Sprint("func", tuple(s.Params()), " ", tuple(s.Results()), " variadic: ", s.Variadic())
}
