package httplimit

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/go-tokenbucket/tokenbucket"
)

func TestSettle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		frozen := tokenbucket.Rate{}
		requests, tokens := live(frozen, 100), live(frozen, 1000)
		far := &settler{remote: remote{Limiter: tokens}}
		cost, calls := 0, 0
		f := newFake(ok())
		tr := &Transport{
			Base:    f,
			Limiter: far,
			Limits: func(*http.Request) ([]Limit, error) {
				return []Limit{{Name: "requests", Limiter: requests, Key: "k"}, {Name: "tokens", Key: "k", Cost: 300}}, nil
			},
			Settle: func(resp *http.Response, body []byte, l Limit) int {
				if string(body) != "body" || resp.StatusCode != 200 {
					t.Errorf("%d %q", resp.StatusCode, body)
				}
				if l.Name == "requests" {
					return l.Cost
				}
				if calls++; l.Name != "tokens" || l.Cost != 300 {
					t.Errorf("%v", l)
				}
				return cost
			},
		}
		left := 1000.0
		for i, c := range []int{300, 100, 0, -5, 700} {
			cost = c
			resp, err := tr.RoundTrip(request(t.Context(), "GET", "http://a/", ""))
			if err != nil {
				t.Fatal(err)
			}
			if tokens.Tokens("k") != left-300 || calls != i {
				t.Errorf("%v tokens before the body was read", tokens.Tokens("k"))
			}
			_, _ = io.ReadAll(resp.Body)
			left -= float64(max(c, 0))
			if tokens.Tokens("k") != left || calls != i+1 {
				t.Errorf("cost %d: %v tokens, want %v", c, tokens.Tokens("k"), left)
			}
			resp.Body.Close()
			resp.Body.Close()
		}
		if calls != 5 || requests.Tokens("k") != 95 {
			t.Errorf("%d calls, %v requests left", calls, requests.Tokens("k"))
		}
	})
}

// TestSettleCharges: more than was there becomes a debt, which later requests wait for.
func TestSettleCharges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := live(tokenbucket.PerSecond(10), 100)
		f := newFake(ok())
		tr := &Transport{Base: f, Limiter: b, Cost: func(*http.Request) int { return 50 },
			Settle: func(*http.Response, []byte, Limit) int { return 200 }}
		mustAsk(t, tr, request(t.Context(), "GET", "http://a/", ""))
		mustAsk(t, tr, request(t.Context(), "GET", "http://a/", ""))
		f.want(t, "a 0s", "a 15s") // 100 in debt, and 50 for itself
	})
}

// TestSettleRetried: a response that is retried is settled too.
func TestSettleRetried(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := live(tokenbucket.Rate{}, 1000)
		var told []int
		tr := &Transport{Base: newFake(tooMany("Retry-After", "1"), ok()), MaxRetries: 1, Limiter: b,
			Cost: func(*http.Request) int { return 300 },
			Settle: func(resp *http.Response, _ []byte, l Limit) int {
				told = append(told, resp.StatusCode)
				if resp.StatusCode == 429 {
					return 0
				}
				return l.Cost
			}}
		mustAsk(t, tr, request(t.Context(), "GET", "http://a/", ""))
		if len(told) != 2 || told[0] != 429 || told[1] != 200 || b.Tokens("a") != 700 {
			t.Errorf("%v, %v tokens", told, b.Tokens("a"))
		}
	})
}

func TestSettleEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var bodies []string
		tr := &Transport{SettleBytes: 10, Limiter: live(tokenbucket.PerSecond(1), 100),
			Settle: func(_ *http.Response, body []byte, l Limit) int { bodies = append(bodies, string(body)); return l.Cost }}
		send := func(a answer) *http.Response {
			tr.Base = newFake(a)
			resp, err := tr.RoundTrip(request(t.Context(), "GET", "http://a/", ""))
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		want := func(body string) {
			t.Helper()
			if len(bodies) != 1 || bodies[0] != body {
				t.Errorf("settled with %q, want %q", bodies, body)
			}
			bodies = nil
		}
		send(answer{status: 200}).Body.Close() // closed unread
		want("")
		b := send(answer{status: 200, body: strings.NewReader("0123456789")}).Body
		_, _ = io.ReadFull(b, make([]byte, 4))
		b.Close() // closed half read
		want("0123")
		b = send(answer{status: 200, body: io.MultiReader(strings.NewReader("abc"), errReader{})}).Body
		if _, err := io.ReadAll(b); err != errDown { // failed
			t.Error(err)
		}
		want("abc")
		b.Close()
		for chunk := 1; chunk < 30; chunk++ { // longer than what is kept
			b = send(answer{status: 200, body: strings.NewReader("0123456789abcdefghijklmnopqrstuvwxyz")}).Body
			_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{b}, make([]byte, chunk))
			want("qrstuvwxyz")
		}
		// A connection that was handed over stays one.
		rw := &bytes.Buffer{}
		tr.Base = roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 101, Body: struct {
				io.ReadWriter
				io.Closer
			}{rw, io.NopCloser(rw)}}, nil
		})
		resp, _ := tr.RoundTrip(request(t.Context(), "GET", "http://a/", ""))
		if _, ok := resp.Body.(io.ReadWriteCloser); !ok {
			t.Error("the body cannot be written to")
		}
		want("")
	})
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errDown }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestSettleLate: the request's context has ended, as it has when a caller stops reading; the
// limits are corrected still.
func TestSettleLate(t *testing.T) {
	b := live(tokenbucket.Rate{}, 100)
	far := &settler{remote: remote{Limiter: b}, settled: make(chan error)}
	var wg sync.WaitGroup
	tr := &Transport{Base: roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
	}), Limiter: far, Cost: func(*http.Request) int { return 10 },
		Settle: func(*http.Response, []byte, Limit) int { return 1 }}
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := tr.RoundTrip(request(ctx, "GET", "http://a/", ""))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	resp.Body.Close()
	wg.Go(func() {
		if err := <-far.settled; err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	eventually(t, func() bool { return b.Tokens("a") == 99 })
}
