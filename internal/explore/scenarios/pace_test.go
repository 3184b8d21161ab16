package scenarios

import (
	"errors"
	"fmt"
	"testing"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/internal/explore"
	"github.com/go-tokenbucket/tokenbucket/internal/explore/twin/atomic"
	"github.com/go-tokenbucket/tokenbucket/internal/explore/twin/context"
	"github.com/go-tokenbucket/tokenbucket/pace"
)

// A party is a group of package pace, and what is seen of its jobs.
type party struct {
	verdict
	bucket  *tokenbucket.Bucket
	keyed   *tokenbucket.Keyed[uint64]
	running atomic.Int64
	begun   atomic.Int64
	most    int64 // that may run at once
	failed  atomic.Int64
	began   int64 // without the points of an atomic: how many jobs have begun, for the check at the end
}

var errJob = errors.New("the job failed")

// job returns a job that fails with err. It checks that no more than most run at once, and that no more have begun than tokens were made.
func (p *party) job(err error) func(context.Context) error {
	return func(context.Context) error {
		if n := p.running.Add(1); n > p.most {
			p.wrong("%d jobs run at once, want at most %d", n, p.most)
		}
		p.began++
		p.running.Add(-1)
		return err
	}
}

// count notes that a job was accepted, if err is nil.
func (p *party) count(err error) {
	if err == nil {
		p.begun.Add(1)
	}
}

func (p *party) check(left float64) error {
	if p.began != p.begun.Load() {
		p.wrong("%d jobs have run, %d were accepted", p.began, p.begun.Load())
	}
	if p.bucket != nil {
		if n := p.bucket.Waiting(); n != 0 {
			p.wrong("%d wait at the end", n)
		}
		if got := p.bucket.Tokens(); got != left-float64(p.began) {
			p.wrong("%v tokens are left of %v after %d jobs", got, left, p.began)
		}
	}
	return p.err
}

// group returns a scenario of a group whose bucket has eight tokens and never gets more. Each of lines is a goroutine that starts jobs.
// Another goroutine waits for the jobs once all these are done.
func group(concurrency int, lines ...func(g *pace.Group, p *party)) func(x *explore.Execution) {
	return func(x *explore.Execution) {
		p := &party{bucket: tokenbucket.New(tokenbucket.Rate{}, 8), most: int64(concurrency)}
		ctx, cancel := context.WithCancel(context.Background())
		_ = cancel
		g, _ := pace.NewGroup(ctx, p.bucket, concurrency)
		done := make(chan struct{}, len(lines))
		for i, f := range lines {
			x.Go(fmt.Sprintf("goroutine %d", i), func() {
				f(g, p)
				explore.Send(done, struct{}{})
			})
		}
		x.Go("waiter", func() {
			for range lines {
				explore.Receive(done)
			}
			switch err := g.Wait(); {
			case p.failed.Load() > 0 && !errors.Is(err, errJob):
				p.wrong("Wait returned %v, want the job's error", err)
			case p.failed.Load() == 0 && err != nil:
				p.wrong("Wait returned %v", err)
			}
			if err := g.Go(p.job(nil)); !errors.Is(err, context.Canceled) {
				p.wrong("Go after Wait returned %v", err)
			}
		})
		x.Check = func() error { return p.check(8) }
	}
}

func goes(g *pace.Group, p *party) {
	for range 2 {
		p.count(g.Go(p.job(nil)))
	}
}

func goesOnce(g *pace.Group, p *party) { p.count(g.Go(p.job(nil))) }

func triesTwice(g *pace.Group, p *party) {
	for range 2 {
		if g.TryGo(p.job(nil)) {
			p.begun.Add(1)
		}
	}
}

// fails starts a job that fails, if it is started before another one has.
func fails(g *pace.Group, p *party) {
	if g.Go(p.job(errJob)) == nil {
		p.begun.Add(1)
		p.failed.Add(1)
	}
}

// groups are the scenarios of pace.Group. Wait may only begin when no more jobs are started, as of an errgroup.
var groups = []custom{
	{"Go beside Go, one at a time", 2, group(1, goesOnce, goesOnce)},
	{"Go beside Go, two at a time", 2, group(2, goes, goesOnce)},
	{"Go beside TryGo", 2, group(1, goesOnce, triesTwice)},
	{"TryGo beside TryGo", 2, group(1, triesTwice, triesTwice)},
	{"Go beside a job that fails", 2, group(1, goesOnce, fails)},
	{"TryGo beside a job that fails", 2, group(1, triesTwice, fails)},
	{"two jobs that fail", 2, group(2, fails, fails)},
	{"Go that waits for tokens beside a job that fails", 2, starved()},
	{"Go of a key beside Go of another", 2, keyedGroup(1, 8, 1, 1, 2)},
	{"Go beside Go of one key", 2, keyedGroup(2, 8, 1, 1, 1)},
	{"Go of a key thrice", 2, keyedGroup(2, 8, 3, 1)},
	{"Go of keys with room for one", 1, keyedGroup(1, 1, 2, 1, 1)},
}

// starved is a group of two jobs and one token, which comes late. The job that gets it fails, so the other is not started.
func starved() func(x *explore.Execution) {
	return func(x *explore.Execution) {
		p := &party{bucket: tokenbucket.New(tokenbucket.Rate{}, 1), most: 2}
		p.bucket.Charge(1)
		g, _ := pace.NewGroup(context.Background(), p.bucket, 2)
		done := make(chan struct{}, 2)
		for range 2 {
			x.Go("starter", func() {
				fails(g, p)
				explore.Send(done, struct{}{})
			})
		}
		x.Go("refunder", func() { p.bucket.Refund(1) })
		x.Go("waiter", func() {
			explore.Receive(done)
			explore.Receive(done)
			if err := g.Wait(); p.began != 1 || !errors.Is(err, errJob) {
				p.wrong("Wait returned %v after %d jobs", err, p.began)
			}
		})
		x.Check = func() error {
			if n := p.bucket.Waiting(); n != 0 {
				p.wrong("%d wait at the end", n)
			}
			return p.err
		}
	}
}

// keyedGroup is a KeyedGroup in which two goroutines start some jobs each, of one key each.
func keyedGroup(concurrency, queue, jobs int, keys ...uint64) func(x *explore.Execution) {
	return func(x *explore.Execution) {
		p := &party{keyed: tokenbucket.NewKeyed[uint64](tariffs[slow1].Rate, 1), most: int64(concurrency)}
		g, _ := pace.NewKeyedGroup(context.Background(), p.keyed, concurrency, pace.WithQueue(queue))
		done := make(chan struct{}, len(keys))
		for _, key := range keys {
			x.Go("starter", func() {
				for range jobs {
					err := g.Go(key, p.job(nil))
					p.count(err)
					if err != nil {
						p.wrong("Go returned %v", err)
					}
				}
				explore.Send(done, struct{}{})
			})
		}
		x.Go("waiter", func() {
			for range keys {
				explore.Receive(done)
			}
			if err := g.Wait(); err != nil {
				p.wrong("Wait returned %v", err)
			}
		})
		x.Check = func() error {
			for _, key := range keys {
				if n := p.keyed.Waiting(key); n != 0 {
					p.wrong("%d wait for key %d at the end", n, key)
				}
			}
			return p.check(0)
		}
	}
}

func TestGroups(t *testing.T) { exploreCustom(t, groups) }
