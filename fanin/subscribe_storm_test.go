package fanin_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/internal/redistest"
)

// messages is how many are published while a node restarts. FANIN_MESSAGES chooses
// another number.
func messages(t *testing.T) int {
	text, set := os.LookupEnv("FANIN_MESSAGES")
	if !set {
		return 30_000
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// publication is what a publisher knows of one message.
type publication struct {
	node         string
	begun, ended time.Time
	receivers    int
	acknowledged bool
	came         int
}

// publishAll publishes messages from first on, in steps, each to its channel's home,
// and notes what came of it.
func (s *site) publishAll(ctx context.Context, all []publication, first, step int) {
	for i := first; i < len(all) && ctx.Err() == nil; i += step {
		p := &all[i]
		channel := fmt.Sprint("storm:", i%997)
		n, err := s.Locate(channel)
		if err != nil {
			continue
		}
		p.node, p.begun = n.Name, time.Now()
		conn := n.Pool.Get()
		p.receivers, err = redis.Int(conn.Do("PUBLISH", channel, i))
		conn.Close()
		p.ended, p.acknowledged = time.Now(), err == nil
	}
}

// publishUnheard cuts off the subscriber of a node that lives, until a message is
// published there that nobody hears.
func (s *site) publishUnheard(t *testing.T, node int) publication {
	p := publication{node: letter(node), acknowledged: true}
	redistest.WaitFor(t, longEnough, func() bool {
		s.servers[node].Do("CLIENT", "KILL", "TYPE", "pubsub")
		p.begun = time.Now()
		p.receivers = int(s.servers[node].Do("PUBLISH", "storm:unheard", "unheard").(int64))
		p.ended = time.Now()
		return p.receivers == 0
	}, "a message that nobody hears")
	return p
}

// covers reports whether a gap says that a message may be missing.
func covers(g fanin.Gap, p publication) bool {
	return g.Node == p.node && !g.Since.After(p.ended) && (g.Until.IsZero() || !g.Until.Before(p.begun))
}

func TestAPatternGetsEachMessageOnceButForThoseThatAGapTells(t *testing.T) {
	s := openSite(t, 5, "")
	r := s.subscribe(t, fanin.Topics{Patterns: []string{"storm:*"}}, fanin.SubscribeOptions{Buffer: 1 << 20, Ping: 200 * time.Millisecond})
	n := messages(t)
	all := make([]publication, n+2) // and those that are published while nobody listens
	const publishers = 8
	var publishing sync.WaitGroup
	for i := range publishers {
		publishing.Go(func() { s.publishAll(t.Context(), all[:n], i, publishers) })
	}
	var gaps []fanin.Gap
	seen := 0
	receive := func() (marker string) {
		switch n := r.next().(type) {
		case fanin.Gap:
			gaps = append(gaps, n)
		case fanin.Message:
			if i, err := strconv.Atoi(string(n.Data)); err == nil {
				all[i].came++
				seen++
			} else if n.Channel == "storm:end" {
				return n.Node
			}
		}
		return ""
	}
	counts := func(until int) {
		for seen < until {
			receive()
		}
	}
	counts(n / 8)
	all[n] = s.publishUnheard(t, 4)
	counts(n / 4)
	s.servers[2].Kill()
	counts(n / 2)
	all[n+1] = s.publishUnheard(t, 4)
	s.servers[2].Restart()
	s.waitFor(t, "c", true)
	publishing.Wait()
	r.ready()
	for _, server := range s.servers { // behind all that was published there
		assert.Equal(t, int64(1), server.Do("PUBLISH", "storm:end", "end"))
	}
	for ends := 0; ends < len(s.servers); {
		if receive() != "" {
			ends++
		}
	}
	s.judge(t, all, gaps)
}

// judge holds what came against what was published.
func (s *site) judge(t *testing.T, all []publication, gaps []fanin.Gap) {
	missing, unsure := 0, 0
	for i, p := range all {
		require.LessOrEqual(t, p.came, 1, "message %d", i)
		switch {
		case !p.acknowledged:
			unsure++
		case p.came == 0:
			missing++
			told := false
			for _, g := range gaps {
				told = told || covers(g, p)
			}
			require.True(t, told, "message %d at %s at %v is missing, and no gap tells: %v", i, p.node, p.begun, gaps)
		default:
			require.Equal(t, 1, p.receivers, "message %d", i)
		}
	}
	t.Logf("%d messages: %d missing, and told; %d not acknowledged; %d gaps", len(all), missing, unsure, len(gaps))
	assert.GreaterOrEqual(t, missing, 2, "what nobody heard")
	assert.Less(t, missing+unsure, len(all)/4, "the others came")
}
