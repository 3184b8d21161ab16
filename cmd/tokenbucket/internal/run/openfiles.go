package run

// Open files of a run.
const (
	// filesOfJob is the most that a job has: while it starts, both ends of two pipes, /dev/null and
	// the process; later two temporary files instead of the ends that only the job keeps.
	filesOfJob = 6

	// filesOfFinished is what a finished job keeps until it is printed: two temporary files.
	filesOfFinished = 2

	// filesOfRun is for all else: standard streams, list, job log, the Go runtime's poller, the
	// pipe of one fork, and a few that the parent process may have left open.
	filesOfRun = 20
)

// maxOrderedAhead is how many jobs may have been started, with -ordered, from the oldest that has
// not been printed on. It bounds the memory and the temporary files of finished jobs.
const maxOrderedAhead = 500

// fitOpenFiles returns how many jobs may run at once and how many may be started ahead in the
// order, so that all of them have enough files. Both results are at least 1.
func fitOpenFiles(limit uint64, jobs int, ordered bool) (fit, ahead int) {
	room := int(min(limit, 1<<30)) - filesOfRun
	if ordered {
		ahead = max(min(maxOrderedAhead, room/2/filesOfFinished), 1)
		room -= ahead * filesOfFinished
	}
	return max(min(jobs, room/filesOfJob), 1), ahead
}
