package fanin_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// reader receives what a subscription gives.
type reader struct {
	*fanin.Subscription
	t testing.TB
}

// subscribe subscribes and waits until that is done.
func (s *site) subscribe(t testing.TB, topics fanin.Topics, o fanin.SubscribeOptions) reader {
	r := reader{fanin.Subscribe(t.Context(), s.FlusterCluster, topics, o), t}
	t.Cleanup(func() { _ = r.Close() })
	r.ready()
	return r
}

func (r reader) ready() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), longEnough)
	defer cancel()
	require.NoError(r.t, r.WaitReady(ctx))
}

func (r reader) next() fanin.News {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), longEnough)
	defer cancel()
	n, err := r.Receive(ctx)
	require.NoError(r.t, err)
	return n
}

// message receives the next message and passes over gaps.
func (r reader) message() fanin.Message {
	r.t.Helper()
	for {
		if m, ok := r.next().(fanin.Message); ok {
			return m
		}
	}
}

// gap receives the next gap, and fails if a message comes before.
func (r reader) gap() fanin.Gap {
	r.t.Helper()
	n := r.next()
	require.IsType(r.t, fanin.Gap{}, n)
	return n.(fanin.Gap)
}

// nothing makes sure that nothing has come: what would have, came before the answer to
// a command that the same servers executed later.
func (r reader) nothing(s *site, marker string) {
	r.t.Helper()
	s.publish(r.t, marker, "marker")
	m, ok := r.next().(fanin.Message)
	require.True(r.t, ok && m.Channel == marker, "%v came", m)
}

// publish publishes at the channel's home and returns how many received it.
func (s *site) publish(t testing.TB, channel, data string) int {
	t.Helper()
	n, err := redis.Int(s.Do(t.Context(), "PUBLISH", channel, data))
	require.NoError(t, err)
	return n
}

// channels returns one for each node.
func (s *site) channels(t testing.TB, prefix string) []string {
	var names []string
	for i := range s.servers {
		names = append(names, s.at(t, prefix, letter(i)))
	}
	return names
}

func (s *site) numsub(t testing.TB, channel string) int {
	t.Helper()
	counts, err := redis.IntMap(s.Do(t.Context(), "PUBSUB", "NUMSUB", channel))
	require.NoError(t, err)
	return counts[channel]
}

func TestOneReceiverHasTheChannelsOfAllNodes(t *testing.T) {
	s := openSite(t, 3, "")
	channels := s.channels(t, "news:")
	r := s.subscribe(t, fanin.Topics{Channels: channels}, fanin.SubscribeOptions{})
	for i, channel := range channels {
		assert.Equal(t, 1, s.publish(t, channel, "hello"))
		assert.Equal(t, fanin.Message{Node: letter(i), Channel: channel, Data: []byte("hello")}, r.next())
		assert.Equal(t, 1, s.numsub(t, channel), "on one node only")
	}
	names, err := redis.Strings(s.Do(t.Context(), "PUBSUB", "CHANNELS"))
	require.NoError(t, err)
	assert.ElementsMatch(t, channels, names)
	assert.Zero(t, s.publish(t, "other", ""))
}

func TestAPatternIsSubscribedToOnAllNodes(t *testing.T) {
	s := openSite(t, 3, "")
	channels := s.channels(t, "news:")
	r := s.subscribe(t, fanin.Topics{Patterns: []string{"new*"}}, fanin.SubscribeOptions{})
	patterns, err := redis.Int(s.Do(t.Context(), "PUBSUB", "NUMPAT"))
	require.NoError(t, err)
	assert.Equal(t, 3, patterns)
	for i, channel := range channels {
		assert.Equal(t, 1, s.publish(t, channel, "hello"))
		assert.Equal(t, fanin.Message{Node: letter(i), Channel: channel, Pattern: "new*", Data: []byte("hello")}, r.next())
	}
}

