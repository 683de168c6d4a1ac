package node_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

// transcript is what a caller saw, in words that do not depend on who dialed.
type transcript []string

// note writes down a reply and an error.
func (tr *transcript) note(reply any, err error) {
	*tr = append(*tr, fmt.Sprintf("%T %s, %s", reply, printable(reply), gist(err)))
}

func printable(reply any) string {
	switch reply := reply.(type) {
	case []byte:
		return fmt.Sprintf("%q", reply)
	case []any:
		var all strings.Builder
		all.WriteString("[")
		for _, r := range reply {
			all.WriteString(" " + printable(r))
		}
		return all.String() + " ]"
	}
	return fmt.Sprintf("%v", reply)
}

// gist tells errors apart as far as both redigo and this package do.
func gist(err error) string {
	var reply redis.Error
	var late net.Error
	switch {
	case err == nil:
		return "no error"
	case errors.As(err, &reply):
		return fmt.Sprintf("%T %v", err, err) // bare in both
	case errors.As(err, &late) && late.Timeout():
		return "too late"
	default:
		return "failed"
	}
}

// after writes down whether a call failed on a connection that is broken: this
// package repeats what broke it, redigo says that it is closed.
func (tr *transcript) after(reply any, err error) {
	*tr = append(*tr, fmt.Sprint(reply, " ", err != nil))
}

// state writes down whether the connection is still good, and what it says.
func (tr *transcript) state(rc redis.Conn) {
	tr.note("usable", rc.Err())
	if rc.Err() == nil {
		tr.note(rc.Do("ECHO", "still in step"))
	}
}

