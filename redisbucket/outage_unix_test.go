//go:build unix

package redisbucket_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// A server that is killed and started anew without data, or stopped and continued: service returns by itself.
func TestServerComesBack(t *testing.T) {
	s := startOwn(t)
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{s.addr}})
	defer client.Close()
	l := redisbucket.New(client, slow, redisbucket.WithBreaker(2, 20*time.Millisecond))
	allowed := func() bool { ok, err := l.Allow(t.Context(), "k"); return ok && err == nil }
	gone := func() bool { _, err := l.Allow(t.Context(), "k"); return errors.Is(err, redisbucket.ErrUnavailable) }
	if !allowed() {
		t.Fatal("not allowed")
	}
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	inTime(t, func() {
		if !gone() {
			t.Error("a stopped server has answered")
		}
	})
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
	until(t, allowed)
	// What was sent to the stopped server may have been taken, but nothing twice: 8 tokens, at most one lost to each call.
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	until(t, gone)
	again, err := start("", portOf(s.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer again.kill()
	until(t, allowed)
	if n, _, err := l.TakeAvailable(t.Context(), "k", 100); n != 7 || err != nil {
		t.Errorf("TakeAvailable = %d, %v after a restart without data, want 7", n, err)
	}
}