func TestAMessageComesOnceForEachTopicThatItMatches(t *testing.T) {
	s := openSite(t, 2, "")
	r := s.subscribe(t, fanin.Topics{Channels: []string{"news", "news"}, Patterns: []string{"n*", "*s"}}, fanin.SubscribeOptions{})
	assert.Equal(t, 3, s.publish(t, "news", ""))
	var by []string
	for range 3 {
		by = append(by, r.message().Pattern)
	}
	assert.ElementsMatch(t, []string{"", "n*", "*s"}, by)
	r.nothing(s, s.at(t, "n:", "a"))
}

func TestTopicsComeAndGoWhileItRuns(t *testing.T) {
	s := openSite(t, 2, "")
	channels := s.channels(t, "news:")
	r := s.subscribe(t, fanin.Topics{}, fanin.SubscribeOptions{})
	r.Add(fanin.Topics{Channels: channels[:1]})
	r.Add(fanin.Topics{Channels: channels[1:], Patterns: []string{"m*"}})
	r.ready()
	for _, channel := range channels {
		assert.Equal(t, 1, s.publish(t, channel, "one"))
		assert.Equal(t, channel, r.message().Channel)
	}
	r.Remove(fanin.Topics{Channels: channels[:1]})
	redistest.WaitFor(t, longEnough, func() bool { return s.publish(t, channels[0], "two") == 0 }, "it to be unsubscribed from")
	assert.Equal(t, 1, s.publish(t, channels[1], "three"))
	assert.Equal(t, "three", string(r.message().Data), "nothing of what was removed")
	r.Remove(fanin.Topics{Channels: channels[1:], Patterns: []string{"m*"}})
	redistest.WaitFor(t, longEnough, func() bool {
		return s.servers[0].Info("clients")["pubsub_clients"] == "" && s.numsub(t, channels[1]) == 0
	}, "nothing to be left")
	r.Add(fanin.Topics{Channels: channels})
	r.ready()
	for _, channel := range channels {
		assert.Equal(t, 1, s.publish(t, channel, "four"))
		assert.Equal(t, channel, r.message().Channel)
	}
}

func TestShardChannels(t *testing.T) {
	s := openSite(t, 2, "")
	channels := s.channels(t, "news:")
	r := s.subscribe(t, fanin.Topics{ShardChannels: channels, Channels: channels}, fanin.SubscribeOptions{})
	for _, channel := range channels {
		n, err := redis.Int(s.Do(t.Context(), "SPUBLISH", channel, "hello"))
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		assert.Equal(t, channel, r.message().Channel)
	}
	r.Remove(fanin.Topics{ShardChannels: channels})
	for _, channel := range channels {
		assert.Equal(t, 1, s.publish(t, channel, "hello"))
		assert.Equal(t, channel, r.message().Channel)
	}
}

func TestManyChannelsAreSubscribedToInFewCommands(t *testing.T) {
	s := openSite(t, 2, "")
	var topics fanin.Topics
	for i := range 5000 {
		topics.Channels = append(topics.Channels, fmt.Sprint("channel:", i))
	}
	r := s.subscribe(t, topics, fanin.SubscribeOptions{})
	assert.LessOrEqual(t, s.servers[0].Executed("subscribe"), 5)
	for _, i := range []int{0, 1234, 4999} {
		assert.Equal(t, 1, s.publish(t, topics.Channels[i], ""))
		assert.Equal(t, topics.Channels[i], r.message().Channel)
	}
}

