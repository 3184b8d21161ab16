package redisbucket

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"fmt"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed head.lua
	headLua string
	//go:embed fast.lua
	fastLua string
	//go:embed bucket.lua
	bucketLua string
	//go:embed take.lua
	takeLua string
	//go:embed some.lua
	someLua string
	//go:embed lease.lua
	leaseLua string
	//go:embed settle.lua
	settleLua string
	//go:embed reserve.lua
	reserveLua string
	//go:embed cancel.lua
	cancelLua string
)

// scripts are all that the server is ever asked to run.
type scripts struct {
	take, some, lease, settle, reserve, cancel, drop script
}

// newScripts returns the scripts with preamble in front of each, which is empty outside of tests, and fast in front of what
// take does in general.
func newScripts(preamble, fast string) scripts {
	head := preamble + headLua
	lib := head + bucketLua
	return scripts{
		take:    newScript(head + fast + bucketLua + takeLua),
		some:    newScript(lib + someLua),
		lease:   newScript(lib + leaseLua),
		settle:  newScript(lib + settleLua),
		reserve: newScript(lib + reserveLua),
		cancel:  newScript(lib + cancelLua),
		drop:    newScript(preamble + "return {redis.call('DEL', KEYS[1])}"),
	}
}

var theScripts = newScripts("", fastLua)

// A script is its text and the name by which the server remembers it.
type script struct{ text, sha string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text))
	return script{text: text, sha: hex.EncodeToString(sum[:])}
}

// run runs the script: by its name, and by its text if the server does not know it; then nothing has been done yet.
func (s *script) run(ctx context.Context, c Client, keys []string, args []any) ([]int64, error) {
	reply, err := command(ctx, c, "evalsha", s.sha, keys, args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		reply, err = command(ctx, c, "eval", s.text, keys, args)
	}
	return reply, err
}

// once is a command that go-redis sends at most once, whatever the client's MaxRetries is: if only its reply was lost,
// a second sending would take the tokens twice.
type once struct{ *redis.Cmd }

func (once) NoRetry() bool { return true }

func command(ctx context.Context, c Client, name, what string, keys []string, args []any) ([]int64, error) {
	list := make([]any, 0, 3+len(keys)+len(args))
	list = append(list, name, what, len(keys))
	for _, k := range keys {
		list = append(list, k)
	}
	cmd := once{redis.NewCmd(ctx, append(list, args...)...)}
	if err := c.Process(ctx, cmd); err != nil {
		return nil, err
	}
	reply, err := cmd.Int64Slice()
	if err != nil {
		return nil, fmt.Errorf("redisbucket: the reply is %v, want a list of integers: the client must answer when it is asked, "+
			"as a pipeline does not", cmd.Val())
	}
	return reply, nil
}
