package run

import "github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/flags"

// Help is what tokenbucket run -h prints, beside the flags.
var Help = flags.Help{Synopsis: "tokenbucket run -rate R [flags] [--] command [args]", Text: `Runs the command once for each item of a list. The item replaces every {} in the arguments; if
there is no {}, the item is the last argument. No shell is involved: an item is always one argument.
The output of a job is printed in one piece when the job ends. If a job is tried again, only the
output of its last attempt is printed. Jobs have no standard input, and they have no terminal: a
program that opens /dev/tty gets an error.

A job needs a token and one of -jobs slots to start. Each further attempt needs a token too. Empty
lines are no items.

Exit status: 0 all jobs succeeded, 1 some failed, 2 the command line is wrong, 130 interrupted.
After the first Ctrl-C (or SIGTERM, SIGHUP) nothing new is started, and running jobs finish. The
second ends them: the process group of each gets SIGTERM, and SIGKILL after 3 s. The third kills
them at once.

The job log has a line for each finished job, with tabs between its fields: number in the list,
start and seconds of the last attempt, exit status, attempts, item. Exit status 124 means timed out,
126 or 127 that the command could not be run, 128+n that signal n ended it. The line is written
after the job's output. -resume skips items that succeeded according to the log, as many times as
they succeeded, wherever they stand in the list now. Jobs that were running when tokenbucket was
killed are run again. One run at a time can use a log.

Memory is bounded. At most -ahead items are read ahead, so a key that waits for tokens delays other
keys only if that many of its items follow each other. Output of more than 32 KiB is kept in a
temporary file, in TMPDIR. With -ordered, at most 500 jobs are started ahead of the oldest job that
has not ended. If the limit on open files (ulimit -n) is too low for -jobs, fewer jobs run at once.

Examples:

  seq 10 | tokenbucket run -rate 5/s -- echo item {} of 10
  printf '%s\n' a.example/1 b.example/1 a.example/2 | tokenbucket run -rate 1/s -key 1 -sep / -- echo get {}
  seq 3 | tokenbucket run -rate 20/s -burst 3 -retries 2 -backoff 10ms -timeout 5s -- sh -c 'test "$1" -gt 0' sh
  find . -maxdepth 1 -type f -print0 | tokenbucket run -0 -rate 50/s -jobs 2 -ordered -- wc -c
`}