// The home of a channel dies: it goes on at the node that stands in, and then at home
// again, where it is subscribed to before the other node is left.
func TestAChannelFollowsItsHome(t *testing.T) {
	s := openSite(t, 3, "")
	channel := s.at(t, "news:", "b")
	begun := time.Now()
	r := s.subscribe(t, fanin.Topics{Channels: []string{channel}}, fanin.SubscribeOptions{})
	topics := fanin.Topics{Channels: []string{channel}}

	s.kill(t, 1)
	home, err := s.Locate(channel)
	require.NoError(t, err)
	restored := r.gap()
	if restored.Until.IsZero() { // the end of the connection was seen before the move
		assert.Equal(t, "b", restored.Node)
		assert.Equal(t, topics, restored.Topics)
		assert.Error(t, restored.Cause)
		assert.False(t, restored.Since.Before(begun), "since it was good")
		restored = r.gap()
	}
	assert.Equal(t, home.Name, restored.Node)
	assert.Equal(t, topics, restored.Topics)
	assert.Error(t, restored.Cause)
	assert.False(t, restored.Since.Before(begun), "since it was good")
	assert.True(t, restored.Until.After(restored.Since))
	assert.Equal(t, 1, s.publish(t, channel, "away"))
	assert.Equal(t, fanin.Message{Node: home.Name, Channel: channel, Data: []byte("away")}, r.next())

	s.restart(t, 1)
	back := r.gap()
	assert.Equal(t, "b", back.Node)
	assert.Equal(t, topics, back.Topics)
	assert.False(t, back.Since.After(restored.Until), "what was published at home before that was seen")
	assert.True(t, back.Until.After(back.Since))
	assert.Equal(t, 2, s.numsub(t, channel), "also where others may still publish")
	assert.Equal(t, 1, s.publish(t, channel, "home"))
	assert.Equal(t, fanin.Message{Node: "b", Channel: channel, Data: []byte("home")}, r.next())
	for i, server := range s.servers {
		if letter(i) == home.Name {
			server.Do("PUBLISH", channel, "by one who has not seen it yet")
		}
	}
	assert.Equal(t, home.Name, r.message().Node)
}

func TestTheOldHomeIsLeftWhenTheOverlapIsOver(t *testing.T) {
	s := openSite(t, 2, "")
	channel := s.at(t, "news:", "b")
	r := s.subscribe(t, fanin.Topics{Channels: []string{channel}}, fanin.SubscribeOptions{Overlap: time.Millisecond})
	s.kill(t, 1)
	r.ready()
	s.restart(t, 1)
	redistest.WaitFor(t, longEnough, func() bool {
		at := subscribersAt(t, s.servers[0], channel) + 10*subscribersAt(t, s.servers[1], channel)
		return at == 10
	}, "it to be subscribed to at home and nowhere else")
	assert.Equal(t, 1, s.publish(t, channel, "home"))
	assert.Equal(t, "b", r.message().Node)
}

// subscribersAt returns how many have subscribed to a channel at one server.
func subscribersAt(t testing.TB, server *redistest.Server, channel string) int {
	counts, err := redis.IntMap(server.Do("PUBSUB", "NUMSUB", channel), nil)
	require.NoError(t, err)
	return counts[channel]
}

func TestAPatternIsRestoredWhereANodeComesBack(t *testing.T) {
	s := openSite(t, 3, "")
	channels := s.channels(t, "news:")
	topics := fanin.Topics{Patterns: []string{"news:*"}}
	r := s.subscribe(t, topics, fanin.SubscribeOptions{})
	s.kill(t, 1)
	lost := r.gap()
	assert.Equal(t, "b", lost.Node)
	assert.Equal(t, topics, lost.Topics)
	assert.True(t, lost.Until.IsZero())
	assert.Equal(t, 1, s.publish(t, channels[0], "others go on"))
	assert.Equal(t, "a", r.message().Node)
	s.restart(t, 1)
	back := r.gap()
	assert.Equal(t, "b", back.Node)
	assert.Equal(t, topics, back.Topics)
	assert.Equal(t, lost.Since, back.Since)
	assert.True(t, back.Until.After(back.Since))
	assert.Equal(t, 1, s.publish(t, channels[1], "back"))
	assert.Equal(t, "b", r.message().Node)
}

