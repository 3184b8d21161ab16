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
var Help = flags.Help{Synopsis: "tokenbucket pipe -rate R [flags]", Text: `Passes standard input on to standard output, in order and unchanged, at the rate: a token a line, or with -bytes a token a
byte. It waits for the tokens of a line, then writes it in one piece. A line longer than 64 KiB is written in pieces of that,
in constant memory. What comes last without a newline is a line too.

Lines that may go at once are written together, and nothing is held back while it waits for input or for tokens. So output
begins at once, and a slow reader slows it down.

Exit status: 0 all passed, or the reader has closed the pipe; 1 it could not be read or written, 2 a wrong command line,
130 interrupted. Ctrl-C ends it when the line that has begun is out, or at once if it is pressed again.

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
	fs.Var(&o.burst, "burst", "and `N` at once after a pause; with -bytes also as 64KiB\n"+
		"(default 1, with -bytes a tenth of a second's worth)")
	flags.BoolVar(fs, &o.bytes, "bytes", "count bytes instead of lines")
	flags.BoolVar(fs, &o.quiet, "quiet", "no progress line")
	if done, err := flags.Parse(fs, args, s.Out, Help); done || err != nil {
		return cli.ExitOK, err
	}
	if err := o.check(fs); err != nil {
		return cli.ExitFailed, err
	}
	return newPipe(o, s).main()
}

// check is for what a flag alone does not tell.
func (o *options) check(fs *flag.FlagSet) error {
	if err := flags.CheckRate(fs, o.rate.Rate); err != nil {
		return err
	}
	const wantBytes = "lines without a unit, or -bytes too"
	switch {
	case fs.NArg() > 0:
		return flags.Usagef("argument %q is one too many: pipe reads standard input", fs.Arg(0))
	case o.rate.unit != "" && !o.bytes:
		return flags.BadValue("rate", o.rate.text, wantBytes)
	case o.burst.unit != "" && !o.bytes:
		return flags.BadValue("burst", o.burst.text, wantBytes)
	case o.burst.n == 0 && o.bytes:
		// Large enough for the timer, which is some 1 ms late, small enough to be smooth.
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
	bucket   *tokenbucket.Bucket
	copier   *copier
	achieved progress.Meter
}

func newPipe(o options, s cli.Streams) *pipe {
	p := &pipe{options: o, in: progress.NewCounter(s.In)}
	p.screen = terminal.NewScreen(s, o.quiet, p.progress)
	p.bucket = tokenbucket.New(o.rate.Rate, o.burst.n)
	p.copier = newCopier(p.in, p.screen, p.bucket, o.burst.n, o.bytes)
	return p
}

func (p *pipe) main() (int, error) {
	cli.CatchSIGPIPE()
	interrupted := make(chan os.Signal, 2)
	signal.Notify(interrupted, cli.Interrupts()...)
	p.achieved.PerSecond(time.Now(), 0)
	p.screen.Start()
	defer p.screen.Stop()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.copier.copy(ctx) }()
	select {
	case err := <-done:
		return pipeStatus(err)
	case <-interrupted:
	}
	cancel()
	// A copy that is in the middle of a line goes on to its end; one that waits for input might do so forever.
	between := make(chan struct{})
	go func() { p.copier.line.Lock(); close(between) }()
	select {
	case <-between:
	case <-interrupted:
		os.Exit(cli.ExitInterrupted) // at once: even the terminal may be what blocks
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

// progress is the line that tells how far the pipe is, at most w columns.
func (p *pipe) progress(w int) string {
	passed := p.copier.passed.Load()
	perSecond := p.achieved.PerSecond(time.Now(), passed)
	unit := "lines"
	if p.bytes {
		unit = "bytes"
	}
	parts := []string{fmt.Sprintf("%d %s", passed, unit), progress.Beside(perSecond, p.rate.Rate)}
	if size, sent := p.in.Size, p.copier.size.Load(); size > 0 && sent > 0 && perSecond > 0 {
		parts = append(parts, fmt.Sprintf("%d%%", min(100*sent/size, 100)))
		total := float64(passed) * float64(size) / float64(sent)
		if seconds := (total - float64(passed)) / perSecond; seconds >= 1 && seconds < math.MaxInt32 {
			parts = append(parts, progress.ShortDuration(time.Duration(seconds*float64(time.Second)))+" left")
		}
	}
	return terminal.Fit(strings.Join(parts, ", "), w)
}
