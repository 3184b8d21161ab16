package pace_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/go-tokenbucket/tokenbucket"
	"github.com/go-tokenbucket/tokenbucket/pace"
)

// A download is read at 1 MB/s, after a first 64 KiB at once.
func ExampleNewReader() {
	body := strings.NewReader(strings.Repeat("x", 70_000))
	bucket := tokenbucket.New(tokenbucket.PerSecond(1_000_000), 64<<10)
	start := time.Now()
	n, err := io.Copy(io.Discard, pace.NewReader(context.Background(), body, bucket))
	fmt.Println(n, err, time.Since(start) > 4*time.Millisecond)
	// Output: 70000 <nil> true
}

// Two streams share 1 MB/s. A Write may be larger than the burst.
func ExampleNewWriter() {
	bucket := tokenbucket.New(tokenbucket.PerSecond(1_000_000), 100)
	ctx := context.Background()
	var a, b bytes.Buffer
	group, _ := pace.NewGroup(ctx, tokenbucket.New(tokenbucket.Inf(), 1), 2)
	for _, w := range []io.Writer{pace.NewWriter(ctx, &a, bucket), pace.NewWriter(ctx, &b, bucket)} {
		_ = group.Go(func(context.Context) error {
			_, err := w.Write(make([]byte, 2000))
			return err
		})
	}
	fmt.Println(group.Wait(), a.Len(), b.Len())
	// Output: <nil> 2000 2000
}

// Only what is received is limited here. Deadlines hold also while a Read waits for tokens.
func ExampleNewConn() {
	near, far := net.Pipe()
	receive := tokenbucket.New(tokenbucket.PerHour(1), 5)
	conn := pace.NewConn(context.Background(), near, receive, nil)
	defer conn.Close()
	go func() { _, _ = far.Write([]byte("hello, world")) }()

	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	got, err := io.ReadAll(conn)
	fmt.Printf("%s: %v\n", got, err)
	// Output: hello: read pipe pipe->pipe: i/o timeout
}
