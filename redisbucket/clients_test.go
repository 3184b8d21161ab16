package redisbucket_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// Whatever client of go-redis asks: what 50 callers are granted is what there is.
func TestClients(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": startOwn(t).addr, "two": startOwn(t).addr}})
	defer ring.Close()
	plain := redis.NewClient(&redis.Options{Addr: shared, MaxRetries: 3})
	defer plain.Close()
	auto, err := plain.AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}
	defer auto.Close()
	for name, client := range map[string]redisbucket.Client{
		"ours": patientClient(t, shared), "plain": plain, "auto-pipelining": auto, "ring": ring,
	} {
		t.Run(name, func(t *testing.T) {
			l := redisbucket.New(client, tokenbucket.Limit{Burst: 100}, redisbucket.WithPrefix(unique(t)), patient)
			var granted atomic.Int64
			var all sync.WaitGroup
			for i := range 50 {
				all.Go(func() {
					for range 4 {
						if ok, err := l.Allow(t.Context(), "k"); err != nil {
							t.Error(err)
						} else if ok {
							granted.Add(1)
						}
					}
					if ok, err := l.Allow(t.Context(), "other "+strconv.Itoa(i)); !ok || err != nil { // on either of the ring's servers
						t.Error(ok, err)
					}
				})
			}
			all.Wait()
			if n := granted.Load(); n != 100 {
				t.Errorf("%d tokens of 100 were granted", n)
			}
			other := redisbucket.New(client, tokenbucket.Limit{Burst: 1}, redisbucket.WithPrefix(unique(t)), patient)
			for i, want := range []bool{true, false} {
				res, err := redisbucket.TakeAll(t.Context(), l.Claim("both", 1), other.Claim("both", 1))
				if err != nil || res[0].Allowed != want || res[1].Allowed != want {
					t.Errorf("TakeAll %d: %+v, %v", i, res, err)
				}
			}
			if err := l.Refund(t.Context(), "k", 1); err != nil {
				t.Error(err)
			}
			if err := l.Wait(t.Context(), "k"); err != nil {
				t.Error(err)
			}
		})
	}
}
