package httplimit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/httplimit"
)

// newLLMTransport returns a Transport for an API of large language models that allows each account
// so many requests and so many tokens a minute.
func newLLMTransport(requests, tokens *tokenbucket.Keyed[string]) *httplimit.Transport {
	return &httplimit.Transport{
		Limits: func(r *http.Request) ([]httplimit.Limit, error) {
			account := r.Header.Get("Authorization")
			cost, err := estimate(r)
			return []httplimit.Limit{
				{Name: "requests", Limiter: httplimit.Keyed(requests), Key: account},
				{Name: "tokens", Limiter: httplimit.Keyed(tokens), Key: account, Cost: cost},
			}, err
		},
		Settle: func(resp *http.Response, body []byte, l httplimit.Limit) int {
			if l.Name != "tokens" {
				return l.Cost
			}
			if resp.StatusCode >= 400 {
				return 0 // a request that failed costs no tokens
			}
			if n, ok := used(body); ok {
				return n
			}
			return l.Cost // a stream that was cut off before it told
		},
		MaxRetries: 5,
		// A request that was refused has done nothing, so that it can be sent again.
		Retryable: func(*http.Request) bool { return true },
	}
}

// estimate returns the most tokens that a request can use: what it sends, at four bytes a token, and
// the longest answer that it accepts. It reads a copy of the body.
func estimate(r *http.Request) (int, error) {
	if r.GetBody == nil {
		return 0, fmt.Errorf("the body of %s %s cannot be read twice", r.Method, r.URL.Path)
	}
	body, err := r.GetBody()
	if err != nil {
		return 0, err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		return 0, err
	}
	question := struct {
		MaxTokens int `json:"max_tokens"`
	}{MaxTokens: 4096}
	err = json.Unmarshal(text, &question)
	return len(text)/4 + question.MaxTokens, err
}

// used returns the tokens that a response has used, from the end of its body: a JSON object, or the
// last event of a stream that has a usage.
func used(body []byte) (n int, ok bool) {
	var answer struct {
		Usage *struct {
			Total int `json:"total_tokens"`
		} `json:"usage"`
	}
	if json.Unmarshal(body, &answer) == nil && answer.Usage != nil {
		return answer.Usage.Total, true
	}
	for line := range bytes.Lines(body) {
		data, isData := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data:"))
		answer.Usage = nil
		if isData && json.Unmarshal(data, &answer) == nil && answer.Usage != nil {
			n, ok = answer.Usage.Total, true
		}
	}
	return n, ok
}

// A client of an API of large language models that allows each account so many requests and so many
// tokens a minute. What a request will cost is estimated from its body, and corrected by the usage in
// the response, which can be a stream.
func Example_llm() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			for _, event := range []string{`{"text":"4"}`, `{"text":"2"}`, `{"usage":{"total_tokens":345}}`, `[DONE]`} {
				fmt.Fprintf(w, "data: %s\n\n", event)
				w.(http.Flusher).Flush()
			}
			return
		}
		fmt.Fprint(w, `{"text":"42","usage":{"total_tokens":812}}`)
	}))
	defer server.Close()

	// The rates are those of the API. For this test it is one that does not refill meanwhile.
	requests := tokenbucket.NewKeyed[string](tokenbucket.Rate{}, 500)
	tokens := tokenbucket.NewKeyed[string](tokenbucket.Rate{}, 200_000)
	client := &http.Client{Transport: newLLMTransport(requests, tokens)}
	defer client.CloseIdleConnections()

	const account = "Bearer sk-1"
	for _, path := range []string{"/json", "/stream"} {
		question := `{"prompt":"What is the answer?","max_tokens":1000}`
		req, err := http.NewRequest("POST", server.URL+path, strings.NewReader(question))
		if err != nil {
			fmt.Println(err)
			return
		}
		req.Header.Set("Authorization", account)
		resp, err := client.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(path, "estimated:", requests.Tokens(account), "requests and", tokens.Tokens(account), "tokens left")
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		fmt.Println(path, "settled:", tokens.Tokens(account), "tokens left")
	}
	// Output:
	// /json estimated: 499 requests and 198988 tokens left
	// /json settled: 199188 tokens left
	// /stream estimated: 498 requests and 198176 tokens left
	// /stream settled: 198843 tokens left
}
