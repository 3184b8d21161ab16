package httplimit

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/go-tokenbucket/tokenbucket"
)

// TestUnixSocket is a server behind a proxy that connects over a unix socket, as nginx does with
// "proxy_pass http://unix:".
func TestUnixSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Skip(err)
	}
	key := ByIP(ClientIP{Header: "X-Forwarded-For", Hops: 1})
	s := httptest.NewUnstartedServer(New(buckets(tokenbucket.PerHour(1), 1), WithKey(key)).Handler(served))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	defer s.Close()
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer c.CloseIdleConnections()
	for i, x := range []struct {
		client string
		code   int
	}{{"203.0.113.1", 200}, {"203.0.113.1", 429}, {"1.1.1.1, 203.0.113.2", 200}, {"", 400}} {
		req := request(t.Context(), "GET", "http://socket/", "")
		if x.client != "" {
			req.Header.Set("X-Forwarded-For", x.client)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != x.code {
			t.Errorf("request %d of %q: %d, want %d", i, x.client, resp.StatusCode, x.code)
		}
	}
}
