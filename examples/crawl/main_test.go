package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// list returns a list of n pages of each host, one host after the other.
func list(n int, hosts ...string) string {
	var b strings.Builder
	for _, host := range hosts {
		for i := range n {
			fmt.Fprintf(&b, "http://%s/%d\n", host, i)
		}
	}
	return b.String()
}

// newTestCrawler returns a crawler of list for a server that answers with h.
func newTestCrawler(t *testing.T, rate tokenbucket.Rate, burst int, list string, h http.Handler) *crawler {
	t.Helper()
	pages, err := read("test", strings.NewReader(list))
	if err != nil {
		t.Fatal(err)
	}
	addr, stop, err := serve(h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return newCrawler(config{rate: rate, burst: burst, workers: 4, pages: pages}, addr)
}

func TestEachPageOnce(t *testing.T) {
	var mu sync.Mutex
	got := map[string]int{}
	rate := tokenbucket.PerSecond(2000)
	limited := limitedServer(rate, 5)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		got["http://"+r.Host+r.URL.Path]++
		mu.Unlock()
		limited.ServeHTTP(w, r)
	})

	all := list(50, "a.example", "b.example", "c.example")
	var stdout, stderr bytes.Buffer
	code := newTestCrawler(t, rate, 5, all, h).run(t.Context(), &stdout, &stderr)
	check(t, code, 0, stdout.String(), "150 of 150 pages", "0 refused, 0 failed")
	check(t, code, 0, stderr.String())

	want := map[string]int{}
	for line := range strings.Lines(all) {
		want[strings.TrimSpace(line)] = 1
	}
	if !maps.Equal(got, want) {
		t.Errorf("visits: %v", got)
	}
}

func TestSources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte("# two\n\n"+list(1, "a.example", "b.example")), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args  []string
		stdin string
		want  string
	}{
		{[]string{"-rate", "inf"}, "", "345 of 345 pages"},
		{[]string{"-rate", "1000/s", file}, "", "2 of 2 pages"},
		{[]string{"-rate=1000/s", "-burst=2", "-workers=1", "-"}, list(3, "a.example"), "3 of 3 pages"},
		{[]string{"-"}, "https://a.example/x?y=z", "1 of 1 pages"}, // no newline at the end
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), tt.args, strings.NewReader(tt.stdin), &stdout, &stderr)
		check(t, code, 0, stdout.String(), tt.want, "0 refused, 0 failed")
		check(t, code, 0, stderr.String())
	}
}

func TestHostsTakeTurns(t *testing.T) {
	pages, err := read("test", strings.NewReader(list(2, "a.example", "b.example")+list(1, "c.example")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range pages {
		got = append(got, strings.TrimPrefix(p.url, "http://"))
	}
	want := "a.example/0 b.example/0 c.example/0 a.example/1 b.example/1"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		args  []string
		stdin string
		want  string
	}{
		{[]string{"-rate", "fast"}, "", `"fast"`},
		{[]string{"-rate", "0"}, "", "-rate 0"},
		{[]string{"-burst", "0"}, "", "-burst 0"},
		{[]string{"-burst", "many"}, "", `"many"`},
		{[]string{"-workers", "-1"}, "", "-workers -1"},
		{[]string{"-speed", "1"}, "", "-speed"},
		{[]string{"a", "b"}, "", `"a" "b"`},
		{[]string{filepath.Join(t.TempDir(), "nowhere")}, "", "nowhere"},
		{[]string{t.TempDir()}, "", "line 1"}, // a folder
		{[]string{"-"}, "", "no page"},
		{[]string{"-"}, "# nothing\n\n", "no page"},
		{[]string{"-"}, "http://a.example/\n\nnonsense\n", `line 3: want a URL such as http://host/path, not "nonsense"`},
		{[]string{"-"}, "http://a.example/%zz", "line 1"},
		{[]string{"-"}, "ftp://a.example/", "line 1"},
		{[]string{"-"}, "http://a.example/\n" + strings.Repeat("x", 1<<20), "line 2"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), tt.args, strings.NewReader(tt.stdin), &stdout, &stderr)
		check(t, code, 2, stderr.String(), "crawl: ", tt.want)
		check(t, code, 2, stdout.String())
	}
}

func TestHelp(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"-h"}, nil, &stdout, &stderr)
	check(t, code, 0, stdout.String(), "usage: crawl", "-rate", "-burst", "-workers", "8/s")
	check(t, code, 0, stderr.String())
}

// A crawl of five pages that has used up the burst of two is interrupted.
func TestCancelMidway(t *testing.T) {
	rate := tokenbucket.Per(1, time.Hour)
	c := newTestCrawler(t, rate, 2, list(5, "a.example"), limitedServer(rate, 2))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for c.done() < 2 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	var stdout, stderr bytes.Buffer
	code := c.run(ctx, &stdout, &stderr)
	check(t, code, 130, stdout.String(), "2 of 5 pages", "0 refused, 0 failed")
	check(t, code, 130, stderr.String(), "interrupted")
}

func TestCancelBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, nil, nil, &stdout, &stderr)
	check(t, code, 130, stdout.String(), "0 of 345 pages", "0 refused, 0 failed")
	check(t, code, 130, stderr.String(), "interrupted")
}

// A crawler without a limit of its own gets two pages from the limited server: the burst, and the
// slack at a rate this low.
func TestRefused(t *testing.T) {
	c := newTestCrawler(t, tokenbucket.Inf(), 1, list(5, "a.example"), limitedServer(tokenbucket.Per(1, time.Hour), 1))
	var stdout, stderr bytes.Buffer
	code := c.run(t.Context(), &stdout, &stderr)
	check(t, code, 1, stdout.String(), "2 of 5 pages", "3 refused, 0 failed")
	check(t, code, 1, stderr.String(), "http://a.example/", ": refused, retry after ")
}

func TestFailed(t *testing.T) {
	c := newTestCrawler(t, tokenbucket.Inf(), 1, list(2, "a.example"), http.NotFoundHandler())
	var stdout, stderr bytes.Buffer
	code := c.run(t.Context(), &stdout, &stderr)
	check(t, code, 1, stdout.String(), "0 of 2 pages", "0 refused, 2 failed")
	check(t, code, 1, stderr.String(), "http://a.example/0: 404", "http://a.example/1: 404")
}

// check fails unless code is wantCode and text contains every want; without a want, text must be
// empty.
func check(t *testing.T, code, wantCode int, text string, want ...string) {
	t.Helper()
	if code != wantCode {
		t.Errorf("exit status %d, want %d", code, wantCode)
	}
	if len(want) == 0 && text != "" {
		t.Errorf("want nothing printed, got %q", text)
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("want %q in %q", w, text)
		}
	}
}
