// Package pace runs jobs: at most so many at once, and started no more often than a
// [github.com/go-tokenbucket/tokenbucket.Bucket] allows.
//
//	group, ctx := pace.NewGroup(ctx, bucket, 8) // at the bucket's rate, up to eight at once
//	for _, job := range jobs {
//		if group.Go(job.Run) != nil {
//			break // the group has ended; Wait tells why
//		}
//	}
//	err := group.Wait()
//
// # Which one to choose
//
//	Group        jobs that come one by one, started in the order of the calls
//	KeyedGroup   the same with a bucket for each key, where no key holds up another
//	ForEach      a job for each item of a sequence
//	Map          a job for each item of a sequence, whose results are a sequence again
//	Retry        one job, again and again until it succeeds, each attempt at the price of a token
//
// # What is promised
//
// A job takes its tokens at the moment at which it is started, with a slot already in its hands. So the starts of jobs
// keep to the bound of the bucket, and on a bucket that nobody else uses they come at exactly the scheduled instants. A
// job that waits for its turn is not a goroutine; only of a KeyedGroup, each key that has jobs queued has one.
//
// The first error cancels the context of all jobs, and nothing is started any more. Wait and ForEach return nil only if
// every job that was handed over was run and returned nil: if the context ended or the bucket refused before all were
// started, that is an error too, though no job failed. Of a Map, an error of a job is the matter of its item alone.
//
// All that this package starts has ended when Wait, ForEach, or the loop over a Map returns or panics. So jobs should heed
// their context.
//
// # Panics
//
// A panic in a job cancels the others, and is raised again as a [*PanicError], with the value and the stack, in the
// goroutine that calls Wait or ForEach or loops over a Map; a job that calls [runtime.Goexit] makes that goroutine exit.
// golang.org/x/sync/errgroup, on which this package is built, did so in its versions 0.14 and 0.15. Since then it leaves a
// panic alone, to end the program at once, because it was held back or lost where nobody got to Wait. Here whoever hands
// in jobs is told by an error of Go and so gets to Wait soon; and the loops of ForEach and Map panic like any loop.
//
// A mistake in the calling program, such as a concurrency of 0, panics with a message that begins with "pace: ".
package pace