// A server may close a connection though it is well.
func TestALostConnectionToALivingNodeIsAGap(t *testing.T) {
	s := openSite(t, 2, "")
	channels := s.channels(t, "news:")
	topics := fanin.Topics{Channels: channels[1:], Patterns: []string{"n*"}}
	r := s.subscribe(t, topics, fanin.SubscribeOptions{})
	assert.Equal(t, int64(1), s.servers[1].Do("CLIENT", "KILL", "TYPE", "pubsub"))
	lost, restored := r.gap(), r.gap()
	for _, g := range []fanin.Gap{lost, restored} {
		assert.Equal(t, "b", g.Node)
		assert.Equal(t, topics, g.Topics)
		assert.Equal(t, lost.Since, g.Since)
		assert.Error(t, g.Cause)
	}
	assert.True(t, lost.Until.IsZero())
	assert.True(t, restored.Until.After(restored.Since))
	assert.Equal(t, 2, s.publish(t, channels[1], ""))
	r.message()
	r.message()
	for _, st := range s.Nodes() {
		assert.Zero(t, st.Penalties, "it is not the node's fault")
	}
}

func TestASlowReceiverLosesTheOldestAndIsTold(t *testing.T) {
	s := openSite(t, 1, "")
	r := s.subscribe(t, fanin.Topics{Channels: []string{"news"}}, fanin.SubscribeOptions{Buffer: 10})
	marker := s.subscribe(t, fanin.Topics{Channels: []string{"news"}}, fanin.SubscribeOptions{})
	begun := time.Now()
	for i := range 1000 {
		s.publish(t, "news", fmt.Sprint(i))
	}
	for range 1000 {
		marker.message()
	}
	// The other one has read them too, or soon has.
	seen, dropped := 0, 0
	for seen+dropped < 1000 {
		switch n := r.next().(type) {
		case fanin.Gap:
			assert.Equal(t, "a", n.Node)
			assert.Equal(t, fanin.Topics{Channels: []string{"news"}}, n.Topics)
			assert.Positive(t, n.Dropped)
			assert.False(t, n.Since.Before(begun))
			assert.False(t, n.Until.Before(n.Since))
			assert.ErrorContains(t, n.Cause, "faster")
			dropped += n.Dropped
		case fanin.Message:
			require.Equal(t, fmt.Sprint(seen+dropped), string(n.Data), "in order, and after what was dropped")
			seen++
		}
	}
	assert.GreaterOrEqual(t, seen, 10)
	assert.Positive(t, dropped)
}

func TestAllDownIsWaitedForAndOver(t *testing.T) {
	s := openSite(t, 2, "")
	s.kill(t, 0)
	s.kill(t, 1)
	r := reader{fanin.Subscribe(t.Context(), s.FlusterCluster, fanin.Topics{Channels: []string{"news"}, Patterns: []string{"n*"}}, fanin.SubscribeOptions{}), t}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := r.WaitReady(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "2 topics are not subscribed to")
	_, err = r.Receive(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	s.restart(t, 1)
	s.restart(t, 0)
	redistest.WaitFor(t, longEnough, func() bool { return s.publish(t, "news", "at last") == 2 }, "both to be subscribed to")
	r.message()
	r.message()
}

func TestASubscriptionEnds(t *testing.T) {
	s := openSite(t, 2, "")
	topics := fanin.Topics{Channels: s.channels(t, "news:"), Patterns: []string{"x*"}}
	wait := func(r reader) error {
		for {
			if n, err := r.Receive(t.Context()); err != nil {
				assert.Nil(t, n)
				_, again := r.Receive(t.Context())
				assert.Equal(t, err, again)
				assert.Equal(t, err, r.WaitReadyAfter())
				return err
			}
		}
	}
	t.Run("by Close, after what has come", func(t *testing.T) {
		r := s.subscribe(t, topics, fanin.SubscribeOptions{})
		s.publish(t, topics.Channels[0], "last")
		other := s.subscribe(t, topics, fanin.SubscribeOptions{})
		s.publish(t, topics.Channels[0], "later")
		other.message()
		redistest.WaitFor(t, longEnough, func() bool {
			m, err := r.Receive(t.Context())
			return err == nil && string(m.(fanin.Message).Data) == "later"
		}, "the message")
		require.NoError(t, r.Close())
		require.NoError(t, r.Close())
		assert.ErrorIs(t, wait(r), fanin.ErrSubscriptionClosed)
		r.Add(fanin.Topics{Channels: []string{"more"}})
		r.Remove(topics)
	})
	t.Run("with the context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := reader{fanin.Subscribe(ctx, s.FlusterCluster, topics, fanin.SubscribeOptions{}), t}
		r.ready()
		cancel()
		assert.ErrorIs(t, wait(r), context.Canceled)
		require.NoError(t, r.Close())
	})
	t.Run("at once, while a node is frozen", func(t *testing.T) {
		r := s.subscribe(t, topics, fanin.SubscribeOptions{Ping: time.Hour})
		s.servers[0].Stop()
		require.NoError(t, r.Close())
		s.servers[0].Cont()
		s.waitFor(t, "a", true)
	})
	t.Run("with the cluster", func(t *testing.T) {
		r := s.subscribe(t, topics, fanin.SubscribeOptions{})
		require.NoError(t, s.Close())
		assert.ErrorIs(t, wait(r), fluster.ErrClosed)
	})
	t.Run("before it began", func(t *testing.T) {
		r := reader{fanin.Subscribe(t.Context(), s.FlusterCluster, topics, fanin.SubscribeOptions{}), t}
		assert.ErrorIs(t, wait(r), fluster.ErrClosed)
	})
	for _, server := range s.servers {
		redistest.WaitFor(t, longEnough, func() bool { return len(server.Do("PUBSUB", "CHANNELS").([]any)) == 0 }, "no subscription to be left")
	}
}

