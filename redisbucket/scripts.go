package redisbucket

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed short.lua
	shortLua string
	//go:embed takeone.lua
	takeOneLua string
	//go:embed state.lua
	stateLua string
	//go:embed list.lua
	listLua string
	//go:embed take.lua
	takeLua string
	//go:embed takeall.lua
	takeAllLua string
	//go:embed available.lua
	availableLua string
	//go:embed adjust.lua
	adjustLua string
	//go:embed wait.lua
	waitLua string
	//go:embed leave.lua
	leaveLua string
)

// scripts are all that the server is ever asked to run.
type scripts struct {
	take, takeAll, available, adjust, wait, leave, remove script
}

// newScripts returns the scripts with preamble in front of each, which is empty outside of tests.
func newScripts(preamble string) scripts {
	short := preamble + shortLua
	state := short + stateLua
	list := state + listLua
	return scripts{
		take:      newScript(short + takeOneLua + stateLua + takeLua),
		takeAll:   newScript(state + takeAllLua),
		available: newScript(state + availableLua),
		adjust:    newScript(state + adjustLua),
		wait:      newScript(list + waitLua),
		leave:     newScript(list + leaveLua),
		remove:    newScript(preamble + "return {redis.call('DEL', KEYS[1], KEYS[2])}"),
	}
}

var theScripts = newScripts("")

// A script is its text and the hash by which the server remembers it.
type script struct{ text, sha string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text))
	return script{text: text, sha: hex.EncodeToString(sum[:])}
}

// run runs the script by its hash, or by its text if the server does not know the hash. In that
// case nothing has been done before, and neither if the server says TRYAGAIN, because the keys' slot is
// moving and some of them have moved: then run tries again until ctx ends.
func (s *script) run(ctx context.Context, c Client, keys []string, args []any) ([]int64, error) {
	for pause := time.Millisecond; ; pause *= 2 {
		reply, err := command(ctx, c, "evalsha", s.sha, keys, args)
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			reply, err = command(ctx, c, "eval", s.text, keys, args)
		}
		if !redis.HasErrorPrefix(err, "TRYAGAIN") || !sleep(ctx, pause) {
			return reply, err
		}
	}
}

// once is a command that go-redis sends at most once, whatever the client's MaxRetries is. If only
// its reply was lost, a second sending would take the tokens twice.
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
		return nil, fmt.Errorf("the reply is %v, want a list of integers: "+
			"the client must answer when it is asked, as a pipeline does not", cmd.Val())
	}
	return reply, nil
}
