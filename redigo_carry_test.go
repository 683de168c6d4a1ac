package fluster_test

import (
	"bytes"
	"context"
	"log"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// album is a value as hashes hold it.
type album struct {
	Title  string  `redis:"title"`
	Rating int     `redis:"rating"`
	Price  float64 `redis:"price"`
	Sold   bool    `redis:"sold,omitempty"`
	Secret string  `redis:"-"`
}

// connsCarry is what redigo builds on connections of any kind.
var connsCarry = map[string]documented{
	"a Script is loaded where it is missing": {holds: func(t *testing.T, p *underTest) {
		rc := p.borrow(t)
		s := redis.NewScript(1, "return {KEYS[1], ARGV[1]}")
		want := []string{"key", "arg"}
		require.Error(t, sendAndReceive(rc, func() error { return s.SendHash(rc, "key", "arg") }), "it is not there")
		for name, run := range map[string]func() (any, error){
			"Do":        func() (any, error) { return s.Do(rc, "key", "arg") },
			"DoContext": func() (any, error) { return s.DoContext(context.Background(), rc, "key", "arg") },
		} {
			for range 2 { // by source, and by hash
				got, err := redis.Strings(run())
				require.NoError(t, err, name)
				assert.Equal(t, want, got, name)
			}
			p.server.Do("SCRIPT", "FLUSH")
		}
		require.NoError(t, s.Load(rc))
		require.NoError(t, sendAndReceive(rc, func() error { return s.SendHash(rc, "key", "arg") }))
		require.NoError(t, sendAndReceive(rc, func() error { return s.Send(rc, "key", "arg") }))
		got, err := redis.Ints(redis.NewScript(-1, "return {#KEYS, #ARGV}").Do(rc, 1, "a", "b", "c"))
		require.NoError(t, err)
		assert.Equal(t, []int{1, 2}, got)
		idOf(t, rc)
	}},
	"a PubSubConn hears what is published while it subscribes": {holds: func(t *testing.T, p *underTest) {
		rc := p.borrow(t)
		ps := redis.PubSubConn{Conn: rc}
		require.NoError(t, ps.Subscribe(redis.Args{}.AddFlat([]string{"one", "two"})...))
		assert.Equal(t, redis.Subscription{Kind: "subscribe", Channel: "one", Count: 1}, ps.Receive())
		assert.Equal(t, redis.Subscription{Kind: "subscribe", Channel: "two", Count: 2}, ps.ReceiveWithTimeout(patient))
		require.NoError(t, ps.PSubscribe("t*"))
		assert.Equal(t, redis.Subscription{Kind: "psubscribe", Channel: "t*", Count: 3}, ps.ReceiveContext(t.Context()))
		p.server.Do("PUBLISH", "two", "news")
		assert.Equal(t, redis.Message{Channel: "two", Data: []byte("news")}, ps.Receive())
		assert.Equal(t, redis.Message{Channel: "two", Pattern: "t*", Data: []byte("news")}, ps.Receive())
		require.NoError(t, ps.Ping("data"))
		assert.Equal(t, redis.Pong{Data: "data"}, ps.Receive())
		require.NoError(t, ps.Unsubscribe())
		require.NoError(t, ps.PUnsubscribe())
		for range 3 {
			require.IsType(t, redis.Subscription{}, ps.Receive())
		}
		idOf(t, rc)
	}},
	"a PubSubConn may subscribe on one goroutine while it receives on another": {holds: func(t *testing.T, p *underTest) {
		ps := redis.PubSubConn{Conn: p.borrow(t)}
		require.NoError(t, ps.Subscribe("first"))
		heard := make(chan any)
		go func() {
			defer close(heard)
			for {
				switch said := ps.Receive().(type) {
				case redis.Subscription:
					heard <- said.Channel
					if said.Count == 0 {
						return
					}
				case redis.Message:
					heard <- string(said.Data)
				default:
					heard <- said
					return
				}
			}
		}()
		assert.Equal(t, "first", <-heard)
		require.NoError(t, ps.Subscribe("second"))
		assert.Equal(t, "second", <-heard)
		p.server.Do("PUBLISH", "second", "news")
		assert.Equal(t, "news", <-heard)
		require.NoError(t, ps.Unsubscribe())
		for range heard {
		}
		require.NoError(t, ps.Close())
		p.requireCounts(t, 1, 1)
	}},
	// In a cluster the error is a NodeError.
	"a PubSubConn whose connection breaks receives the error": {holds: func(t *testing.T, p *underTest) {
		rc := p.borrow(t)
		id := idOf(t, rc)
		ps := redis.PubSubConn{Conn: rc}
		require.NoError(t, ps.Subscribe("news"))
		require.IsType(t, redis.Subscription{}, ps.Receive())
		p.server.Do("CLIENT", "KILL", "ID", id)
		err, _ := ps.Receive().(error)
		require.Error(t, err)
		p.assertFailed(t, err, true)
		_ = ps.Close()
		p.requireCounts(t, 0, 0)
	}},
	"Args, Scan, ScanStruct and ScanSlice take values there and back": {holds: func(t *testing.T, p *underTest) {
		rc := p.borrow(t)
		in := album{Title: "Red", Rating: 5, Price: 9.5, Secret: "kept"}
		_, err := rc.Do("HSET", redis.Args{}.Add("album").AddFlat(&in)...)
		require.NoError(t, err)
		values, err := redis.Values(rc.Do("HGETALL", "album"))
		require.NoError(t, err)
		var out album
		require.NoError(t, redis.ScanStruct(values, &out))
		assert.Equal(t, album{Title: "Red", Rating: 5, Price: 9.5}, out)

		_, err = rc.Do("RPUSH", redis.Args{}.Add("albums").AddFlat([]string{"Earthbound", "1", "Beat", "4"})...)
		require.NoError(t, err)
		values, err = redis.Values(rc.Do("LRANGE", "albums", 0, -1))
		require.NoError(t, err)
		var all []album
		require.NoError(t, redis.ScanSlice(values, &all, "title", "rating"))
		assert.Equal(t, []album{{Title: "Earthbound", Rating: 1}, {Title: "Beat", Rating: 4}}, all)

		values, err = redis.Values(rc.Do("MGET", "none", "none"))
		require.NoError(t, err)
		text, number := "kept", 7
		_, err = redis.Scan(values, &text, &number)
		require.NoError(t, err)
		assert.Equal(t, "kept", text)
		assert.Equal(t, 7, number)

		_, err = redis.String(rc.Do("GET", "none"))
		assert.Equal(t, redis.ErrNil, err)
		whole, err := redis.StringMap(rc.Do("HGETALL", "album"))
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"title": "Red", "rating": "5", "price": "9.5"}, whole)
	}},
	"a LoggingConn around it logs and lets all through": {holds: func(t *testing.T, p *underTest) {
		var lines bytes.Buffer
		quiet := func(cmd string) bool { return cmd == "ECHO" }
		rc := redis.NewLoggingConnFilter(p.borrow(t), log.New(&lines, "", 0), "app", quiet)
		reply, err := redis.DoWithTimeout(rc, patient, "SET", "k", "v")
		require.NoError(t, err)
		assert.Equal(t, "OK", reply)
		reply, err = redis.DoContext(rc, t.Context(), "GET", "k")
		require.NoError(t, err)
		assert.Equal(t, []byte("v"), reply)
		require.NoError(t, sendAndReceive(rc, func() error { return rc.Send("INCR", "n") }))
		_, err = rc.Do("ECHO", "not logged")
		require.NoError(t, err)
		giveBack(t, rc)
		p.requireCounts(t, 1, 1)
		for _, want := range []string{`app.DoWithTimeout(SET, "k", "v") -> ("OK", <nil>)`, `app.DoContext(GET, "k")`, `app.Send(INCR, "n")`, "app.Receive", "app.Close"} {
			assert.Contains(t, lines.String(), want)
		}
		assert.NotContains(t, lines.String(), "not logged")
	}},
	"a LoggingConn may be what the dial returns": {
		usersDial: true,
		setUp: func(p *redis.Pool) {
			dial := p.DialContext
			p.DialContext = func(ctx context.Context) (redis.Conn, error) {
				rc, err := dial(ctx)
				if err != nil {
					return nil, err
				}
				return redis.NewLoggingConn(rc, log.New(&strings.Builder{}, "", 0), "app"), nil
			}
		},
		holds: func(t *testing.T, p *underTest) {
			rc := p.borrow(t)
			_, err := redis.DoWithTimeout(rc, patient, "PING")
			require.NoError(t, err)
			_, err = redis.DoContext(rc, t.Context(), "PING")
			require.NoError(t, err)
			require.NoError(t, sendAndReceive(rc, func() error { return rc.Send("PING") }))
			giveBack(t, rc)
			p.requireCounts(t, 1, 1)
		},
	},
}

// sendAndReceive sends one command and receives its reply.
func sendAndReceive(rc redis.Conn, send func() error) error {
	if err := send(); err != nil {
		return err
	}
	if err := rc.Flush(); err != nil {
		return err
	}
	_, err := rc.Receive()
	return err
}
