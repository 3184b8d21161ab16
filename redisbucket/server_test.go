package redisbucket_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// shared is the address of the server that most tests use.
var shared string

func TestMain(m *testing.M) {
	if os.Getenv("REDISBUCKET_CHILD") != "" {
		child()
		return
	}
	redis.SetLogger(quiet{}) // about refused connections, which are what these tests are about
	os.Exit(run(m))
}

type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func run(m *testing.M) int {
	s, err := start("", 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, "These tests need a real server:", err)
		fmt.Fprintln(os.Stderr, "Run redisbucket/testdata/install-redis, or install redis-server or valkey-server,")
		fmt.Fprintln(os.Stderr, "or set REDISBUCKET_SERVER to the path of one of them.")
		return 1
	}
	defer s.kill()
	shared = s.addr
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreTopFunction("net.(*netFD).accept"),
			goleak.IgnoreAnyFunction("github.com/alicebob/miniredis/v2/server.(*Server).serve"), // of the examples
			// go-redis leaves it behind when a client is closed that was just dialing
			goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/maintnotifications.(*CircuitBreakerManager).cleanupLoop"),
		); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

type server struct {
	addr string
	dir  string
	args []string
	cmd  *exec.Cmd
}

// binary returns the path of the server's program: the one that REDISBUCKET_SERVER names, or any.
func binary() (string, error) {
	if path := os.Getenv("REDISBUCKET_SERVER"); path != "" {
		return path, nil
	}
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("neither redis-server nor valkey-server is in PATH")
}

// start starts a server in a folder of its own, or in dir, on a free port or the given one, with further arguments.
func start(dir string, port int, args ...string) (*server, error) {
	path, err := binary()
	if err != nil {
		return nil, err
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "redisbucket"); err != nil {
			return nil, err
		}
	}
	if port == 0 {
		port = freePort()
	}
	s := &server{addr: "127.0.0.1:" + strconv.Itoa(port), dir: dir, args: args}
	list := append([]string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir}, args...)
	s.cmd = exec.Command(path, list...)
	if err := s.run(); err != nil {
		return nil, err
	}
	return s, nil
}

// run starts the process and waits until it answers.
func (s *server) run() error {
	if err := s.cmd.Start(); err != nil {
		return err
	}
	c := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1, DialerRetries: 1})
	defer c.Close()
	var err error
	for range 2000 {
		if err = c.Ping(context.Background()).Err(); err == nil {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.kill()
	return fmt.Errorf("%s does not answer on %s: %w", s.cmd.Path, s.addr, err)
}

// crash kills the server with kill -9. Its data stay.
func (s *server) crash() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// again starts a server that has crashed, on its old address and with its data.
func (s *server) again(t testing.TB) {
	t.Helper()
	s.cmd = exec.Command(s.cmd.Path, s.cmd.Args[1:]...)
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	_ = os.RemoveAll(s.dir)
}

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func portOf(addr string) int {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		panic(err)
	}
	return a.Port
}

// startOwn starts a real server for this test alone.
func startOwn(t testing.TB, args ...string) *server {
	t.Helper()
	s, err := start("", 0, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	return s
}

// patientClient is a client for tests on a busy machine that are not about time.
func patientClient(t testing.TB, addr string) redis.UniversalClient {
	const long = 20 * time.Second
	c := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{addr}, DialTimeout: long, ReadTimeout: long, WriteTimeout: long,
		PoolTimeout: long})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// patient is a budget for tests on a busy machine that are not about time.
var patient = redisbucket.WithBudget(20 * time.Second)

// limiterOf returns a limiter on the shared server, whose keys no other test has.
func limiterOf(t testing.TB, rate tokenbucket.Rate, burst int, opts ...redisbucket.Option) *redisbucket.Limiter {
	c := patientClient(t, shared)
	opts = append([]redisbucket.Option{redisbucket.WithPrefix(unique(t)), patient}, opts...)
	return redisbucket.New(c, tokenbucket.Limit{Rate: rate, Burst: burst}, opts...)
}

var serial atomic.Int64

func unique(t testing.TB) string {
	return filepath.Base(t.Name()) + strconv.FormatInt(serial.Add(1), 10)
}

// fakeTime shadows the functions of the server that have to do with time: TIME is the microseconds in the key named clock, and
// keys expire by it as the server's do, in whole milliseconds.
const fakeTime = `
local real = redis
local redis = {pcall = redis.pcall, call = function(cmd, ...)
  local key, value, px, ms = ...
  local us = tonumber(real.call('GET', '%[1]s'))
  local now = math.floor(us / 1000)
  if cmd == 'TIME' then
    return {string.format('%%.0f', math.floor(us / 1000000)), string.format('%%.0f', us %% 1000000)}
  elseif cmd == 'DEL' then
    return real.call('DEL', key .. '!', ...)
  elseif cmd == 'SET' then
    real.call('INCR', '%[1]swrites')
    if px then real.call('SET', key .. '!', string.format('%%.0f', now + ms)) else real.call('DEL', key .. '!') end
    return real.call('SET', key, value)
  elseif cmd == 'GET' then
    local at = real.call('GET', key .. '!')
    if at and now >= tonumber(at) then real.call('DEL', key, key .. '!') end
  end
  return real.call(cmd, ...)
end}
`

// A stage is a limiter whose server's time is the test's.
type stage struct {
	*redisbucket.Limiter
	t      testing.TB
	client redis.UniversalClient
	clock  string
	now    int64 // microseconds
}

// epoch is where a stage's time begins: some day of 2026, in microseconds.
const epoch = 1_780_000_000_123_457

// preamble is what the scripts of a limiter begin with to share the stage's time.
func (s *stage) preamble() string { return fmt.Sprintf(fakeTime, s.clock) }

func stageOf(t testing.TB, l *redisbucket.Limiter, c redis.UniversalClient) *stage {
	s := &stage{Limiter: l, t: t, client: c, clock: unique(t) + "clock"}
	redisbucket.SetPreamble(l, fmt.Sprintf(fakeTime, s.clock))
	s.at(epoch)
	return s
}

func newStage(t testing.TB, limit tokenbucket.Limit) *stage {
	c := patientClient(t, shared)
	return stageOf(t, redisbucket.New(c, limit, redisbucket.WithPrefix(unique(t)), patient), c)
}

func (s *stage) at(us int64) {
	s.now = us
	if err := s.client.Set(context.Background(), s.clock, us, 0).Err(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) advance(d time.Duration) { s.at(s.now + d.Microseconds()) }

// writes returns how often the scripts have written since it was last asked.
func (s *stage) writes() int {
	n, err := s.client.GetDel(context.Background(), s.clock+"writes").Int()
	if err != nil && err != redis.Nil {
		s.t.Fatal(err)
	}
	return n
}

// take is Take for tests that expect no error.
func (s *stage) take(n int) tokenbucket.Result {
	s.t.Helper()
	res, err := s.Take(context.Background(), "k", n)
	if err != nil {
		s.t.Fatal(err)
	}
	return res
}
