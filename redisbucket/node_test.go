package redisbucket_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// replies is a client whose server answers with errors, in turn, and then grants.
type replies struct {
	errs  []string
	asked int
}

func (r *replies) Process(_ context.Context, cmd redis.Cmder) error {
	r.asked++
	if len(r.errs) > 0 {
		err := redisError(r.errs[0])
		r.errs = r.errs[1:]
		return err
	}
	cmd.(interface{ SetVal(any) }).SetVal([]any{int64(1), int64(0)})
	return nil
}

type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

// While a slot moves, the server says TRYAGAIN and has executed nothing: it is asked again.
func TestTryAgain(t *testing.T) {
	r := &replies{errs: []string{"TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN again"}}
	l := redisbucket.New(r, slow, redisbucket.WithBreaker(1, time.Hour), patient)
	if ok, err := l.Allow(t.Context(), "k"); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if r.asked != 3 {
		t.Errorf("asked %d times, want 3", r.asked)
	}
}

// Errors of a key, a slot or a right are those of the call; errors of a server open its breaker.
func TestWhoseErrors(t *testing.T) {
	for reply, opens := range map[string]bool{
		"NOPERM this user has no permissions to access one of the keys": false,
		"WRONGTYPE Operation against a key holding the wrong kind":      false,
		"CROSSSLOT Keys in request don't hash to the same slot":         false,
		"CLUSTERDOWN Hash slot not served":                              false,
		"MOVED 3999 127.0.0.1:6381":                                     false,
		"CLUSTERDOWN The cluster is down":                               true,
		"LOADING Redis is loading the dataset in memory":                true,
		"READONLY You can't write against a read only replica.":         true,
		"OOM command not allowed when used memory > 'maxmemory'.":       true,
	} {
		l := redisbucket.New(&replies{errs: []string{reply}}, slow, redisbucket.WithBreaker(1, time.Hour), patient)
		if _, err := l.Allow(t.Context(), "k"); !errors.Is(err, redisbucket.ErrUnavailable) || !strings.Contains(err.Error(), reply) {
			t.Errorf("%s: error %v", reply, err)
		}
		if _, err := l.Allow(t.Context(), "other"); (err != nil) != opens {
			t.Errorf("%s: then %v, want the breaker open: %v", reply, err, opens)
		}
	}
}

// A user who lacks a right hears of it at the first call, and with the documented ones all works.
func TestRights(t *testing.T) {
	s := startOwn(t)
	admin := patientClient(t, s.addr)
	rights := strings.Fields("+evalsha +eval +time +get +set +del +zadd +zrem +zrange +zrevrange +zrangebyscore +pexpire")
	as := func(name string, rights []string) *redisbucket.Limiter {
		args := []any{"ACL", "SETUSER", name, "on", "nopass", "~tokenbucket*", "+hello", "+client", "+ping"}
		for _, r := range rights {
			args = append(args, r)
		}
		if err := admin.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
		client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{s.addr}, Username: name, Password: "x"})
		t.Cleanup(func() { _ = client.Close() })
		return redisbucket.New(client, tokenbucket.Limit{Rate: tokenbucket.PerSecond(100), Burst: 1}, patient)
	}
	for i, missing := range rights {
		var less []string
		for _, r := range rights {
			if r != missing {
				less = append(less, r)
			}
		}
		l := as(fmt.Sprint("user", i), less)
		_, err := l.Allow(t.Context(), "k")
		if !errors.Is(err, redisbucket.ErrUnavailable) && missing != "+eval" { // another user's EVAL serves, too
			t.Errorf("without %s: error %v", missing, err)
		}
	}
	l := as("full", rights)
	for range 3 {
		if err := l.Wait(t.Context(), "k"); err != nil {
			t.Error(err)
		}
	}
	if err := l.Delete(t.Context(), "k"); err != nil {
		t.Error(err)
	}
}

// Claims whose buckets lie in different slots of a Cluster are refused, and nothing is taken.
func TestCrossSlot(t *testing.T) {
	if testing.Short() {
		t.Skip("a Cluster takes seconds to form")
	}
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: addrsOf(startCluster(t))})
	defer client.Close()
	l := redisbucket.New(client, tokenbucket.Limit{Burst: 3}, patient)
	_, err := redisbucket.TakeAll(t.Context(), l.Claim("a", 1), l.Claim("b", 1))
	if !errors.Is(err, redisbucket.ErrUnavailable) || !strings.Contains(err.Error(), "CROSSSLOT") {
		t.Errorf("error %v, want CROSSSLOT", err)
	}
	res, err := redisbucket.TakeMany(t.Context(), l.Claim("a", 3), l.Claim("b", 3), l.Claim("a", 1))
	if err != nil || !res[0].Allowed || !res[1].Allowed || res[2].Allowed {
		t.Errorf("%+v, %v", res, err)
	}
}
