package redisbucket_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// cluster starts three nodes and waits until they agree.
func cluster(t *testing.T) []string {
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		if cli, err = exec.LookPath("valkey-cli"); err != nil {
			t.Skip("this test needs redis-cli or valkey-cli")
		}
	}
	var addrs []string
	for range 3 {
		s := startOwn(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
		addrs = append(addrs, s.addr)
	}
	args := append([]string{"--cluster", "create"}, addrs...)
	if out, err := exec.Command(cli, append(args, "--cluster-yes")...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	until(t, func() bool {
		for _, a := range addrs {
			info, err := patientClient(t, a).ClusterInfo(t.Context()).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") {
				return false
			}
		}
		return true
	})
	return addrs
}

func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("a Cluster takes seconds to form")
	}
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: cluster(t)})
	defer client.Close()
	if _, ok := client.(*redis.ClusterClient); !ok {
		t.Fatalf("the client is a %T", client)
	}
	a := redisbucket.New(client, tokenbucket.Limit{Burst: 3}, redisbucket.WithPrefix("a"), patient)
	b := redisbucket.New(client, tokenbucket.Limit{Burst: 2}, redisbucket.WithPrefix("b"), patient)
	for _, key := range append(nasty, "1", "2", "3", "4", "5", "6", "7", "8") {
		for i, want := range []bool{true, true, false} {
			res, err := redisbucket.TakeAll(t.Context(), key, redisbucket.Claim{Limiter: a, N: 1}, redisbucket.Claim{Limiter: b, N: 1})
			if err != nil || res[0].Allowed != want {
				t.Fatalf("key %q, %d: %+v, %v", key, i, res, err)
			}
		}
		if n, err := a.TakeAvailable(t.Context(), key, 9); n != 1 || err != nil {
			t.Fatalf("key %q: %d left, %v", key, n, err)
		}
	}
}
