//go:build unix

package redisbucket_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// One node of a Cluster that hangs does not keep calls from the others.
func TestOneNodeHangs(t *testing.T) {
	if testing.Short() {
		t.Skip("a Cluster takes seconds to form")
	}
	nodes := startCluster(t, "--cluster-require-full-coverage", "no")
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: addrsOf(nodes)}).(*redis.ClusterClient)
	defer client.Close()
	l := redisbucket.New(client, tokenbucket.Limit{Burst: 1 << 20}, redisbucket.WithBreaker(1, time.Hour))
	take := func(key string) error { _, err := l.Allow(t.Context(), key); return err }
	until(t, func() bool { return take("first") == nil })
	sick := nodes[2].addr
	var healthy, ill []string
	for i := range 100 {
		key := fmt.Sprint("client ", i)
		node, err := client.MasterForKey(t.Context(), redisbucket.Name("tokenbucket", key))
		if err != nil {
			t.Fatal(err)
		}
		if node.Options().Addr == sick {
			ill = append(ill, key)
		} else {
			healthy = append(healthy, key)
		}
	}
	if err := nodes[2].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nodes[2].cmd.Process.Signal(syscall.SIGCONT) }()
	until(t, func() bool { return take(ill[0]) != nil })
	var open int
	for _, n := range l.Stats().Nodes {
		if n.Open {
			open++
			if n.Node != sick {
				t.Errorf("the breaker of %q is open, want that of %q", n.Node, sick)
			}
		}
	}
	if open != 1 {
		t.Errorf("%d breakers are open, want 1: %+v", open, l.Stats())
	}
	patientLimiter := redisbucket.New(client, tokenbucket.Limit{Burst: 1 << 20}, patient)
	for _, key := range healthy {
		if _, err := patientLimiter.Allow(t.Context(), key); err != nil {
			t.Fatalf("key %q of a healthy node: %v", key, err)
		}
		if err := take(key); err != nil && strings.Contains(err.Error(), "not asked") {
			t.Fatalf("key %q of a healthy node: %v", key, err)
		}
	}
}
