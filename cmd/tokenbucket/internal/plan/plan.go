// Package plan implements tokenbucket plan: it replays the traffic of a log against a limit.
package plan

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/cli"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/fields"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/flags"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/terminal"
)

// options are the command line.
type options struct {
	limit         tokenbucket.Limit
	scale         scale
	key, time     fieldRef
	sep           string
	top, maxKeys  int
	strict, quiet bool
	spread, json  bool
	svg           string
	files         []string
}

// Main runs the command and returns its exit status.
func Main(args []string, s cli.Streams) (int, error) {
	o, done, err := parse(args, s.Out)
	if done || err != nil {
		return cli.ExitOK, err
	}
	return newPlan(o, s).main()
}

func parse(args []string, out io.Writer) (o options, done bool, err error) {
	fs := flags.New("plan")
	flags.RateVar(fs, &o.limit.Rate, "rate", "the rate of the limit is `R`: "+flags.WantRate)
	flags.IntVar(fs, &o.limit.Burst, "burst", 1, 1, "the burst of the limit is `N`")
	fs.Func("key", "a limit for each key, which is the field with number or name `F`, not one for all", func(s string) (err error) {
		o.key, err = parseFieldRef(s)
		return err
	})
	fs.Func("time", "the time is the field with number or name `F`; auto looks for it (default auto)", func(s string) (err error) {
		if o.time = (fieldRef{}); s != "auto" {
			o.time, err = parseFieldRef(s)
		}
		return err
	})
	fs.StringVar(&o.sep, "sep", "", flags.UsageSep)
	flags.BoolVar(fs, &o.spread, "spread", "spread the requests of each second evenly within it")
	flags.IntVar(fs, &o.top, "top", 10, 0, "with -key, show the `N` keys with the most denials")
	flags.IntVar(fs, &o.maxKeys, "maxkeys", 100000, 1, "have figures for each of at most `N` keys")
	flags.BoolVar(fs, &o.strict, "strict", "a line that cannot be read is an error")
	flags.BoolVar(fs, &o.json, "json", "print the report as JSON")
	fs.StringVar(&o.svg, "svg", "", "draw demand, grants, denials and the level of the bucket over time to `FILE`")
	flags.BoolVar(fs, &o.quiet, "quiet", "no progress line, and no notes about lines that are left out")
	if o.files, done, err = flags.ParseAnywhere(fs, args, out, Help); done || err != nil {
		return o, done, err
	}
	return o, false, o.check(fs)
}

// check finds the mistakes that no flag shows by itself.
func (o *options) check(fs *flag.FlagSet) (err error) {
	if err := flags.CheckRate(fs, o.limit.Rate); err != nil {
		return err
	}
	if o.scale, err = newScale(o.limit); err != nil {
		return flags.BadValue("rate", o.limit.Rate.String(), err.Error())
	}
	if len(o.files) == 0 {
		o.files = []string{"-"}
	}
	return nil
}

// plan is one run of the command. Make it with newPlan and call main once.
type plan struct {
	options
	cli.Streams
	screen *terminal.Screen
	replay *replay
	reader lineReader
	where  string // the file that is read

	lines   atomic.Int64   // read
	size    int64          // of all files, in bytes; 0 if unknown
	read    atomic.Int64   // bytes of that
	leftOut terminal.Notes // lines
}

func newPlan(o options, s cli.Streams) *plan {
	p := &plan{options: o, Streams: s}
	p.screen = terminal.NewScreen(s, o.quiet, p.progress)
	p.replay = newReplay(o.limit, o.scale, o.maxKeys)
	if o.svg != "" {
		p.replay.chart = newChart(o.limit)
	}
	if o.spread {
		p.replay.spread = &spreader{}
	}
	p.reader = lineReader{split: fields.New(o.sep), time: o.time, key: o.key}
	for _, name := range p.files {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			p.size += info.Size()
		}
	}
	return p
}

func (p *plan) main() (int, error) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, cli.Interrupts()...)
	p.screen.Start()
	done := make(chan error, 1)
	go func() { done <- p.readAll() }()
	select {
	case err := <-done:
		p.screen.Stop()
		if err != nil {
			return cli.ExitFailed, err
		}
	case <-interrupted:
		p.screen.Stop()
		return cli.ExitInterrupted, nil
	}
	p.noteLines()
	if p.replay.seq == 0 {
		return cli.ExitFailed, fmt.Errorf("%s: no line has a time, want RFC 3339, the common log format or seconds since 1970",
			strings.Join(p.files, ", "))
	}
	if p.svg != "" {
		if err := p.draw(); err != nil {
			return cli.ExitFailed, err
		}
	}
	return cli.ExitOK, p.print()
}

func (p *plan) readAll() error {
	for _, name := range p.files {
		if err := p.readFile(name); err != nil {
			return err
		}
	}
	p.replay.finish()
	return nil
}

func (p *plan) readFile(name string) error {
	in := p.In
	if p.where = name; name == "-" {
		p.where = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	br := bufio.NewReaderSize(in, 64<<10)
	for n := 1; ; n++ {
		line, err := br.ReadSlice('\n')
		size := len(line)
		if err == bufio.ErrBufferFull {
			line = bytes.Clone(line) // only the beginning of a longer line is read
		}
		for err == bufio.ErrBufferFull {
			var more []byte
			more, err = br.ReadSlice('\n')
			size += len(more)
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("reading %s: %w", p.where, err)
		}
		if size > 0 {
			p.lines.Add(1)
			p.read.Add(int64(size))
			if err := p.take(n, bytes.TrimRight(line, "\r\n")); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// take adds the request of a line, if it is one.
func (p *plan) take(n int, line []byte) error {
	req, err := p.reader.read(line)
	switch {
	case err == nil:
		p.replay.add(req)
	case p.strict:
		return fmt.Errorf("%s:%d: %w", p.where, n, err)
	default:
		p.leftOut.Addf("%s:%d: %v", p.where, n, err)
	}
	return nil
}

// noteLines prints notes about lines that were not read as they stand.
func (p *plan) noteLines() {
	if p.quiet {
		return
	}
	p.leftOut.Print(p.screen, terminal.Plural(p.leftOut.Count, "line")+" left out")
	if n := p.replay.outOfOrder; n > 0 {
		p.screen.Notef("%s out of order, %d of them too late to be sorted", terminal.Plural(n, "line"), p.replay.late)
	}
}

// progress returns the progress line, of at most width columns.
func (p *plan) progress(width int) string {
	text := fmt.Sprintf("%d lines", p.lines.Load())
	if p.size > 0 {
		text += fmt.Sprintf(", %d%%", min(100*p.read.Load()/p.size, 100))
	}
	return terminal.Fit(text, width)
}
