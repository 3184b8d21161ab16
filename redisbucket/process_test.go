package redisbucket_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// The limit that all the processes hammer.
var crowded = tokenbucket.Limit{Rate: tokenbucket.PerSecond(200), Burst: 50}

// child is what a process of TestManyProcesses does: it takes tokens until it is killed or told
// to stop, and prints for each how long the script says the server's clock has been running.
func child() {
	addr, prefix, _ := strings.Cut(os.Getenv("REDISBUCKET_CHILD"), " ")
	c := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{addr}, ReadTimeout: 20 * time.Second, PoolTimeout: 20 * time.Second})
	l := redisbucket.New(c, crowded, redisbucket.WithPrefix(prefix), patient)
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	var mu sync.Mutex
	for range 4 {
		go func() {
			for {
				before := serverTime(c)
				if ok, err := l.Allow(context.Background(), "k"); ok && err == nil {
					after := serverTime(c)
					mu.Lock()
					fmt.Println(before, after)
					mu.Unlock()
				}
			}
		}()
	}
	select {}
}

func serverTime(c redis.UniversalClient) int64 {
	t, err := c.Time(context.Background()).Result()
	if err != nil {
		return 0
	}
	return t.UnixMicro()
}

// A grant was made by the server at some instant of an interval, in its microseconds.
type grant struct{ from, to int64 }

// checkBound looks at every window that begins and ends with a grant: those that certainly lie in
// it must be within the bound of the longest window that it can be.
func checkBound(t *testing.T, grants []grant, l tokenbucket.Limit) {
	t.Helper()
	perMicro := l.Rate.TokensPerSecond() / 1e6
	slices.SortFunc(grants, func(a, b grant) int { return cmp.Compare(a.to, b.to) })
	for _, first := range grants {
		n := 0
		for _, last := range grants {
			if last.from < first.from {
				continue
			}
			n++
			if most := float64(l.Burst) + perMicro*float64(last.to-first.from+1); float64(n) > most+1e-6 {
				t.Fatalf("%d tokens in %d us, want at most %v", n, last.to-first.from, most)
			}
		}
	}
}

func TestManyProcesses(t *testing.T) {
	prefix := unique(t)
	outs := make([]strings.Builder, 3)
	cmds := make([]*exec.Cmd, len(outs))
	for i := range cmds {
		cmds[i] = exec.Command(os.Args[0])
		cmds[i].Env = append(os.Environ(), "REDISBUCKET_CHILD="+shared+" "+prefix)
		cmds[i].Stdout = &outs[i]
		in, err := cmds[i].StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		if err := cmds[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(700 * time.Millisecond) // the load's length; nothing is asserted about it
	_ = cmds[0].Process.Kill()         // in the middle of whatever it does
	time.Sleep(300 * time.Millisecond)
	var grants []grant
	for i, c := range cmds {
		_ = c.Process.Kill()
		_ = c.Wait()
		for line := range strings.Lines(outs[i].String()) {
			from, to, _ := strings.Cut(strings.TrimSpace(line), " ")
			a, err1 := strconv.ParseInt(from, 10, 64)
			b, err2 := strconv.ParseInt(to, 10, 64)
			if err1 == nil && err2 == nil && a > 0 && b > 0 {
				grants = append(grants, grant{a, b})
			}
		}
	}
	if len(grants) < crowded.Burst {
		t.Fatalf("%d tokens were granted, want the burst of %d at least", len(grants), crowded.Burst)
	}
	checkBound(t, grants, crowded)
	t.Logf("%d tokens to %d processes", len(grants), len(cmds))
}

// A saturated bucket delivers all of its rate and no more, whoever asks.
func TestManyClients(t *testing.T) {
	l := limiterOf(t, crowded.Rate, crowded.Burst)
	c := patientClient(t, shared)
	start := serverTime(c)
	var granted atomic.Int64
	var wg sync.WaitGroup
	stop := time.Now().Add(time.Second)
	for range 16 {
		wg.Go(func() {
			for time.Now().Before(stop) {
				if ok, err := l.Allow(t.Context(), "k"); err != nil {
					t.Error(err)
				} else if ok {
					granted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	left, err := l.Tokens(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	took := float64(serverTime(c)-start) / 1e6
	most := float64(crowded.Burst) + took*crowded.Rate.TokensPerSecond()
	if got := float64(granted.Load()); got > most || got+left < float64(crowded.Burst)+0.9*crowded.Rate.TokensPerSecond() {
		t.Errorf("%v tokens granted and %v left after %v s, want %v in all", got, left, took, most)
	}
}

// SCRIPT FLUSH in the middle costs nobody a decision.
func TestScriptFlush(t *testing.T) {
	l := limiterOf(t, tokenbucket.Rate{}, 100)
	c := patientClient(t, shared)
	for i := range 101 {
		if i%10 == 0 {
			if err := c.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if ok, err := l.Allow(t.Context(), "k"); err != nil || ok != (i < 100) {
			t.Fatalf("Allow number %d = %v, %v", i, ok, err)
		}
	}
}
