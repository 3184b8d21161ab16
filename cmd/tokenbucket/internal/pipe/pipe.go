// Package pipe implements tokenbucket pipe: it passes lines or bytes through, at a rate.
package pipe

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/cli"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/flags"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/progress"
	"github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/terminal"
)

// Help is what tokenbucket pipe -h prints, beside the flags.
var Help = flags.Help{Synopsis: "tokenbucket pipe -rate R [flags]", Text: `Passes standard input on to standard output, in order and unchanged, at a rate. Each line takes a
token, or with -bytes each byte. The last line need not end with a newline.

A line is written in one piece, once it has its token; a line of more than 64 KiB in pieces of
64 KiB. Lines that have their tokens at the same time are written together. With -bytes, lines do not
matter: bytes flow as evenly as the burst allows. Nothing that has its tokens is held back, memory is
constant, and a slow reader slows pipe down.

Exit status: 0 all was passed on, or the reader has closed the pipe; 1 reading or writing failed; 2 the
command line is wrong; 130 interrupted. After Ctrl-C (or SIGTERM, SIGHUP), pipe finishes the line that
it has begun, for at most 2 s. After a second one, or with -bytes, it ends at once.

Examples:

  seq 20 | tokenbucket pipe -rate 10/s
  seq 20 | tokenbucket pipe -rate 20/s -burst 5 | head -n 8
  head -c 64KiB /dev/zero | tokenbucket pipe -bytes -rate 64KiB/s -burst 32KiB | wc -c
`}

type options struct {
	rate  byteRate
	burst byteSize
	bytes bool
	quiet bool
}

// Main runs the command and returns its exit status.
func Main(args []string, s cli.Streams) (int, error) {
	var o options
	fs := flags.New("pipe")
	fs.Var(&o.rate, "rate", "pass at most `R`: lines/period, as 10/s, 100/m or 5/250ms; with -bytes bytes/period, as\n"+
		"1000/s, 64KiB/s or 1.5MiB/s; or inf")
	fs.Var(&o.burst, "burst", "pass up to `N` at once after a pause; with -bytes also as 64KiB\n"+
		"(default 1, with -bytes what passes in a tenth of a second)")
	flags.BoolVar(fs, &o.bytes, "bytes", "count bytes instead of lines")
	flags.BoolVar(fs, &o.quiet, "quiet", "no progress line")
	rest, done, err := flags.ParseAnywhere(fs, args, s.Out, Help)
	if done || err != nil {
		return cli.ExitOK, err
	}
	if err := o.check(fs, rest); err != nil {
		return cli.ExitFailed, err
	}
	return newPipe(o, s).main()
}

// check finds the mistakes that no flag shows by itself, and sets the default of -burst.
func (o *options) check(fs *flag.FlagSet, rest []string) error {
	if err := flags.CheckRate(fs, o.rate.Rate); err != nil {
		return err
	}
	const wantBytes = "lines without a unit, or -bytes too"
	switch {
	case len(rest) > 0:
		return flags.Usagef("argument %q is one too many: pipe reads standard input", rest[0])
	case o.rate.unit != "" && !o.bytes:
		return flags.BadValue("rate", o.rate.text, wantBytes)
	case o.burst.unit != "" && !o.bytes:
		return flags.BadValue("burst", o.burst.text, wantBytes)
	case o.burst.n == 0 && o.bytes:
		// Enough for timers that are some ms late, and little enough to look even.
		o.burst.n = int(min(max(o.rate.TokensPerSecond()/10, 1), math.MaxInt32))
	case o.burst.n == 0:
		o.burst.n = 1
	}
	return nil
}

// pipe is one run of the command. Make it with newPipe and call main once.
type pipe struct {
	options
	in       *progress.Counter
	screen   *terminal.Screen
	passed   *counts
	copy     func(context.Context) error
	finish   func() // returns when copy is between two lines
	achieved progress.Meter
}

func newPipe(o options, s cli.Streams) *pipe {
	p := &pipe{options: o, in: progress.NewCounter(s.In)}
	p.screen = terminal.NewScreen(s, o.quiet, p.progress)
	bucket := tokenbucket.New(o.rate.Rate, o.burst.n)
	if o.bytes {
		c := newByteCopier(p.in, p.screen, bucket)
		p.passed, p.copy, p.finish = &c.counts, c.copy, func() {}
	} else {
		c := newLineCopier(p.in, p.screen, bucket)
		p.passed, p.copy, p.finish = &c.counts, c.copy, c.line.Lock
	}
	return p
}

// finishTime is how long a pipe that is interrupted goes on to finish its line. A line may have no
// end.
const finishTime = 2 * time.Second

func (p *pipe) main() (int, error) {
	cli.CatchSIGPIPE()
	interrupted := make(chan os.Signal, 2)
	signal.Notify(interrupted, cli.Interrupts()...)
	p.achieved.PerSecond(time.Now(), 0)
	p.screen.Start()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.copy(ctx) }()
	select {
	case err := <-done:
		p.screen.Stop()
		return pipeStatus(err)
	case <-interrupted:
	}
	cancel()
	between := make(chan struct{})
	go func() { p.finish(); close(between) }()
	select {
	case <-between:
	case <-time.After(finishTime):
	case <-interrupted:
	}
	stopped := make(chan struct{})
	go func() { p.screen.Stop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(finishTime): // the terminal itself may be what blocks
	case <-interrupted:
	}
	return cli.ExitInterrupted, nil
}

func pipeStatus(err error) (int, error) {
	switch {
	case err == nil, cli.IsClosedPipe(err):
		return cli.ExitOK, nil
	default:
		return cli.ExitFailed, err
	}
}

// progress returns the progress line, of at most width columns.
func (p *pipe) progress(width int) string {
	passed := p.passed.tokens.Load()
	perSecond := p.achieved.PerSecond(time.Now(), passed)
	unit := "lines"
	if p.bytes {
		unit = "bytes"
	}
	parts := []string{fmt.Sprintf("%d %s", passed, unit), progress.Beside(perSecond, p.rate.Rate)}
	if size, sent := p.in.Size, p.passed.bytes.Load(); size > 0 && sent > 0 && perSecond > 0 {
		parts = append(parts, fmt.Sprintf("%d%%", min(100*sent/size, 100)))
		total := float64(passed) * float64(size) / float64(sent)
		if seconds := (total - float64(passed)) / perSecond; seconds >= 1 && seconds < math.MaxInt32 {
			parts = append(parts, progress.ShortDuration(time.Duration(seconds*float64(time.Second)))+" left")
		}
	}
	return terminal.Fit(strings.Join(parts, ", "), width)
}
