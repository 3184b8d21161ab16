package redisbucket_test

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

func clusterCLI(t *testing.T) string {
	for _, name := range []string{"redis-cli", "valkey-cli"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("this test needs redis-cli or valkey-cli, which come with the server")
	return ""
}

// startCluster starts three nodes and waits until they agree.
func startCluster(t *testing.T, args ...string) []*server {
	var nodes []*server
	for range 3 {
		nodes = append(nodes, startOwn(t, append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "2000"}, args...)...))
	}
	list := append([]string{"--cluster", "create"}, addrsOf(nodes)...)
	if out, err := exec.Command(clusterCLI(t), append(list, "--cluster-yes")...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	until(t, func() bool {
		for _, a := range addrsOf(nodes) {
			info, err := patientClient(t, a).ClusterInfo(t.Context()).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") {
				return false
			}
		}
		return true
	})
	return nodes
}

func addrsOf(nodes []*server) (addrs []string) {
	for _, s := range nodes {
		addrs = append(addrs, s.addr)
	}
	return addrs
}

func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("a Cluster takes seconds to form")
	}
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: addrsOf(startCluster(t))})
	defer client.Close()
	if _, ok := client.(*redis.ClusterClient); !ok {
		t.Fatalf("the client is a %T", client)
	}
	a := redisbucket.New(client, tokenbucket.Limit{Burst: 3}, redisbucket.WithPrefix("a"), patient)
	b := redisbucket.New(client, tokenbucket.Limit{Burst: 2}, redisbucket.WithPrefix("b"), patient)
	for _, key := range append(nasty, "1", "2", "3", "4", "5", "6", "7", "8") {
		for i, want := range []bool{true, true, false} {
			res, err := redisbucket.TakeAll(t.Context(), a.Claim(key, 1), b.Claim(key, 1))
			if err != nil || res[0].Allowed != want {
				t.Fatalf("key %q, %d: %+v, %v", key, i, res, err)
			}
		}
		if n, _, err := a.TakeAvailable(t.Context(), key, 9); n != 1 || err != nil {
			t.Fatalf("key %q: %d left, %v", key, n, err)
		}
	}
}

// A slot that moves while its keys are asked for, and a node that dies and comes back: nothing is granted twice, and service
// returns by itself.
func TestClusterChanges(t *testing.T) {
	if testing.Short() {
		t.Skip("a Cluster takes seconds to form")
	}
	nodes := startCluster(t, "--appendonly", "yes", "--appendfsync", "always", "--cluster-require-full-coverage", "no")
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: addrsOf(nodes)})
	defer client.Close()
	l := redisbucket.New(client, tokenbucket.Limit{Burst: 50}, redisbucket.WithBreaker(1<<30, time.Second))
	keys := make([]string, 60)
	for i := range keys {
		keys[i] = fmt.Sprint("client ", i)
	}
	granted := make([]atomic.Int64, len(keys))
	take := func() (failed int) {
		for i, key := range keys {
			ok, err := l.Allow(t.Context(), key)
			if ok && err == nil {
				granted[i].Add(1)
			} else if err != nil {
				failed++
			}
		}
		return failed
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 8 {
				take()
			}
		})
	}
	moveSlots(t, nodes[0].addr, nodes[1].addr, 3000)
	all.Wait()
	nodes[2].crash()
	until(t, func() bool { return take() > 0 })
	nodes[2].again(t)
	until(t, func() bool { return take() == 0 })
	for range 60 {
		take()
	}
	for i, key := range keys {
		if n := granted[i].Load(); n > 50 || n < 10 {
			t.Errorf("key %q was granted %d tokens of 50", key, n)
		}
	}
}

// moveSlots moves some slots with their keys from one node of a Cluster to another.
func moveSlots(t *testing.T, from, to string, n int) {
	t.Helper()
	out, err := exec.Command(clusterCLI(t), "--cluster", "reshard", from, "--cluster-from", nodeID(t, from), "--cluster-to", nodeID(t, to),
		"--cluster-slots", fmt.Sprint(n), "--cluster-yes").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func nodeID(t *testing.T, addr string) string {
	id, err := patientClient(t, addr).Do(t.Context(), "CLUSTER", "MYID").Text()
	if err != nil {
		t.Fatal(err)
	}
	return id
}