// behaviours are what callers of redigo do.
var behaviours = map[string]func(tr *transcript, rc, other redis.Conn){
	"replies of every kind": func(tr *transcript, rc, _ redis.Conn) {
		tr.note(rc.Do("SET", "k", "v"))
		tr.note(rc.Do("GET", "k"))
		tr.note(rc.Do("GET", "none"))
		tr.note(rc.Do("INCR", "n"))
		tr.note(rc.Do("RPUSH", "l", 1, 2.5, true, nil, []byte("five")))
		tr.note(rc.Do("LRANGE", "l", 0, -1))
		tr.note(rc.Do("LRANGE", "none", 0, -1))
		tr.note(rc.Do("BLPOP", "none", "0.01"))
		tr.note(rc.Do("EVAL", "return {1,{2,{3,'x'}},{err='E x'}}", 0))
		tr.note(rc.Do("PING"))
	},
	"error replies": func(tr *transcript, rc, _ redis.Conn) {
		tr.note(rc.Do("SET", "s", "v"))
		tr.note(rc.Do("LPUSH", "s", "v"))
		tr.state(rc)
		tr.note(rc.Do("NOSUCH"))
		tr.note(rc.Do("SET"))
		tr.note(rc.Do("EVAL", "return redis.error_reply('MINE own error')", 0))
	},
	"nothing to do": func(tr *transcript, rc, _ redis.Conn) {
		tr.note(rc.Do(""))
		tr.note(redis.DoWithTimeout(rc, time.Second, ""))
		tr.note(redis.DoContext(rc, context.Background(), ""))
		tr.note(nil, rc.Flush())
	},
	"a pipeline received one by one": func(tr *transcript, rc, _ redis.Conn) {
		for i := range 3 {
			tr.note(nil, rc.Send("ECHO", i))
		}
		tr.note(nil, rc.Send("LPUSH", "s"))
		tr.note(nil, rc.Flush())
		for range 4 {
			tr.note(rc.Receive())
		}
	},
	"a pipeline received in every way": func(tr *transcript, rc, _ redis.Conn) {
		for i := range 3 {
			tr.note(nil, rc.Send("ECHO", i))
		}
		tr.note(nil, rc.Flush())
		tr.note(redis.ReceiveWithTimeout(rc, longEnough))
		tr.note(redis.ReceiveContext(rc, context.Background()))
		tr.note(rc.Receive())
	},
	"a pipeline received at once": func(tr *transcript, rc, _ redis.Conn) {
		tr.note(nil, rc.Send("ECHO", 1))
		tr.note(nil, rc.Send("NOSUCH"))
		tr.note(nil, rc.Send("ECHO", 2))
		tr.note(rc.Do(""))
		tr.note(rc.Do(""))
	},
	"a pipeline ended by a command": func(tr *transcript, rc, _ redis.Conn) {
		tr.note(nil, rc.Send("ECHO", 1))
		tr.note(nil, rc.Send("NOSUCH"))
		tr.note(rc.Do("ECHO", 2))
		tr.note(nil, rc.Send("ECHO", 3))
		tr.note(redis.DoContext(rc, context.Background(), "ECHO", 4))
	},
	"a pipeline partly received": func(tr *transcript, rc, _ redis.Conn) {
		for i := range 3 {
			tr.note(nil, rc.Send("ECHO", i))
		}
		tr.note(nil, rc.Flush())
		tr.note(rc.Receive())
	},
	"a transaction": func(tr *transcript, rc, _ redis.Conn) {
		tr.note(rc.Do("MULTI"))
		tr.note(rc.Do("INCR", "t"))
		tr.note(rc.Do("EXEC"))
	},
	"a transaction in a pipeline, with an error": func(tr *transcript, rc, _ redis.Conn) {
		tr.note(rc.Do("SET", "ts", "v"))
		tr.note(nil, rc.Send("MULTI"))
		tr.note(nil, rc.Send("INCR", "t2"))
		tr.note(nil, rc.Send("LPUSH", "ts", "v"))
		tr.note(rc.Do("EXEC"))
	},
	"a transaction that is aborted": func(tr *transcript, rc, other redis.Conn) {
		tr.note(rc.Do("WATCH", "w"))
		tr.note(other.Do("INCR", "w"))
		tr.note(rc.Do("MULTI"))
		tr.note(rc.Do("INCR", "w"))
		tr.note(rc.Do("EXEC"))
		tr.note(rc.Do("MULTI"))
		tr.note(rc.Do("NOSUCH"))
		tr.note(rc.Do("EXEC"))
		tr.note(rc.Do("MULTI"))
		tr.note(rc.Do("DISCARD"))
	},
	"a transaction that is left open": func(tr *transcript, rc, _ redis.Conn) {
		tr.note(rc.Do("WATCH", "w"))
		tr.note(rc.Do("MULTI"))
		tr.note(rc.Do("INCR", "never"))
	},
	"scripts": func(tr *transcript, rc, _ redis.Conn) {
		script := redis.NewScript(1, "return {KEYS[1], ARGV[1]}")
		tr.note(script.Do(rc, "k", "a"))
		tr.note(script.Do(rc, "k", "b"))
		tr.note(script.DoContext(context.Background(), rc, "k", "c"))
		tr.note(nil, script.SendHash(rc, "k", "d"))
		tr.note(rc.Do(""))
		tr.note(rc.Do("SCRIPT", "FLUSH"))
		tr.note(nil, script.Load(rc))
		tr.note(nil, script.SendHash(rc, "k", "e"))
		tr.note(rc.Do(""))
	},
	"a subscription": func(tr *transcript, rc, other redis.Conn) {
		psc := redis.PubSubConn{Conn: rc}
		tr.note(nil, psc.Subscribe("one", "two"))
		tr.note(psc.Receive(), nil)
		tr.note(psc.Receive(), nil)
		tr.note(nil, psc.PSubscribe("t*"))
		tr.note(psc.Receive(), nil)
		tr.note(other.Do("PUBLISH", "one", "first"))
		tr.note(psc.Receive(), nil)
		tr.note(other.Do("PUBLISH", "two", "second"))
		tr.note(psc.ReceiveWithTimeout(longEnough), nil)
		tr.note(psc.ReceiveContext(context.Background()), nil)
		tr.note(nil, psc.Ping("data"))
		tr.note(psc.Receive(), nil)
		tr.note(nil, psc.Unsubscribe())
		tr.note(psc.Receive(), nil)
		tr.note(psc.Receive(), nil)
		tr.note(nil, psc.PUnsubscribe())
		tr.note(psc.Receive(), nil)
		tr.state(rc)
	},
	"a subscription that is left open": func(tr *transcript, rc, other redis.Conn) {
		psc := redis.PubSubConn{Conn: rc}
		tr.note(nil, psc.Subscribe("left"))
		tr.note(psc.Receive(), nil)
		tr.note(nil, psc.PSubscribe("lef?"))
		tr.note(psc.Receive(), nil)
		tr.note(other.Do("PUBLISH", "left", "nobody receives this"))
	},
	"a time limit of the command's own": func(tr *transcript, rc, _ redis.Conn) {
		tr.note(redis.DoWithTimeout(rc, longEnough, "ECHO", "in time"))
		tr.note(redis.DoWithTimeout(rc, 10*time.Millisecond, "BLPOP", "none", 0))
		tr.state(rc)
		tr.after(rc.Do("PING"))
		tr.after(rc.Do(""))
		tr.after(nil, rc.Send("PING"))
		tr.after(rc.Receive())
	},
	"a time limit of the reply's own": func(tr *transcript, rc, _ redis.Conn) {
		tr.note(nil, rc.Send("BLPOP", "none", 0))
		tr.note(nil, rc.Flush())
		tr.note(redis.ReceiveWithTimeout(rc, 10*time.Millisecond))
		tr.state(rc)
		tr.after(rc.Do(""))
	},
	"a command that breaks what was sent before it": func(tr *transcript, rc, _ redis.Conn) {
		tr.note(nil, rc.Send("ECHO", 1))
		tr.note(redis.DoWithTimeout(rc, 10*time.Millisecond, "BLPOP", "none", 0))
		tr.after(rc.Do(""))
	},
	"a context that ends": func(tr *transcript, rc, _ redis.Conn) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		tr.note(redis.DoContext(rc, ctx, "BLPOP", "none", 0))
		tr.state(rc)
	},
	"a connection that is closed": func(tr *transcript, rc, _ redis.Conn) {
		tr.note(nil, rc.Close())
		tr.state(rc)
		tr.note(rc.Do("PING"))
		tr.note(redis.DoContext(rc, context.Background(), "PING"))
		tr.note(nil, rc.Send("PING"))
		tr.note(nil, rc.Flush())
		tr.note(rc.Receive())
	},
	"a connection that the server closes": func(tr *transcript, rc, _ redis.Conn) {
		tr.note(rc.Do("QUIT"))
		tr.note(rc.Do("PING"))
		tr.state(rc)
		tr.after(rc.Do("PING"))
	},
}

