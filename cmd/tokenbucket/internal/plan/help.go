package plan

import "github.com/go-tokenbucket/tokenbucket/cmd/tokenbucket/internal/flags"

// Help is what tokenbucket plan -h prints, beside the flags.
var Help = flags.Help{Synopsis: "tokenbucket plan -rate R [flags] [FILE...]", Text: `Reports what a limit would have done to the traffic of a log. Each line is a request and takes a token
from a bucket, which is full at first. The requests are replayed, at their times, through the buckets
of the library.

The files are read one after the other; without files, standard input. A line is text or a JSON
object. These times are understood:

  2006-01-02T15:04:05   RFC 3339 and ISO 8601; 2006-01-02 15:04:05 and 2006/01/02 15:04:05 too,
                        each with or without fraction and zone; without a zone it is taken as UTC
  [02/Jan/2006:15:04:05 -0700]     the common and the combined log format
  1136214245.678        seconds since 1970; milliseconds, microseconds and nanoseconds too

Fields of text are counted from 1 and separated by blanks; what stands in [brackets] or "quotes" is one
field. In an access log, 1 is the address, 4 the time, 5 the request, 6 the status, 9 the user agent.
Without -time, the first field of the first line that is a time tells the format; in the other lines,
the first field in that format is the time. (A number is one only if it lies between 1973 and 5138.)

Fields of JSON have names, as in -key remote_ip; request.remote_ip is the field remote_ip of the
object request. Without -time, the time is looked for in time, ts, timestamp and other usual names.

A line without a time, or without the field of -key, is left out and counted; the first few are
shown. Lines that are out of order are sorted if they are at most 65536 lines late; a later one is
taken to come at the latest time replayed so far.

The report has, for all requests and for the keys with the most denials:
  denied        requests that found no token
  longest wait  the longest wait of a request, had all clients waited for their turn instead
  burst needed  the smallest burst, at this rate, that denies nothing
and the smallest rate, at this burst, that denies nothing. All of them are exact.

In a log with whole seconds, all requests of a second seem to come at one instant, and no rate is
enough for them. -spread puts them evenly into their second, in their order.

Memory is bounded: about 50 MB, and half a KiB for each key up to -maxkeys. Requests of keys beyond
that are decided too, and counted together, but their waits and needs are not in the figures. If more
than 65536 of those keys have a bucket that is not full, requests of further keys count as allowed.
The report says so.

Exit status: 0 it worked; 1 a file could not be read, no line has a time, or a line was left out with
-strict; 2 the command line is wrong; 130 interrupted.

Examples:

  printf '%s\n' 2026-01-02T15:04:05Z 2026-01-02T15:04:05.2Z 2026-01-02T15:04:07Z | tokenbucket plan -rate 1/s -burst 1
  seq 1700000000 1700000099 | tokenbucket plan -rate 30/m -burst 10 -svg plan.svg
  tokenbucket plan -rate 10/s -burst 20 -key 1 /var/log/nginx/access.log

The smallest burst is the largest debt of a bucket that starts empty and grants everything. The
smallest rate is the steepest slope between two requests on the curve of their number over time, less
the burst. Earlier requests that can matter lie on a convex hull of few points. At most 65536 points
are kept for a key, and about a million in all; if that is not enough, the rate is given as "at least".
`}
