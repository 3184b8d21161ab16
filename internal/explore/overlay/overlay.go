// Package overlay builds the scenarios of package explore with the packages under test
// instrumented. The sources on disk stay as they are: the compiler is given other ones by the flag
// -overlay of go build.
package overlay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

const modulePath = "github.com/go-tokenbucket/tokenbucket"

// Packages are the folders of the packages under test, those that exist.
var Packages = []string{".", "internal/engine", "internal/hashtable", "pace"}

// modules are packages of other modules that are copied beside the twins, because files in the
// module cache cannot be replaced.
var modules = []string{"golang.org/x/sync/errgroup", "golang.org/x/sync/semaphore"}

// small gives constants of the code under test values with which a few keys make a table grow and
// split as a thousand do otherwise.
var small = map[string]string{"maxGroups": "2"}

// Words of the twins have another layout than a uint64, so a plain store becomes an atomic one.
const plainStore, atomicStore = "*(*uint64)(unsafe.Pointer(w)) = v", "w.Store(v)"

// A Patch replaces a piece of source, which has to be exactly once in the packages under test.
type Patch struct{ Old, New string }

// A Builder builds the scenarios.
type Builder struct {
	Root    string // the root of the module
	Dir     string // for what is generated
	Patches []Patch
	Replace map[string][]byte // whole sources, by file, instead of those on disk

	found []int // how often each patch was applied
}

// Root returns the root of the module that the current folder is in.
func Root() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", modulePath).Output()
	if err != nil {
		return "", fmt.Errorf("overlay: go list -m: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Write writes the instrumented sources and returns the file that go build's -overlay wants.
func (b *Builder) Write() (string, error) {
	files := make(map[string]string)
	b.found = make([]int, len(b.Patches))
	for _, p := range Packages {
		if err := b.folder(filepath.Join(b.Root, p), filepath.Join(b.Root, p), files); err != nil {
			return "", err
		}
	}
	for _, p := range modules {
		from, err := b.dirOf(p)
		if err != nil {
			return "", err
		}
		to := filepath.Join(b.Root, "internal/explore/twin", filepath.Base(p))
		if err := b.folder(from, to, files); err != nil {
			return "", err
		}
	}
	for i, n := range b.found {
		if n != 1 {
			return "", fmt.Errorf("overlay: the source has %d times, want once: %q", n, b.Patches[i].Old)
		}
	}
	flag := filepath.Join(b.Root, "internal/explore/scenarios/instrumented_test.go")
	if err := b.add(flag, []byte("package scenarios\n\nconst instrumented = true\n"), files); err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]any{"Replace": files})
	if err != nil {
		return "", err
	}
	name := filepath.Join(b.Dir, "overlay.json")
	return name, os.WriteFile(name, text, 0o600)
}

func (b *Builder) dirOf(pkg string) (string, error) {
	cmd := exec.Command("go", "list", "-f", "{{.Dir}}", pkg)
	cmd.Dir = b.Root
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("overlay: go list %s: %w", pkg, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// folder instruments the sources of a package, to stand in folder to.
func (b *Builder) folder(from, to string, files map[string]string) error {
	names, err := filepath.Glob(filepath.Join(from, "*.go"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := b.source(name)
		if err != nil {
			return err
		}
		out, err := Rewrite(name, shrink(src))
		if err != nil {
			return err
		}
		if err := b.add(filepath.Join(to, filepath.Base(name)), out, files); err != nil {
			return err
		}
	}
	return nil
}

// source returns the source of a file, patched.
func (b *Builder) source(name string) ([]byte, error) {
	rel, err := filepath.Rel(b.Root, name)
	if err != nil {
		return nil, err
	}
	src, replaced := b.Replace[filepath.ToSlash(rel)]
	if !replaced {
		if src, err = os.ReadFile(name); err != nil {
			return nil, err
		}
	}
	src = bytes.ReplaceAll(src, []byte(plainStore), []byte(atomicStore))
	for i, p := range b.Patches {
		b.found[i] += bytes.Count(src, []byte(p.Old))
		src = bytes.ReplaceAll(src, []byte(p.Old), []byte(p.New))
	}
	return src, nil
}

// shrink sets the constants of small.
func shrink(src []byte) []byte {
	for name, value := range small {
		src = regexp.MustCompile(`(?m)^(\s+`+name+`\s+= )\d+`).ReplaceAll(src, []byte("${1}"+value))
	}
	return src
}

// add writes a generated file that stands for another one.
func (b *Builder) add(name string, src []byte, files map[string]string) error {
	to := filepath.Join(b.Dir, fmt.Sprintf("%d_%s", len(files), strings.TrimSuffix(filepath.Base(name), ".go")+".txt"))
	files[name] = to
	return os.WriteFile(to, src, 0o600)
}

// Test builds the test of the scenarios, and returns the name of the program.
func (b *Builder) Test() (string, error) {
	list, err := b.Write()
	if err != nil {
		return "", err
	}
	program := filepath.Join(b.Dir, "scenarios.test")
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-overlay", list, "-o", program, "./internal/explore/scenarios")
	cmd.Dir = b.Root
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("overlay: the scenarios do not build: %w\n%s", err, out)
	}
	return program, nil
}
