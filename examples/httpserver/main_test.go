package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-tokenbucket/tokenbucket"
)

func TestHandler(t *testing.T) {
	ip, err := clientIP("10.0.0.0/8, 2001:db8::/32")
	if err != nil {
		t.Fatal(err)
	}
	h := newHandler(tokenbucket.Limit{Rate: tokenbucket.PerHour(1), Burst: 2}, ip, 0)
	ask := func(client string) int {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "10.0.0.1:1"
		r.Header.Set("X-Forwarded-For", client)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for i, want := range []int{200, 200, 429} {
		if got := ask("192.0.2.1"); got != want {
			t.Errorf("request %d: %d, want %d", i, got, want)
		}
	}
	served := 2
	for _, c := range "abcdefghijklmnopqrstuvwxyz" {
		if ask("192.0.2."+string('0'+(c-'a')%10)+string('0'+(c-'a')/10)) == 200 {
			served++
		}
	}
	if served != 2*everybody {
		t.Errorf("%d served, want %d", served, 2*everybody)
	}
}

// TestServeStopsGracefully: a request in progress is finished after ctx has ended.
func TestServeStopsGracefully(t *testing.T) {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel()
		for { // until no new connection is accepted
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				break
			}
			conn.Close()
		}
		_, _ = io.WriteString(w, "finished")
	})
	done := make(chan error, 1)
	go func() { done <- serve(ctx, l, h) }()
	resp, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); string(b) != "finished" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestClientIP(t *testing.T) {
	if _, err := clientIP("10.0.0.1"); err == nil || err.Error() != `-proxies has "10.0.0.1", want a prefix such as 10.0.0.0/8` {
		t.Error(err)
	}
	if c, err := clientIP(""); c.Header != "" || err != nil {
		t.Error(c, err)
	}
}
