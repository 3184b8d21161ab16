package main

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/goredisstore.v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// The contenders that keep their state on a Redis or Valkey server.
const (
	usExact    = "redisbucket"
	usLeased   = "redisbucket, leased"
	redisRate  = "redis_rate"
	floorRedis = "GET"
)

// A remote limiter takes a token of a key.
type remote func(ctx context.Context, key string) (bool, error)

type redisPeer struct {
	who  string
	make func(c redis.UniversalClient, l limit) (remote, error)
}

var redisPeers = []redisPeer{
	{floorRedis, getRemote},
	{usExact, exactRemote},
	{usLeased, leasedRemote},
	{redisRate, redisRateRemote},
	{throttle, throttledRemote},
}

// getRemote is no limiter, but the cheapest of round trips.
func getRemote(c redis.UniversalClient, l limit) (remote, error) {
	return func(ctx context.Context, key string) (bool, error) {
		err := c.Get(ctx, key).Err()
		if err == redis.Nil {
			err = nil
		}
		return l.every < time.Second, err
	}, nil
}

func (l limit) bucket() tokenbucket.Limit {
	return tokenbucket.Limit{Rate: tokenbucket.Every(l.every), Burst: l.burst}
}

func exactRemote(c redis.UniversalClient, l limit) (remote, error) {
	return redisbucket.New(c, l.bucket()).Allow, nil
}

func leasedRemote(c redis.UniversalClient, l limit) (remote, error) {
	return redisbucket.New(c, l.bucket(), redisbucket.WithLease(time.Second)).Allow, nil
}

func redisRateRemote(c redis.UniversalClient, l limit) (remote, error) {
	limiter := redis_rate.NewLimiter(c)
	per := redis_rate.Limit{Rate: 1, Period: l.every, Burst: l.burst}
	return func(ctx context.Context, key string) (bool, error) {
		res, err := limiter.Allow(ctx, key, per)
		return err == nil && res.Allowed > 0, err
	}, nil
}

func throttledRemote(c redis.UniversalClient, l limit) (remote, error) {
	store, err := goredisstore.NewCtx(c, "throttled:")
	if err != nil {
		return nil, err
	}
	quota := throttled.RateQuota{MaxRate: throttled.PerDuration(1, l.every), MaxBurst: l.burst - 1}
	limiter, err := throttled.NewGCRARateLimiterCtx(store, quota)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, key string) (bool, error) {
		limited, _, err := limiter.RateLimitCtx(ctx, key, 1)
		return !limited, err
	}, nil
}

var redisWork = []struct {
	row     string
	keys    int
	callers int
	limit   limit
}{
	{"allow,one key,1 caller", 1, 1, plenty},
	{"allow,one key,16 callers", 1, 16, plenty},
	{"allow,1000 keys,16 callers", 1000, 16, plenty},
	{"deny,one key,16 callers", 1, 16, nothing},
}

// redisCells are decisions that processes share, on a server on the same machine.
func redisCells(s size) []cell {
	var all []cell
	for _, work := range redisWork {
		for _, p := range redisPeers {
			all = append(all, cell{
				table: "redis", row: work.row, who: p.who, time: pick(s.quick, "100ms", "1s"), every: 2,
				prepare: func() func(b *testing.B) {
					return func(b *testing.B) { askRemote(b, p, work.limit, work.keys, work.callers) }
				},
			})
		}
	}
	return all
}

// A tripCounter counts the round trips of a client.
type tripCounter struct{ trips atomic.Int64 }

func (c *tripCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *tripCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.trips.Add(1)
		return next(ctx, cmd)
	}
}

func (c *tripCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.trips.Add(1)
		return next(ctx, cmds)
	}
}

// askRemote measures decisions: the time that passes divided by their number, and round trips for each.
func askRemote(b *testing.B, p redisPeer, l limit, keys, callers int) {
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{serveRedis(b)}, PoolSize: callers})
	b.Cleanup(func() { _ = client.Close() })
	var counter tripCounter
	client.AddHook(&counter)
	allow, err := p.make(client, l)
	if err != nil {
		b.Fatal(err)
	}
	names := make([]string, keys)
	for i := range names {
		names[i] = "client-" + strconv.Itoa(i)
		if _, err := allow(b.Context(), names[i]); err != nil { // connections, scripts, and what one token there is
			b.Fatal(err)
		}
	}
	for end := time.Now().Add(warmUp); time.Now().Before(end); { // until batches have grown to the demand
		decide(b, allow, names, callers, 1000)
	}
	counter.trips.Store(0)
	b.ResetTimer()
	granted := decide(b, allow, names, callers, int64(b.N))
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/op")
	b.ReportMetric(float64(counter.trips.Load())/float64(b.N), "trips/op")
	if want := pick(l == plenty, int64(b.N), 0); granted != want {
		b.Fatalf("%d of %d calls were granted, want %d", granted, b.N, want)
	}
}

// decide makes n decisions, by so many callers at once, and returns how many were granted.
func decide(b *testing.B, allow remote, keys []string, callers int, n int64) int64 {
	var granted, next atomic.Int64
	var all sync.WaitGroup
	const share = 64 // calls that a caller fetches at once
	for range callers {
		all.Go(func() {
			mine := 0
			for {
				first := next.Add(share) - share
				for range max(min(n-first, share), 0) {
					ok, err := allow(b.Context(), keys[rand.IntN(len(keys))])
					if err != nil {
						b.Error(err)
						return
					}
					if ok {
						mine++
					}
				}
				if first+share >= n {
					break
				}
			}
			granted.Add(int64(mine))
		})
	}
	all.Wait()
	return granted.Load()
}

// serveRedis starts a server for this benchmark alone and returns its address.
func serveRedis(b *testing.B) string {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		path, err = exec.LookPath("valkey-server")
	}
	if err != nil {
		b.Fatal("neither redis-server nor valkey-server is there; redisbucket/testdata/install-redis installs one")
	}
	dir, err := os.MkdirTemp("", "bench-redis")
	if err != nil {
		b.Fatal(err)
	}
	socket := filepath.Join(dir, "socket")
	cmd := exec.Command(path, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	})
	for range 1000 {
		c, err := net.Dial("unix", socket)
		if err == nil {
			_ = c.Close()
			return socket
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.Fatalf("%s does not listen on %s", path, socket)
	return ""
}
