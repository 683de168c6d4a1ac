package fanin_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// messages is how many are published while a node restarts. FANIN_MESSAGES chooses
// another number.
func messages(t *testing.T) int {
	text, set := os.LookupEnv("FANIN_MESSAGES")
	if !set {
		return 20_000
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// publication is what a publisher knows of one message.
type publication struct {
	node, channel string
	begun, ended  time.Time
	receivers     int
	acknowledged  bool
	came          int
}

// storm is messages that are published while nodes and connections are lost.
type storm struct {
	*site
	t          *testing.T
	publishers *fluster.FlusterCluster // they see nodes come and go by themselves
	r          reader
	all        []publication
	gaps       []fanin.Gap
	seen       int
}

const stormChannels = 997

func stormChannel(i int) string { return fmt.Sprint("storm:", i%stormChannels) }

// publishAll publishes messages from first on, in steps, each to its channel's home,
// and notes what came of it.
func (s *storm) publishAll(all []publication, first, step int) {
	for i := first; i < len(all) && s.t.Context().Err() == nil; i += step {
		p := &all[i]
		p.channel = stormChannel(i)
		n, err := s.publishers.Locate(p.channel)
		if err != nil {
			continue
		}
		p.node, p.begun = n.Name, time.Now()
		conn := n.Pool.Get()
		p.receivers, err = redis.Int(conn.Do("PUBLISH", p.channel, i))
		_ = conn.Close()
		p.ended, p.acknowledged = time.Now(), err == nil
	}
}

// publishUnheard cuts off the subscriber of a node that lives, until a message is
// published there that nobody hears.
func (s *storm) publishUnheard(node int) publication {
	p := publication{node: letter(node), channel: s.heardAt(node), acknowledged: true}
	redistest.WaitFor(s.t, longEnough, func() bool {
		s.servers[node].Do("CLIENT", "KILL", "TYPE", "pubsub")
		p.begun = time.Now()
		p.receivers = int(s.servers[node].Do("PUBLISH", p.channel, "unheard").(int64))
		p.ended = time.Now()
		return p.receivers == 0
	}, "a message that nobody hears")
	return p
}

// heardAt returns a channel of the storm that is at home at a node.
func (s *storm) heardAt(node int) string {
	for i := range stormChannels {
		if n, err := s.Locate(stormChannel(i)); err == nil && n.Name == letter(node) {
			return stormChannel(i)
		}
	}
	s.t.Fatalf("no channel is at home at node %s", letter(node))
	return ""
}

// receive takes what comes next, and returns the node that a mark of the end is of.
func (s *storm) receive() (end string) {
	switch n := s.r.next().(type) {
	case fanin.Gap:
		s.gaps = append(s.gaps, n)
	case fanin.Message:
		if i, err := strconv.Atoi(string(n.Data)); err == nil {
			s.all[i].came++
			s.seen++
		} else if string(n.Data) == "end" {
			return n.Node
		}
	}
	return ""
}

func (s *storm) receiveUntil(seen int) {
	for s.seen < seen {
		s.receive()
	}
}

// receiveAll receives what was published before.
func (s *storm) receiveAll() {
	s.r.ready()
	for i, server := range s.servers { // behind all that was published there
		channel := s.heardAt(i)
		redistest.WaitFor(s.t, longEnough, func() bool { return server.Do("PUBLISH", channel, "end") == int64(1) }, "a reader at %s", letter(i))
	}
	for ends := map[string]bool{}; len(ends) < len(s.servers); {
		if node := s.receive(); node != "" {
			ends[node] = true
		}
	}
}

func TestEachMessageComesOnceButForThoseThatAGapTells(t *testing.T) {
	channels := make([]string, stormChannels)
	for i := range channels {
		channels[i] = stormChannel(i)
	}
	for name, topics := range map[string]fanin.Topics{
		"by pattern": {Patterns: []string{"storm:*"}},
		"by channel": {Channels: channels},
	} {
		t.Run(name, func(t *testing.T) {
			s := &storm{site: openSite(t, 5, ""), t: t}
			s.publishers = s.open(t, "")
			s.r = s.subscribe(t, topics, fanin.SubscribeOptions{Buffer: 1 << 20, Ping: 500 * time.Millisecond})
			s.rage(messages(t))
			s.judge()
		})
	}
}

// rage publishes n messages, and loses a node and some connections meanwhile.
func (s *storm) rage(n int) {
	s.all = make([]publication, n+2) // and those that are published while nobody listens
	const publishers = 8
	var publishing sync.WaitGroup
	for i := range publishers {
		publishing.Go(func() { s.publishAll(s.all[:n], i, publishers) })
	}
	s.receiveUntil(n / 8)
	s.all[n] = s.publishUnheard(4)
	s.receiveUntil(n / 4)
	s.servers[2].Kill()
	s.receiveUntil(n / 2)
	s.all[n+1] = s.publishUnheard(4)
	s.servers[2].Restart()
	s.waitFor(s.t, "c", true)
	publishing.Wait()
	s.receiveAll()
}

// judge holds what came against what was published.
func (s *storm) judge() {
	missing, unsure := 0, 0
	for i, p := range s.all {
		require.LessOrEqual(s.t, p.came, 1, "message %d", i)
		switch {
		case !p.acknowledged:
			unsure++
		case p.came == 0:
			missing++
			require.True(s.t, s.told(p), "message %d, %+v, is missing, and no gap tells", i, p)
		default:
			require.Equal(s.t, 1, p.receivers, "message %d", i)
		}
	}
	s.t.Logf("%d messages: %d missing, and told; %d not acknowledged; %d gaps", len(s.all), missing, unsure, len(s.gaps))
	assert.GreaterOrEqual(s.t, missing, 2, "what nobody heard")
	assert.Less(s.t, missing+unsure, len(s.all)/4, "the others came")
}

// told reports whether a gap says that a message may be missing.
func (s *storm) told(p publication) bool {
	for i, g := range s.gaps {
		if g.Node == p.node && concerns(g, p) && !g.Since.After(p.ended) && !p.begun.After(s.end(i, p)) {
			return true
		}
	}
	return false
}

// end returns when a gap ended for a message's topic. If it was open, that is when the
// next one was told to have ended.
func (s *storm) end(i int, p publication) time.Time {
	for _, g := range s.gaps[i:] {
		if !g.Until.IsZero() && concerns(g, p) && (len(g.Topics.Patterns) == 0 || g.Node == p.node) {
			return g.Until
		}
	}
	return time.Now()
}

// concerns reports whether a gap is about a message's topic.
func concerns(g fanin.Gap, p publication) bool {
	return len(g.Topics.Patterns) > 0 || slices.Contains(g.Topics.Channels, p.channel)
}
