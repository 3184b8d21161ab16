// Package pace runs jobs and moves bytes at the pace of a
// [github.com/go-tokenbucket/tokenbucket.Bucket]. Jobs start no more often than the bucket allows,
// and at most a fixed number of them run at once. Readers, writers and connections take one token
// for each byte.
//
//	group, ctx := pace.NewGroup(ctx, bucket, 8) // at the bucket's rate, up to eight at once
//	for _, job := range jobs {
//		if group.Go(job.Run) != nil {
//			break // the group has ended; Wait returns the reason
//		}
//	}
//	err := group.Wait()
//
// # Which one to choose
//
//	Group        jobs that come one by one, started in the order of the calls
//	KeyedGroup   the same with a bucket for each key, where no key delays another
//	ForEach      a job for each item of a sequence
//	Map          a job for each item of a sequence, whose results are a sequence again
//	Retry        one job, repeated until it succeeds; each attempt takes a token
//	Reader       an io.Reader, read at the pace of a bucket
//	Writer       an io.Writer, written at the pace of a bucket
//	Conn         a net.Conn with a bucket for each direction
//
// # Guarantees for jobs
//
// A job takes its tokens at the instant at which it starts, when it already has a slot. So the
// starts of jobs keep to the bound of the bucket, and on a bucket without other users they come at
// exactly the scheduled instants. A job that waits for its turn is not a goroutine; in a
// KeyedGroup, each key with queued jobs has one.
//
// The first error ends the context of all jobs, and no more are started. Wait and ForEach return
// nil only if every job that was handed over has run and returned nil. If the context ended or the
// bucket refused before all were started, they return an error although no job failed. In a Map, an
// error of a job concerns its item alone.
//
// Nothing that this package started still runs when Wait, ForEach, or the loop over a Map returns
// or panics, and nothing is started afterwards. So jobs should return when their context ends.
//
// # Guarantees for bytes
//
// No byte is lost or repeated, and only bytes that were moved cost tokens: those of short reads and
// writes, of errors, and of waits that were interrupted are put back. Once the burst is spent the
// bytes flow evenly, in chunks of 10 ms of refill. Several streams that share a bucket take turns,
// first come, first served, a chunk each, however large their buffers are.
//
// # Panics
//
// A panic in a job ends the others, and is raised again as a [*PanicError], with the value and the
// stack, in the goroutine that calls Wait or ForEach or loops over a Map. A job that calls
// [runtime.Goexit] makes that goroutine exit.
//
// golang.org/x/sync/errgroup did so too in its versions 0.14 and 0.15. Since then it lets a panic
// end the program at once, because a panic was delayed, or lost, where no goroutine reached Wait.
// In this package Go returns an error after a panic, so its caller reaches Wait soon, and the loops
// of ForEach and Map panic as any loop does.
//
// A mistake in the calling program, such as a concurrency of 0, panics with a message that begins
// with "pace: ".
package pace