// WaitReadyAfter is WaitReady of what has ended.
func (r reader) WaitReadyAfter() error {
	return r.WaitReady(r.t.Context())
}

func TestARefusedTopicIsTold(t *testing.T) {
	s := openSite(t, 1, "")
	s.servers[0].Do("ACL", "SETUSER", "default", "resetchannels", "&open*")
	r := reader{fanin.Subscribe(t.Context(), s.FlusterCluster, fanin.Topics{Channels: []string{"secret"}}, fanin.SubscribeOptions{}), t}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := r.WaitReady(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "node a: NOPERM")
	r.Remove(fanin.Topics{Channels: []string{"secret"}})
	r.Add(fanin.Topics{Channels: []string{"open"}})
	r.ready()
	assert.Equal(t, 1, s.publish(t, "open", ""))
	assert.Equal(t, "open", r.message().Channel)
}

func TestManyGoroutinesUseOneSubscription(t *testing.T) {
	s := openSite(t, 3, "")
	channels := s.channels(t, "news:")
	r := s.subscribe(t, fanin.Topics{Patterns: []string{"news:*"}}, fanin.SubscribeOptions{Ping: longEnough}) // none is to be given up
	const each, receivers = 200, 4
	got := make(chan string, each*len(channels))
	ctx, cancel := context.WithCancel(t.Context())
	var ended []<-chan struct{}
	begin := func(f func()) {
		over := make(chan struct{})
		ended = append(ended, over)
		go func() { defer close(over); f() }()
	}
	for range receivers {
		begin(func() {
			for {
				n, err := r.Receive(ctx)
				if err != nil {
					return
				}
				if m, ok := n.(fanin.Message); ok && m.Pattern == "news:*" {
					got <- string(m.Data)
				}
			}
		})
	}
	for i, channel := range channels {
		begin(func() {
			for n := range each {
				r.Add(fanin.Topics{Channels: []string{channel}})
				_, err := s.Do(t.Context(), "PUBLISH", channel, fmt.Sprint(i, "-", n)) // ctx may end before the last reply
				assert.NoError(t, err)
				r.Remove(fanin.Topics{Channels: []string{channel}})
			}
		})
	}
	var all []string
	for range each * len(channels) {
		select {
		case m := <-got:
			all = append(all, m)
		case <-time.After(longEnough):
			t.Fatalf("%d messages came", len(all))
		}
	}
	cancel()
	for _, over := range ended {
		<-over
	}
	slices.Sort(all)
	assert.Len(t, slices.Compact(all), each*len(channels), "each once")
}
