package redisbucket_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// startSentinel watches over a master, alone: its vote is enough.
func startSentinel(t *testing.T, master string) string {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(master, ":")
	dir, own := t.TempDir(), freePort()
	file := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor main %s %s 1\n"+
		"sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 2000\n", own, dir, host, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{addr: "127.0.0.1:" + strconv.Itoa(own), dir: dir, cmd: exec.Command(path, file, "--sentinel")}
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	return s.addr
}

// When the master dies, Sentinel makes its replica the master and go-redis follows: service returns by itself. What the
// replica had not got is granted again, at most a burst.
func TestFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("a failover takes seconds")
	}
	master := startOwn(t)
	replica := startOwn(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(portOf(master.addr)))
	follows := patientClient(t, replica.addr)
	until(t, func() bool {
		info, err := follows.Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	sentinel := startSentinel(t, master.addr)
	watch := redis.NewSentinelClient(&redis.Options{Addr: sentinel})
	defer watch.Close()
	until(t, func() bool {
		replicas, err := watch.Replicas(t.Context(), "main").Result()
		return err == nil && len(replicas) == 1
	})
	client := redisbucket.NewClient(redis.UniversalOptions{MasterName: "main", Addrs: []string{sentinel}})
	defer client.Close()
	empty := redisbucket.New(client, tokenbucket.Limit{Burst: 3}, redisbucket.WithPrefix("empty"), patient)
	if n, _, err := empty.TakeAvailable(t.Context(), "k", 10); n != 3 || err != nil {
		t.Fatalf("TakeAvailable = %d, %v, want 3", n, err)
	}
	x := startLoad(t, redisbucket.New(client, brisk, redisbucket.WithBreaker(2, 10*time.Millisecond)), 4)
	x.goesOn(t)
	if n, err := client.Do(t.Context(), "WAIT", 1, 5000).Int(); n != 1 || err != nil {
		t.Fatalf("the replica has not followed: %d, %v", n, err)
	}
	master.crash()
	before := x.failed.Load()
	until(t, func() bool { return x.failed.Load() > before })
	x.goesOn(t)
	bound := brisk
	bound.Burst *= 2
	checkBound(t, x.end(), bound)
	if n, _, err := empty.TakeAvailable(t.Context(), "k", 10); n != 0 || err != nil {
		t.Errorf("TakeAvailable = %d, %v: what the replica had got was granted again", n, err)
	}
}
