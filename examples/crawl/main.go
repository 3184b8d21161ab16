// Crawl works off a list of pages on several hosts, no faster than each host allows and each page once, and shows what
// that comes to: the rates asked and achieved, who had to wait, and that nobody was refused.
//
// The hosts are made up. Crawl starts an HTTP server of its own on loopback, which refuses clients that are too fast,
// and leads every host name there. Both sides are in crawl.go; this file is the command line and the list.
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

Works off a list of pages, one URL a line, from a file, from standard input ("-") or, with no argument, the list that
comes with it. Every host name leads to a server that crawl starts on loopback. Empty lines and lines that start
with # are skipped. Ctrl-C ends it early.

Exit status: 0 if every page was fetched, 1 if some failed or were refused, 2 for a mistake in the flags or the list,
130 if interrupted.

flags:
`

//go:embed urls.txt
var shipped string

// job is what the command line asks for.
type job struct {
	rate           tokenbucket.Rate // of each host
	burst, workers int
	pages          []page
}

// page is one item of work.
type page struct {
	host string // what it is paced by
	url  string
	nth  int // of its host, from 0
}

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is main without the process around it. It returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	j, err := parse(args, stdin, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		fmt.Fprintln(stderr, "crawl:", err)
		return 2
	}
	addr, stop, err := serve(police(j.rate, j.burst))
	if err != nil {
		fmt.Fprintln(stderr, "crawl:", err)
		return 1
	}
	defer stop()

	// Not earlier: until here Ctrl-C has nothing to tidy up, and a read from a terminal would not notice the context.
	ctx, release := signal.NotifyContext(ctx, os.Interrupt)
	defer release()
	return newCrawler(j, addr).run(ctx, stdout, stderr)
}

func parse(args []string, stdin io.Reader, stdout io.Writer) (j job, err error) {
	fs := flag.NewFlagSet("crawl", flag.ContinueOnError)
	fs.TextVar(&j.rate, "rate", tokenbucket.PerSecond(8), "how fast to ask each host: 8/s, 100/m, 5/250ms, inf, …")
	fs.IntVar(&j.burst, "burst", 4, "how many `pages` to ask a host for at once after a pause")
	fs.IntVar(&j.workers, "workers", 10, "how many `requests` to have under way, to all hosts together")

	fs.SetOutput(io.Discard) // a mistake gets one line on standard error, not the whole help
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

// load reads the list that name stands for.
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

// read parses a list. It deals the pages out host by host, each host's in their order: in a list sorted by host, as
// lists are, all workers would queue for one host while the tokens of the others go to waste.
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
		u.Scheme = "http" // a server on loopback has no certificate for made-up names
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
