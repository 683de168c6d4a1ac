package node_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

// print writes v in every way in which a program comes to write things.
func inEveryForm(v any) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%v %+v %#v %s %q", v, v, v, v, v)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
	if j, err := json.Marshal(v); err == nil {
		b.Write(j)
	}
	return b.String()
}

// printParsed writes what comes of a URL.
func printParsed(raw string) string {
	e, err := node.ParseURL(raw)
	if err != nil {
		return fmt.Sprintf("%v %+v %#v", err, err, err)
	}
	return fmt.Sprintf("%v %+v %#v %s %s", e, *e, *e, e.Name, e.Addr)
}

// secretText is the part of canary that no encoding changes.
const secretText = "C4n4ry"

// Whatever stands in a password, and however little of it is escaped, no part
// of it comes out again.
func TestNoURLGivesItsPasswordAway(t *testing.T) {
	special := []string{"%", "%4", "%zz", "%00", "ä", "\xff", "日本", "://", "@h/", "@h?name=", "@h:1/", "?name=", "?weight=", "&db=", "#", "/../", "[::1]"}
	for c := ' '; c <= '\x7f'; c++ {
		special = append(special, string(c))
	}
	special = append(special, "\x00", "\t", "\n", "\r", "\x1b")
	forms := []string{
		"redis://:PW@h:6379/0", "redis://bob:PW@h", "redis://PW@h", "rediss://bob:PW@h:6379?tls_name=x",
		"valkey://:PW@h?name=x&weight=2", "redis://:1PW@h", "redis://bob:PW@[::1]:6379", "unix://:PW@/run/redis.sock",
		"redis://:PW@h:port", "redis://:PW@h:0", "redis://:PW@h:99999", "redis://:PW@h/x", "redis://:PW@h%zz",
		"redis://:PW@h?nonesuch=1", "redis://:PW@h?db=x", "redis://:PW@h?db=%zz", "redis://:PW@h\x7f", "redis://:PW@ h",
		"redis://:PW@h?tls_ca=/none", "rediss://:PW@h?tls_ca=/none", "rediss://:PW@h?tls_cert=/none&tls_key=/none",
		"redis:PW@h", "redis:/:PW@h", "redis:///:PW@h", "://:PW@h", ":PW@h", "bob:PW@h:6379", "redis//:PW@h", "http://:PW@h", "redis ://:PW@h",
		"redis://:PW@", "redis://:PW@:6379", "redis://:PW@PW@h", "unix://:PW@h/run/redis.sock", "unix:PW@/run", "re%dis://:PW@h",
	}
	parsed := 0
	for _, form := range forms {
		for _, s := range special {
			for _, password := range []string{s + secretText + s, "1" + s + secretText} {
				raw := strings.ReplaceAll(form, "PW", password)
				assert.NotContains(t, printParsed(raw), secretText, "%q", raw)
				if _, err := node.ParseURL(raw); err == nil {
					parsed++
				}
			}
		}
	}
	assert.Greater(t, parsed, 300, "hardly any of these URLs can be read")
}

func TestAPasswordThatIsEscapedAsItShouldBeArrivesWhole(t *testing.T) {
	f := redistest.NewFake(t)
	for c := range 256 {
		password := secretText + string([]byte{byte(c)}) + secretText
		got := make(chan string, 1)
		f.Handle(func(cmd []string) []byte {
			if cmd[0] == "AUTH" {
				got <- cmd[1]
			}
			return nil
		})
		u := url.URL{Scheme: "redis", User: url.UserPassword("", password), Host: f.Addr()}
		pool := parsed(t, u.String()).NewPool()
		c := pool.Get()
		require.NoError(t, c.Err())
		assert.Equal(t, password, <-got)
		require.NoError(t, c.Close())
		require.NoError(t, pool.Close())
	}
}

// A server that does not know AUTH repeats what it was called with.
func TestAServersReplyDoesNotCarryThePasswordOn(t *testing.T) {
	renamed := redistest.Start(t, "--rename-command", "AUTH", "")
	blunt := redistest.NewFake(t)
	blunt.Handle(func(cmd []string) []byte { return redistest.Error("ERR cannot " + strings.Join(cmd, " ")) })
	for name, pool := range map[string]*redis.Pool{
		"Redis":                   parsed(t, "redis://bob:"+canary+"@"+renamed.Addr()).NewPool(),
		"Redis, by a user's pool": usersPool(t, "redis://bob:"+canary+"@"+renamed.Addr()),
		"another":                 parsed(t, "redis://bob:"+canary+"@"+blunt.Addr()).NewPool(),
	} {
		t.Run(name, func(t *testing.T) {
			n, r := over(t, pool)
			_, err := pool.GetContext(t.Context())
			require.ErrorContains(t, err, "AUTH")
			assert.NotContains(t, inEveryForm(err), secretText)
			ev := probe(t, n, fresh)
			assert.Equal(t, health.Misconfigured, ev.Class)
			assert.NotContains(t, inEveryForm(ev.Cause), secretText)
			require.Len(t, r.all(), 1)
			assert.Equal(t, health.Misconfigured, r.all()[0].Class)
			assert.NotContains(t, inEveryForm(r.all()[0].Cause), secretText)
		})
	}
}

func TestNothingPrintsThePasswordInAnyWay(t *testing.T) {
	for _, raw := range []string{"redis://bob:" + canary + "@h/1?client_name=x", "rediss://" + canary + "@h", "unix://:" + canary + "@/run/s"} {
		e := parsed(t, raw)
		for _, v := range []any{e, *e, e.NewPool(), []any{e, *e}, map[string]any{"e": *e}, struct{ E any }{*e}, struct{ E node.Endpoint }{*e}} {
			assert.NotContains(t, inEveryForm(v), secretText)
			assert.NotEmpty(t, inEveryForm(v))
		}
	}
	_, err := node.ParseURL("redis://:" + canary + "/@h")
	assert.NotContains(t, inEveryForm(err)+inEveryForm(errors.Unwrap(err)), secretText)
}

func TestNeitherNodeNorConnectionPrintsThePassword(t *testing.T) {
	s := redistest.Start(t, "--requirepass", canary)
	n, _ := over(t, parsed(t, s.URL()).NewPool())
	c := n.Pool().Get()
	defer c.Close()
	_, err := c.Do("PING")
	require.NoError(t, err)
	assert.NotContains(t, inEveryForm(n), secretText)
	assert.NotContains(t, inEveryForm(n.Pool()), secretText)
	assert.NotContains(t, inEveryForm(c), secretText)
}
