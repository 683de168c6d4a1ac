package fluster_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// injections are texts that would be commands, or replies, if they were not counted.
var injections = []string{
	"\r\nFLUSHALL\r\n",
	"x\r\n*1\r\n$8\r\nFLUSHALL\r\n",
	"$3\r\nx\r\n\r\n*1\r\n$8\r\nFLUSHALL\r\n",
	"+OK\r\n",
	"\x00\r\n\x1b[2J",
	"\r",
	"\n",
	"{\r\nFLUSHALL\r\n}",
}

// carriers are ways for a text to reach a server as a key and as a value.
var carriers = map[string]func(c *fluster.FlusterCluster, text string) (any, error){
	"a pool": func(c *fluster.FlusterCluster, text string) (any, error) {
		if _, err := do(c, text, "SET", text); err != nil {
			return nil, err
		}
		return do(c, text, "GET")
	},
	"Do": func(c *fluster.FlusterCluster, text string) (any, error) {
		if _, err := c.Do(context.Background(), "SET", text, text); err != nil {
			return nil, err
		}
		return c.Do(context.Background(), "GET", text)
	},
	"MSET and MGET": func(c *fluster.FlusterCluster, text string) (any, error) {
		if _, err := c.Do(context.Background(), "MSET", text, text, "other", text, "another", text); err != nil {
			return nil, err
		}
		values, err := redis.Values(c.Do(context.Background(), "MGET", "another", text, "other"))
		if err != nil {
			return nil, err
		}
		return values[1], nil
	},
	"a pipeline": func(c *fluster.FlusterCluster, text string) (any, error) {
		conn := c.Get()
		defer conn.Close()
		if err := conn.Send("SET", text, text); err != nil {
			return nil, err
		}
		return conn.Do("GET", text)
	},
	"a transaction": func(c *fluster.FlusterCluster, text string) (any, error) {
		replies, err := c.Tx(context.Background(), []string{text}, func(tx redis.Conn) error {
			_ = tx.Send("SET", text, text)
			return tx.Send("GET", text)
		})
		if err != nil {
			return nil, err
		}
		return replies[1], nil
	},
	"a script": func(c *fluster.FlusterCluster, text string) (any, error) {
		return c.Do(context.Background(), "EVAL", "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])", 1, text, text)
	},
}

func TestNothingInAKeyOrAValueIsEverACommand(t *testing.T) {
	for _, open := range []func() *fleet{
		func() *fleet { return startFleet(t, 3, quick, fluster.Config{}) },
		func() *fleet { return openFleet(t, 3, "", fluster.Config{}) },
	} {
		f := open()
		for i, s := range f.servers {
			s.Do("SET", "witness", i)
		}
		for how, carry := range carriers {
			for _, text := range injections {
				got, err := redis.String(carry(f.FlusterCluster, text))
				require.NoError(t, err, "%q by %s", text, how)
				assert.Equal(t, text, got, how)
			}
		}
		var wg sync.WaitGroup
		for g := range 16 { // over shared connections as well
			wg.Go(func() {
				for i := range 50 {
					text := fmt.Sprint(injections[i%len(injections)], g)
					got, err := redis.String(carriers["Do"](f.FlusterCluster, text))
					assert.NoError(t, err)
					assert.Equal(t, text, got)
				}
			})
		}
		wg.Wait()
		for i, s := range f.servers {
			got, err := redis.Int(s.Do("GET", "witness"), nil)
			require.NoError(t, err)
			assert.Equal(t, i, got)
			assert.Zero(t, s.Executed("flushall"))
		}
	}
}

// What a server is called, and what a client is called at it, is a part of a URL: it
// must not become a command there either.
func TestNothingInAURLIsEverACommand(t *testing.T) {
	s := redistest.Start(t)
	for _, name := range []string{"me%0d%0aFLUSHALL", "me%0a", "me%20you"} {
		node, err := fluster.ParseNode("redis://" + s.Addr() + "?client_name=" + name)
		if err != nil {
			continue
		}
		c := newCluster(t, fluster.Config{Nodes: []fluster.Node{node}})
		_, _ = c.Do(t.Context(), "PING")
		_, _ = do(c, "k", "GET")
		require.NoError(t, c.Close())
	}
	assert.Zero(t, s.Executed("flushall"))
}

// redigo's DialURL appends to the options that it is given: those who share a slice
// with room at its end send each other's passwords. The library has no such slice.
func TestNodesThatAreDialedAtOnceNeverGetEachOthersPasswords(t *testing.T) {
	const nodes, dialers, dials = 4, 8, 50
	var mu sync.Mutex
	seen := make(map[string][]string) // by node
	var cfg fluster.Config
	for i := range nodes {
		f := redistest.NewFake(t)
		f.Handle(func(cmd []string) []byte {
			if cmd[0] == "AUTH" {
				mu.Lock()
				seen[nodeName(i)] = append(seen[nodeName(i)], strings.Join(cmd[1:], " "))
				mu.Unlock()
			}
			return nil
		})
		node, err := fluster.ParseNode(fmt.Sprintf("redis://user%d:password%d@%s/%d?name=%s&max_idle=0", i, i, f.Addr(), i, nodeName(i)))
		require.NoError(t, err)
		cfg.Nodes = append(cfg.Nodes, node)
	}
	c := newCluster(t, cfg)
	var wg sync.WaitGroup
	for range dialers {
		wg.Go(func() {
			for i := range dials {
				conn := cfg.Nodes[i%nodes].Pool.Get()
				_, err := conn.Do("PING")
				assert.NoError(t, err)
				assert.NoError(t, conn.Close())
			}
		})
	}
	wg.Wait()
	require.NoError(t, c.Close())
	for i := range nodes {
		logins := slices.Compact(slices.Sorted(slices.Values(seen[nodeName(i)])))
		assert.Equal(t, []string{fmt.Sprintf("user%d password%d", i, i)}, logins)
	}
}

// A server is told a password before it is known, and may repeat it in what it answers.
func TestAPasswordIsInNoErrorOfADialThatIsRefused(t *testing.T) {
	var l ledger
	for what, answer := range map[string]string{
		"an unknown command": "-ERR unknown command 'AUTH', with args beginning with: '" + canary + "' \r\n",
		"a wrong password":   "-WRONGPASS invalid username-password pair\r\n",
		"an echo":            "$" + fmt.Sprint(len(canary)) + "\r\n" + canary + "\r\n",
		"garbage":            "AUTH " + canary + "\r\n",
	} {
		f := redistest.NewFake(t)
		f.Answer(answer)
		node, err := fluster.ParseNode(fmt.Sprintf("redis://:%s@%s?name=a", canary, f.Addr()))
		require.NoError(t, err)
		c := newCluster(t, fluster.Config{Nodes: []fluster.Node{node}})
		_, err = do(c, "k", "GET")
		if what != "an echo" { // which is an answer, if a strange one
			assert.Error(t, err, what)
		}
		l.print(err)
		for _, st := range c.Nodes() {
			l.print(st)
		}
		require.NoError(t, c.Close())
	}
	l.requireClean(t)
}
