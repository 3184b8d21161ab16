package redisbucket_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// What the processes of TestLeaseProcesses share.
const leaseTime = 100 * time.Millisecond

var leasedLimit = tokenbucket.Limit{Rate: tokenbucket.PerSecond(500), Burst: 100}

// A process of TestLeaseProcesses is this test binary again.
func init() {
	if how := os.Getenv("REDISBUCKET_LEASE_CHILD"); how != "" {
		leaseChild(how)
	}
}

// leaseChild takes tokens until its standard input ends or it is killed, and prints when it got
// each: by the wall clock, which all processes of a machine have in common, before and after.
func leaseChild(how string) {
	addr, prefix, _ := strings.Cut(how, " ")
	c := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{addr}, ReadTimeout: 20 * time.Second, PoolTimeout: 20 * time.Second})
	l := redisbucket.New(c, leasedLimit, redisbucket.WithPrefix(prefix), patient, redisbucket.WithLease(leaseTime))
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	var mu sync.Mutex
	for range 3 {
		go func() {
			for {
				before := time.Now().UnixMicro()
				ok, err := l.Allow(context.Background(), "k")
				after := time.Now().UnixMicro()
				if err == nil && ok {
					mu.Lock()
					fmt.Println(before, after)
					mu.Unlock()
				} else {
					time.Sleep(100 * time.Microsecond) // so as to leave the processor to the others
				}
			}
		}()
	}
	select {}
}

// A leaseProcess is one that runs.
type leaseProcess struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	served []grant
	done   chan struct{}
}

func startLeaseProcess(t *testing.T, prefix string) *leaseProcess {
	p := &leaseProcess{cmd: exec.Command(os.Args[0]), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "REDISBUCKET_LEASE_CHILD="+shared+" "+prefix)
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.stdin = in
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var g grant
			if n, _ := fmt.Sscan(lines.Text(), &g.from, &g.to); n == 2 {
				p.served = append(p.served, g)
			}
		}
	}()
	return p
}

// end waits until the process has ended, and returns what it was granted.
func (p *leaseProcess) end() []grant {
	_ = p.stdin.Close()
	<-p.done
	_ = p.cmd.Wait()
	return p.served
}

// Processes that lease keep the bound of leases together, also when one of them dies with what it
// holds.
func TestLeaseProcesses(t *testing.T) {
	prefix := unique(t)
	var all []*leaseProcess
	for range 3 {
		all = append(all, startLeaseProcess(t, prefix))
	}
	time.Sleep(700 * time.Millisecond) // the length of the load; nothing is asserted about it
	_ = all[0].cmd.Process.Kill()
	all = append(all, startLeaseProcess(t, prefix))
	time.Sleep(500 * time.Millisecond)
	var grants []grant
	for _, p := range all {
		grants = append(grants, p.end()...)
	}
	if len(grants) < leasedLimit.Burst {
		t.Fatalf("%d tokens were granted, want the burst of %d at least", len(grants), leasedLimit.Burst)
	}
	bound := leasedLimit
	bound.Burst += int(leasedLimit.Rate.TokensPerSecond() * leaseTime.Seconds())
	checkBound(t, grants, bound)
	t.Logf("%d tokens to %d processes", len(grants), len(all))
}