func TestAConnectionBehavesAsRedigos(t *testing.T) {
	redistest.NoLeaks(t)
	s := redistest.Start(t)
	for name, behave := range behaviours {
		t.Run(name, func(t *testing.T) {
			bare := s.Pool(unhurried)
			defer bare.Close()
			inPool, loose := perform(t, s, bare, behave)
			for dialed, w := range map[string]*watched{
				"dialed by the user":    watchPool(t, s.Pool(unhurried)),
				"dialed by the library": watchURL(t, s.URL(), ""),
			} {
				gotInPool, gotLoose := perform(t, s, w.Pool(), behave)
				assert.Equal(t, inPool, gotInPool, "%s, borrowed from a pool", dialed)
				assert.Equal(t, loose, gotLoose, "%s, not in a pool", dialed)
				if name != "a connection that the server closes" {
					assert.Empty(t, w.accusations(), dialed)
				}
			}
		})
	}
}

// perform lets behave loose on an empty server, once with a connection that
// goes back to the pool, once with one that is closed. The transcript ends with
// what the pool's next user sees.
func perform(t *testing.T, s *redistest.Server, pool *redis.Pool, behave func(tr *transcript, rc, other redis.Conn)) (inPool, loose transcript) {
	t.Helper()
	others := s.Pool(unhurried)
	defer others.Close()
	other := others.Get()
	defer other.Close()

	s.Do("FLUSHALL")
	s.Do("SCRIPT", "FLUSH")
	rc := pool.Get()
	behave(&inPool, rc, other)
	inPool.after(nil, rc.Close())
	inPool = append(inPool, fmt.Sprint(pool.IdleCount(), " idle of ", pool.ActiveCount()))
	next := pool.Get()
	inPool.state(next)
	inPool.note(nil, next.Close())

	s.Do("FLUSHALL")
	s.Do("SCRIPT", "FLUSH")
	rc, err := pool.DialContext(t.Context())
	require.NoError(t, err)
	behave(&loose, rc, other)
	loose.after(nil, rc.Close())
	return inPool, loose
}
