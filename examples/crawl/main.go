// Crawl fetches a list of pages from several hosts, each page once and no faster than each host
// allows. It prints the rates that were asked for and achieved, how long pages had to wait, and how
// many were refused: none.
//
// The hosts do not exist. Crawl starts its own HTTP server on the loopback interface, which refuses
// clients that are too fast, and sends the requests to all hosts there. Both sides are in crawl.go;
// this file has the command line and the list.
package main

import (
	"bufio"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/go-tokenbucket/tokenbucket"
)

const help = `usage: crawl [flags] [file]

Fetches a list of pages, one URL a line, from a file, from standard input ("-") or, without an
argument, the list that comes with crawl. The requests to all hosts go to a server that crawl starts
on the loopback interface. Empty lines and lines that start with # are skipped. Ctrl-C ends it early.

Exit status: 0 if every page was fetched, 1 if some failed or were refused, 2 for a mistake in the flags or the list,
130 if interrupted.

flags:
`

//go:embed urls.txt
var shipped string

// config is what the command line asks for.
type config struct {
	rate           tokenbucket.Rate // of each host
	burst, workers int
	pages          []page
}

// A page is one URL to be fetched.
type page struct {
	host string // the key of its bucket
	url  string
	nth  int // its place among the pages of its host, from 0
}

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run does the work of main, and returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	j, err := parse(args, stdin, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		fmt.Fprintln(stderr, "crawl:", err)
		return 2
	}
	addr, stop, err := serve(limitedServer(j.rate, j.burst))
	if err != nil {
		fmt.Fprintln(stderr, "crawl:", err)
		return 1
	}
	defer stop()

	// Before this point Ctrl-C ends the process at once: there is nothing to report yet, and a read
	// from a terminal would not notice the end of the context.
	ctx, release := signal.NotifyContext(ctx, os.Interrupt)
	defer release()
	return newCrawler(j, addr).run(ctx, stdout, stderr)
}

func parse(args []string, stdin io.Reader, stdout io.Writer) (j config, err error) {
	fs := flag.NewFlagSet("crawl", flag.ContinueOnError)
	fs.TextVar(&j.rate, "rate", tokenbucket.PerSecond(8), "how fast to ask each host: 8/s, 100/m, 5/250ms, inf, …")
	fs.IntVar(&j.burst, "burst", 4, "how many `pages` to ask a host for at once after a pause")
	fs.IntVar(&j.workers, "workers", 10, "how many `requests` to have under way, to all hosts together")

	fs.SetOutput(io.Discard) // a mistake is reported in one line, without the help
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, help)
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return j, err
	} else if err != nil {
		return j, err
	}
	switch {
	case j.rate.TokensPerSecond() <= 0:
		return j, fmt.Errorf("-rate %v: must be above 0, or the list is never done", j.rate)
	case j.burst < 1 || j.burst > 1e6:
		return j, fmt.Errorf("-burst %d: must be 1 to 1000000", j.burst)
	case j.workers < 1 || j.workers > 1e4:
		return j, fmt.Errorf("-workers %d: must be 1 to 10000", j.workers)
	case fs.NArg() > 1:
		return j, fmt.Errorf("want one list, and flags before it, not %q", fs.Args())
	}
	j.pages, err = load(fs.Arg(0), stdin)
	return j, err
}

// load reads the list with the given name: "" is the list that comes with crawl, "-" standard
// input.
func load(name string, stdin io.Reader) ([]page, error) {
	switch name {
	case "":
		return read("the shipped list", strings.NewReader(shipped))
	case "-":
		return read("standard input", stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(name, f)
}

// read parses a list. It orders the pages so that the hosts take turns. Lists are usually sorted by
// host, and in that order all workers would wait for one host while the tokens of the others are
// not used.
func read(name string, r io.Reader) (pages []page, err error) {
	perHost := map[string]int{}
	n, lines := 0, bufio.NewScanner(r)
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		u, err := url.Parse(line)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fmt.Errorf("%s, line %d: want a URL such as http://host/path, not %q", name, n, line)
		}
		u.Scheme = "http" // the server has no certificate for hosts that do not exist
		pages = append(pages, page{u.Host, u.String(), perHost[u.Host]})
		perHost[u.Host]++
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s, line %d: %w", name, n+1, err)
	}
	if len(pages) == 0 {
		return nil, fmt.Errorf("%s: nothing to do, it lists no page", name)
	}
	slices.SortStableFunc(pages, func(a, b page) int { return cmp.Compare(a.nth, b.nth) })
	return pages, nil
}
