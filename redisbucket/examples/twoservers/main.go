// Twoservers runs two web servers, each a process of its own, that share one limit of 5 requests
// a second, with bursts of 10, for each client. It then sends both of them as many requests as it
// can for three seconds, and counts.
//
//	go run ./examples/twoservers -redis localhost:6379
//
// Without -redis, the server is one in the memory of the first process.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/httplimit"
	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

var limit = tokenbucket.Limit{Rate: tokenbucket.PerSecond(5), Burst: 10}

func main() {
	addr := flag.String("redis", "", "the Redis or Valkey server's host:port")
	serveOn := flag.String("serve", "", "be one of the web servers, at this host:port")
	length := flag.Duration("for", 3*time.Second, "how long to send requests")
	flag.Parse()
	log.SetFlags(0)
	if *serveOn != "" {
		log.Fatal(serve(*serveOn, *addr))
	}
	if err := compare(*addr, *length); err != nil {
		log.Fatal(err)
	}
}

// serve is a web server as there may be many of: what it shares with the others is the Redis
// server's address.
func serve(on, redisAddr string) error {
	client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{redisAddr}})
	limiter := redisbucket.New(client, limit,
		redisbucket.WithPrefix("twoservers"),
		redisbucket.WithFallback(redisbucket.LocalShare(0.5))) // there are two of us
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
	return http.ListenAndServe(on, httplimit.New(limiter).Handler(hello))
}

func compare(redisAddr string, length time.Duration) error {
	if redisAddr == "" {
		mini, err := miniredis.Run()
		if err != nil {
			return err
		}
		defer mini.Close()
		redisAddr = mini.Addr()
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var urls []string
	for range 2 {
		on, err := freeAddr()
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, os.Args[0], "-serve", on, "-redis", redisAddr)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		defer func() { cancel(); _ = cmd.Wait() }()
		urls = append(urls, "http://"+on+"/")
	}
	return hammer(urls, length)
}

// hammer asks the servers in turn, and prints how many requests each of them let through.
func hammer(urls []string, length time.Duration) error {
	for _, u := range urls {
		if err := ready(u); err != nil {
			return err
		}
	}
	passed, asked := make([]int, len(urls)), 0
	start := time.Now()
	for time.Since(start) < length {
		i := asked % len(urls)
		asked++
		status, err := get(urls[i])
		if err != nil {
			return err
		}
		if status == http.StatusOK {
			passed[i]++
		}
	}
	fmt.Printf("%d requests in %v, %v let through: %d of %d + %v * 5\n", asked, length, passed, passed[0]+passed[1], limit.Burst, length)
	return nil
}

func get(url string) (int, error) {
	resp, err := http.Get(url)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// ready waits until the server listens.
func ready(url string) error {
	var err error
	for range 200 {
		var conn net.Conn
		if conn, err = net.Dial("tcp", url[len("http://"):len(url)-1]); err == nil {
			return conn.Close()
		}
		time.Sleep(25 * time.Millisecond)
	}
	return err
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
