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

// Help is what tokenbucket plan -h prints, beside the flags.
var Help = flags.Help{Synopsis: "tokenbucket plan -rate R [flags] [FILE...]", Text: `Tells what a limit would have done to the traffic of a log: each line is a request, and takes a token of a bucket, which is
full at first. The requests are replayed, at their times, through the same buckets that run in programs.

It reads the files one after the other, or standard input. Times may be RFC 3339 (2026-01-02T15:04:05.678Z), those of the
common and the combined log format ([02/Jan/2006:15:04:05 -0700]), or seconds since 1970, with decimals or without. Without
-time the first field of the first line that is such a time tells which of these the log has (a number only if it is between
1973 and 5138); of the other lines it is the first field that is a time of this kind. Fields are counted from 1 and
separated by blanks; what is in [brackets] or "quotes" is one field. So of an access log, 1 is the address, 4 the time, 5
the request, 6 the status and 9 the user agent. Times are taken as they stand: if a log has them in whole seconds, all
requests of a second come at one instant.

A line without a time, or without the field of -key, is left out, counted and shown by its number. Lines out of the order of
time are sorted, if they are at most 65536 lines late; later ones are taken to come when the replay is where they are.

Reported are, for all and for the keys that were denied the most:
  denied        requests that found no token
  longest wait  how long a request would have had to wait, if all clients waited for their turns instead
  burst needed  the smallest burst, at this rate, that denies nothing
and the smallest rate, at this burst, that denies nothing. All are exact, in one pass: see the end of the page.

Memory is constant: some MiB, and about half a KiB for each key, up to -maxkeys. Keys that come when there are so many are
decided on, too, but only counted together; their waits and needs are then not in the figures, which says a note.

Exit status: 0 it worked, 1 a file could not be read or no line has a time, or -strict; 2 a wrong command line, 130
interrupted.

Examples:

  printf '%s\n' 2026-01-02T15:04:05Z 2026-01-02T15:04:05.2Z 2026-01-02T15:04:07Z | tokenbucket plan -rate 1/s -burst 1
  seq 1700000000 1700000099 | tokenbucket plan -rate 30/m -burst 10 -svg plan.svg
  tokenbucket plan -rate 10/s -burst 20 -key 1 /var/log/nginx/access.log

The smallest burst is the largest debt that a bucket would get into which starts with nothing and grants everything. The
smallest rate is the steepest slope between two requests of the curve of their number over time, with the burst taken
off at the end; the earlier ones that can matter are on a convex hull, of a few points. It is kept to 65536 a key; should
that not be enough, the rate is given as "at least".
`}

type options struct {
	limit         tokenbucket.Limit
	scale         scale
	key, time     int
	sep           string
	top, maxKeys  int
	strict, quiet bool
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
	fs.TextVar(&o.limit.Rate, "rate", tokenbucket.Rate{}, "of a limit of `R`: "+flags.WantRate)
	flags.IntVar(fs, &o.limit.Burst, "burst", 1, 1, "and `N` at once after a pause")
	flags.IntVar(fs, &o.key, "key", 0, 1, "a limit for each key, which is field `N` of the line, instead of one for all")
	fs.Func("time", "the time is field `N`, or auto, which looks for it (default auto)", func(s string) error {
		if s == "auto" {
			o.time = 0
			return nil
		}
		if err := (flags.Int{P: &o.time, Min: 1}).Set(s); err != nil {
			return fmt.Errorf("%w, or auto", err)
		}
		return nil
	})
	fs.StringVar(&o.sep, "sep", "", "fields are separated by `S` (\\t for a tab) instead of blanks, where [..] and \"..\" are one")
	flags.IntVar(fs, &o.top, "top", 10, 0, "with -key, show the `N` keys that were denied the most")
	flags.IntVar(fs, &o.maxKeys, "maxkeys", 100000, 1, "follow at most `N` keys one by one")
	flags.BoolVar(fs, &o.strict, "strict", "a line that can't be read is an error")
	fs.StringVar(&o.svg, "svg", "", "draw demand, grants, denials and the level of the bucket over time to `FILE`")
	flags.BoolVar(fs, &o.quiet, "quiet", "no progress line, and no notes about lines that are left out")
	if done, err = flags.Parse(fs, args, out, Help); done || err != nil {
		return o, done, err
	}
	return o, false, o.check(fs)
}

// check is for what a flag alone does not tell.
func (o *options) check(fs *flag.FlagSet) (err error) {
	if err := flags.CheckRate(fs, o.limit.Rate); err != nil {
		return err
	}
	if o.scale, err = newScale(o.limit); err != nil {
		return flags.Usagef("invalid value %q for flag -rate: %w", o.limit.Rate, err)
	}
	o.files = fs.Args()
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
	times  timeReader
	where  string // the file that is read

	lines    atomic.Int64 // read
	size     int64        // of all files; 0 if that cannot be told
	read     atomic.Int64 // bytes of that
	bad      int64        // lines left out
	badFirst []string     // the first of them
}

func newPlan(o options, s cli.Streams) *plan {
	p := &plan{options: o, Streams: s}
	p.screen = terminal.NewScreen(s, o.quiet, p.progress)
	p.replay = newReplay(o.limit, o.scale, o.maxKeys, o.svg != "")
	p.times = timeReader{split: fields.New(o.sep), n: o.time}
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
	return cli.ExitOK, p.report()
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
			line = bytes.Clone(line) // a longer line is judged by its beginning
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
	ns, zone, err := p.times.read(line)
	var key []byte
	if err == nil && p.key > 0 {
		var ok bool
		if key, ok = p.times.split.Nth(line, p.key); !ok {
			err = fmt.Errorf("it has no field %d, want the key there", p.key)
		}
	}
	if err == nil {
		if p.replay.zone == nil {
			p.replay.zone = zone
		}
		p.replay.add(ns, key)
		return nil
	}
	text := fmt.Sprintf("%s:%d: %v", p.where, n, err)
	if p.strict {
		return fmt.Errorf("%s", text)
	}
	const shown = 5
	if p.bad++; p.bad <= shown {
		p.badFirst = append(p.badFirst, text)
	}
	return nil
}

// noteLines tells about lines that were not read as they stand.
func (p *plan) noteLines() {
	if p.quiet {
		return
	}
	if p.bad > 0 {
		p.screen.Notef("%s left out:", plural(p.bad, "line"))
		for _, text := range p.badFirst {
			fmt.Fprintln(p.Err, " ", text)
		}
		if more := p.bad - int64(len(p.badFirst)); more > 0 {
			fmt.Fprintf(p.Err, "  and %d more\n", more)
		}
	}
	if n := p.replay.outOfOrder; n > 0 {
		p.screen.Notef("%s out of the order of time, %d of them too late to be sorted", plural(n, "line"), p.replay.late)
	}
}

// progress is the line that tells how far the reading is, at most w columns.
func (p *plan) progress(w int) string {
	text := fmt.Sprintf("%d lines", p.lines.Load())
	if p.size > 0 {
		text += fmt.Sprintf(", %d%%", min(100*p.read.Load()/p.size, 100))
	}
	return terminal.Fit(text, w)
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
