package tests

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

const root = "github.com/go-tokenbucket/tokenbucket"

// released lists the folders of the modules that users install. docs/releasing.md gives each a tag.
var released = []string{".", "redisbucket"}

// TestInstall installs the modules of this checkout as their users do, each in an empty module, from
// a module proxy that has the checkout as the next release.
func TestInstall(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the command and redisbucket anew")
	}
	version := nextVersion(t)
	env := proxyEnv(t, version)
	t.Run("library", func(t *testing.T) {
		user := newUser(t, env)
		user.run(t, "get", root+"@"+version)
		user.write(t, "main.go", `package main

import (
	"fmt"

	"github.com/go-tokenbucket/tokenbucket"
)

func main() { fmt.Println(tokenbucket.New(tokenbucket.PerSecond(1), 1).Allow()) }
`)
		if got := user.run(t, "run", "."); got != "true\n" {
			t.Errorf("the program prints %q", got)
		}
		for path := range strings.FieldsSeq(user.run(t, "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", root)) {
			if path != root && !strings.HasPrefix(path, root+"/internal/") {
				t.Errorf("the library brings along %s", path)
			}
		}
	})
	t.Run("command", func(t *testing.T) {
		user := newUser(t, env)
		user.run(t, "install", root+"/cmd/tokenbucket@"+version)
		out, err := exec.Command(filepath.Join(user.dir, "bin", "tokenbucket"), "--help").CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "Usage: tokenbucket ") {
			t.Errorf("tokenbucket --help: %v\n%s", err, out)
		}
	})
	t.Run("redisbucket", func(t *testing.T) {
		user := newUser(t, env)
		user.run(t, "get", root+"/redisbucket@"+version)
		if got, want := user.run(t, "list", "-m", root), root+" "+version+"\n"; got != want {
			t.Errorf("redisbucket brings along %q, want %q", got, want)
		}
		user.run(t, "build", root+"/redisbucket")
	})
}

// nextVersion returns the version that redisbucket requires of the root module. The two are released
// together, so it is the version of both.
func nextVersion(t *testing.T) string {
	t.Helper()
	for _, r := range goMod(t, "redisbucket").Require {
		if r.Mod.Path == root {
			return r.Mod.Version
		}
	}
	t.Fatal("redisbucket does not require " + root)
	return ""
}

// TestVersions checks that CHANGELOG.md tells of the version that is required in this repository.
func TestVersions(t *testing.T) {
	version := nextVersion(t)
	changes, err := os.ReadFile("../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if heading := "## " + strings.TrimPrefix(version, "v"); !bytes.Contains(changes, []byte("\n"+heading)) {
		t.Errorf("CHANGELOG.md has no heading %q", heading)
	}
	for _, r := range goMod(t, "tests").Require {
		if r.Mod.Path == root && r.Mod.Version != version {
			t.Errorf("tests requires %s, want %s as redisbucket", r.Mod.Version, version)
		}
	}
	if len(goMod(t, ".").Replace) > 0 {
		t.Error("go install refuses the root's go.mod, which has a replace")
	}
}

func goMod(t *testing.T, dir string) *modfile.File {
	t.Helper()
	name := filepath.Join("..", dir, "go.mod")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := modfile.Parse(name, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// proxyEnv builds a module proxy in a folder and returns the environment that uses it: the released
// modules come from the checkout, all others from the module cache of this machine or else from its
// proxy. The releases must not get into that cache, so the environment has one of its own.
func proxyEnv(t *testing.T, version string) []string {
	t.Helper()
	proxy := t.TempDir()
	for _, dir := range released {
		path := root
		if dir != "." {
			path += "/" + dir
		}
		publish(t, proxy, filepath.Join("..", dir), module.Version{Path: path, Version: version})
	}
	set := map[string]string{
		"GOPROXY": strings.Join([]string{
			fileURL(proxy), fileURL(filepath.Join(goEnv(t, "GOMODCACHE"), "cache", "download")), goEnv(t, "GOPROXY"),
		}, ","),
		"GOMODCACHE": t.TempDir(),
		"GOCACHE":    goEnv(t, "GOCACHE"),
		// -trimpath lets the build cache serve the next run too, whose module cache is elsewhere.
		"GOFLAGS":     "-mod=mod -modcacherw -trimpath",
		"GOWORK":      "off",
		"GOTOOLCHAIN": "local",
		// The checkout's go.sum files vouch for the other modules; a release is not known yet.
		"GOSUMDB": "off", "GOPRIVATE": "", "GONOPROXY": "", "GONOSUMDB": "",
	}
	env := slices.DeleteFunc(os.Environ(), func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		_, ok := set[name]
		return ok
	})
	for name, value := range set {
		env = append(env, name+"="+value)
	}
	return env
}

func fileURL(path string) string { return "file://" + filepath.ToSlash(path) }

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// publish puts the module in dir into the proxy, by the protocol of https://go.dev/ref/mod#goproxy-protocol.
func publish(t *testing.T, proxy, dir string, m module.Version) {
	t.Helper()
	var archive bytes.Buffer
	if err := modzip.CreateFromDir(&archive, m, dir); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(proxy, filepath.FromSlash(m.Path), "@v")
	if err := os.MkdirAll(base, 0o777); err != nil {
		t.Fatal(err)
	}
	info := fmt.Sprintf(`{"Version":%q,"Time":%q}`, m.Version, time.Now().UTC().Format(time.RFC3339))
	for name, content := range map[string][]byte{
		"list": []byte(m.Version + "\n"), m.Version + ".info": []byte(info), m.Version + ".mod": mod, m.Version + ".zip": archive.Bytes(),
	} {
		if err := os.WriteFile(filepath.Join(base, name), content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReleasedFiles checks what a user downloads: source, and none of the modules beside it.
func TestReleasedFiles(t *testing.T) {
	for _, dir := range released {
		var archive bytes.Buffer
		m := module.Version{Path: root, Version: "v0.1.0"}
		if err := modzip.CreateFromDir(&archive, m, filepath.Join("..", dir)); err != nil {
			t.Fatal(err)
		}
		files, err := zip.NewReader(bytes.NewReader(archive.Bytes()), int64(archive.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if archive.Len() > 2<<20 {
			t.Errorf("%s is %d bytes, want at most 2 MiB", dir, archive.Len())
		}
		for _, f := range files.File {
			name := strings.TrimPrefix(f.Name, m.String()+"/")
			if strings.HasSuffix(name, "/go.mod") {
				t.Errorf("%s has a module within it: %s", dir, name)
			}
		}
		if _, err := fs.Stat(files, m.String()+"/go.mod"); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// A user is an empty module.
type user struct {
	dir string
	env []string
}

func newUser(t *testing.T, env []string) user {
	t.Helper()
	u := user{dir: t.TempDir(), env: env}
	u.env = append(slices.Clip(env), "GOBIN="+filepath.Join(u.dir, "bin"))
	u.run(t, "mod", "init", "example.com/user")
	return u
}

func (u user) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(u.dir, name), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// run runs go in the user's module and returns what it prints.
func (u user) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = u.dir, u.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out)
}
