package node_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

func TestAURLNamesANode(t *testing.T) {
	for raw, want := range map[string]struct {
		name, addr string
		weight     int
	}{
		"redis://h:7000":               {"h:7000", "h:7000", 0},
		"redis://h":                    {"h", "h:6379", 0},
		"redis://h/":                   {"h", "h:6379", 0},
		"redis://h:7000/3":             {"h:7000/3", "h:7000", 0},
		"redis://h:7000/0":             {"h:7000/0", "h:7000", 0},
		"redis://h:7000?db=3":          {"h:7000/3", "h:7000", 0},
		"redis://h:7000/?db=0":         {"h:7000", "h:7000", 0},
		"redis://:7000":                {":7000", "localhost:7000", 0},
		"redis://":                     {"localhost:6379", "localhost:6379", 0},
		"REDIS://Cache.Example:7000":   {"Cache.Example:7000", "Cache.Example:7000", 0},
		"rediss://h":                   {"h", "h:6379", 0},
		"valkey://h":                   {"h", "h:6379", 0},
		"valkeys://h":                  {"h", "h:6379", 0},
		"redis://192.0.2.1:7000":       {"192.0.2.1:7000", "192.0.2.1:7000", 0},
		"redis://[2001:db8::1]:7000/1": {"[2001:db8::1]:7000/1", "[2001:db8::1]:7000", 0},
		"redis://[::1]":                {"[::1]", "[::1]:6379", 0},
		"redis://[fe80::1%25eth0]:7000?name=link": {"link", "[fe80::1%eth0]:7000", 0},
		"redis://u:p@h:7000":                      {"h:7000", "h:7000", 0},
		"redis://u:p@h:7000?name=eu-1&weight=3":   {"eu-1", "h:7000", 3},
		"redis://h:7000/3?name=x":                 {"x", "h:7000", 0},
		"redis://h?name=a%40b":                    {"a@b", "h:6379", 0},
		"unix:///run/redis.sock":                  {"/run/redis.sock", "/run/redis.sock", 0},
		"unix://:secret@/run/redis.sock":          {"/run/redis.sock", "/run/redis.sock", 0},
		"unix:///run/redis.sock?db=3":             {"/run/redis.sock/3", "/run/redis.sock", 0},
		"unix:///run/redis.sock?db=3&name=x":      {"x", "/run/redis.sock", 0},
		"unix:///run/redis%40home.sock":           {"/run/redis@home.sock", "/run/redis@home.sock", 0},
	} {
		t.Run(raw, func(t *testing.T) {
			e, err := node.ParseURL(raw)
			require.NoError(t, err)
			assert.Equal(t, want.name, e.Name)
			assert.Equal(t, want.addr, e.Addr)
			assert.Equal(t, want.weight, e.Weight)
		})
	}
}

func TestAURLSaysHowToGreet(t *testing.T) {
	for raw, want := range map[string][]string{
		"redis://HOST":                           nil,
		"redis://@HOST":                          nil,
		"redis://:@HOST":                         nil,
		"redis://secret@HOST":                    {"AUTH secret"},
		"redis://:secret@HOST":                   {"AUTH secret"},
		"redis://bob:secret@HOST":                {"AUTH bob secret"},
		"redis://bob:@HOST":                      {"AUTH bob "},
		"redis://b%6Fb:p%40s%2Fs%3As%3F%23@HOST": {"AUTH bob p@s/s:s?#"},
		"redis://:p@ss@HOST":                     {"AUTH p@ss"},
		"redis://:a:b@HOST":                      {"AUTH a:b"},
		"redis://:%C3%A4+%20%2B@HOST":            {"AUTH ä+ +"},
		"redis://HOST/3":                         {"SELECT 3"},
		"redis://HOST/3/":                        {"SELECT 3"},
		"redis://HOST/0":                         nil,
		"redis://HOST?db=3":                      {"SELECT 3"},
		"redis://HOST?client_name=worker-1":      {"CLIENT SETNAME worker-1"},
		"redis://bob:secret@HOST/3?client_name=worker-1": {
			"AUTH bob secret", "SELECT 3", "CLIENT SETNAME worker-1",
		},
	} {
		t.Run(raw, func(t *testing.T) {
			f := redistest.NewFake(t)
			var mu sync.Mutex
			var got []string
			f.Handle(func(cmd []string) []byte {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, strings.Join(cmd, " "))
				return redistest.Simple("OK")
			})
			pool := parsed(t, strings.Replace(raw, "HOST", f.Addr(), 1)).NewPool()
			over(t, pool)
			c := pool.Get()
			require.NoError(t, c.Err())
			require.NoError(t, c.Close())
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(t, append(want, "PING"), got)
		})
	}
}

func TestAURLSaysHowThePoolIs(t *testing.T) {
	p := parsed(t, "redis://h").NewPool()
	assert.Equal(t, 64, p.MaxIdle)
	assert.Zero(t, p.MaxActive)
	assert.False(t, p.Wait)
	assert.Zero(t, p.IdleTimeout)
	assert.Zero(t, p.MaxConnLifetime)

	p = parsed(t, "redis://h?max_idle=3&pool_size=7&pool_wait=true&idle_timeout=90s&max_lifetime=2h").NewPool()
	assert.Equal(t, 3, p.MaxIdle)
	assert.Equal(t, 7, p.MaxActive)
	assert.True(t, p.Wait)
	assert.Equal(t, 90*time.Second, p.IdleTimeout)
	assert.Equal(t, 2*time.Hour, p.MaxConnLifetime)
}

func TestAURLThatIsWrongIsRefusedWithTheReason(t *testing.T) {
	long := strings.Repeat("x", 200)
	for raw, want := range map[string]string{
		"":                               "scheme must be",
		"h:7000":                         "",
		"//h:7000":                       "scheme must be",
		"http://h":                       "scheme must be",
		"redis:h:7000":                   "percent-encoded",
		"redis://h#fragment":             "percent-encoded",
		"redis://h/0@x":                  "percent-encoded",
		"redis://h?name=a@b":             "percent-encoded",
		"redis://h:port":                 "percent-encoded",
		"redis://h:0":                    "port must be 1 to 65535",
		"redis://h:65536":                "port must be 1 to 65535",
		"redis://h:99999999999999999999": "port must be 1 to 65535",
		"redis://fe80::1":                "",
		"redis://a:b:7000":               "",
		"redis://]":                      "brackets",
		"redis://h/x":                    "database in its path",
		"redis://h/-1":                   "database in its path",
		"redis://h/1/2":                  "database in its path",
		"redis://h/9999999":              "database in its path",
		"redis://h/3?db=4":               "both in the path and in option db",
		"redis://h/0?db=4":               "both in the path and in option db",
		"redis://h?nonesuch=1":           `unknown option "nonesuch"; there are client_name, db,`,
		"redis://h?No%20Such=1":          "unknown option; there are",
		"redis://h?db=1&db=1":            "option db is given more than once",
		"redis://h?db=%zz":               "query cannot be parsed",
		"redis://h?a;b":                  "query cannot be parsed",
		"redis://h?pool_wait=true":       "pool_wait needs pool_size",
		"unix://h/run/redis.sock":        "unix:///path",
		"unix://":                        "unix:///path",
		"unix:///" + long:                "longer than",
		"unix:///a%00b":                  "control character",
		"unix:///run/s?tls_name=h":       "option tls_name needs rediss://",
		"redis://h?tls_ca=/nonesuch":     "option tls_ca needs rediss://",
		"rediss://h?tls_ca=/nonesuch":    "option tls_ca: open /nonesuch",
		"rediss://h?tls_cert=/a":         "tls_cert and tls_key go together",
		"rediss://h?tls_key=/a":          "tls_cert and tls_key go together",
		"rediss://h?tls_cert=/a&tls_key=/nonesuch": "tls_cert and tls_key: open /a",
	} {
		t.Run(raw, func(t *testing.T) {
			e, err := node.ParseURL(raw)
			require.Error(t, err)
			assert.Nil(t, e)
			assert.Contains(t, err.Error(), want)
		})
	}
}

func TestEachOptionTakesItsOwnKindOfValue(t *testing.T) {
	duration := kind{good: []string{"0", "1ns", "500ms", "1h30m"}, bad: []string{"", "1", "-1s", "x", "1s 2s", "9999999h999999h"}, text: "duration"}
	number := func(least, most string) kind {
		return kind{good: []string{least, most}, bad: []string{"", "-1", "x", "1.5", "1e3", "0x10", most + "0", "99999999999999999999"}, text: "whole number"}
	}
	name := kind{good: []string{"x", "a b", "ä"}, bad: []string{"", "a\nb", "\x1b[31m"}, text: "option"}
	for option, k := range map[string]kind{
		"name":          name,
		"weight":        number("1", "1048576"),
		"db":            number("0", "1048576"),
		"client_name":   {good: []string{"x", "worker-1:a/b"}, bad: []string{"", "a b", "a\nb", "ä"}, text: "client_name"},
		"dial_timeout":  duration,
		"read_timeout":  duration,
		"write_timeout": duration,
		"idle_timeout":  duration,
		"max_lifetime":  duration,
		"max_reply":     number("1024", "1099511627776"),
		"max_idle":      number("0", "1048576"),
		"pool_size":     number("0", "1048576"),
		"pool_wait":     {good: []string{"false", "0"}, bad: []string{"", "yes", "maybe"}, text: "true or false"},
		"tls_name":      {good: []string{"x", "a.b"}, bad: []string{""}, text: "is empty"},
	} {
		t.Run(option, func(t *testing.T) {
			for _, value := range k.good {
				_, err := node.ParseURL("rediss://h?" + option + "=" + url.QueryEscape(value))
				assert.NoError(t, err, "%q", value)
			}
			for _, value := range k.bad {
				_, err := node.ParseURL("rediss://h?" + option + "=" + url.QueryEscape(value))
				if assert.Error(t, err, "%q", value) {
					assert.Contains(t, err.Error(), option)
					assert.Contains(t, err.Error(), k.text)
				}
			}
		})
	}
	for _, bad := range []string{"weight=0", "max_reply=1023"} {
		_, err := node.ParseURL("redis://h?" + bad)
		assert.Error(t, err, bad)
	}
}

type kind struct {
	good, bad []string
	text      string // in the error
}

func TestTLSFilesAreReadWithTheURL(t *testing.T) {
	dir := t.TempDir()
	none := filepath.Join(dir, "none.pem")
	require.NoError(t, os.WriteFile(none, []byte("no certificate"), 0o600))
	_, err := node.ParseURL("rediss://h?tls_ca=" + url.QueryEscape(none))
	require.ErrorContains(t, err, "holds no certificate")
	_, err = node.ParseURL("rediss://h?tls_cert=" + url.QueryEscape(none) + "&tls_key=" + url.QueryEscape(none))
	require.ErrorContains(t, err, "tls_cert and tls_key")
	_, err = node.ParseURL("rediss://h?" + showing(t, redistest.NewCA(t).Client()))
	require.NoError(t, err)
}

// The time-outs of a URL are those of its connections.
func TestTheTimeoutsOfAURLAreKept(t *testing.T) {
	f := redistest.NewFake(t)
	for option, text := range map[string]string{"dial_timeout": "within 20ms", "read_timeout": "i/o timeout"} {
		f.Hang()
		pool := parsed(t, "redis://"+f.Addr()+"?"+strings.Replace("dial_timeout=1h&read_timeout=1h", option+"=1h", option+"=20ms", 1)).NewPool()
		over(t, pool)
		ctx, cancel := context.WithTimeout(t.Context(), ample)
		_, err := pool.GetContext(ctx)
		cancel()
		require.ErrorContains(t, err, text)
	}
}

// Two nodes of one fleet must not get each other's password: nothing that a URL
// says may live in memory that they share.
func TestNodesShareNothingOfTheirURLs(t *testing.T) {
	f := redistest.NewFake(t)
	var wrong sync.Map
	f.Handle(func(cmd []string) []byte {
		if cmd[0] == "AUTH" && cmd[1] != "user-of-"+cmd[2] {
			wrong.Store(strings.Join(cmd, " "), true)
		}
		return nil
	})
	var wg sync.WaitGroup
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		wg.Go(func() {
			for range 10 {
				e, err := node.ParseURL("redis://user-of-" + id + ":" + id + "@" + f.Addr() + "/1?client_name=" + id)
				if !assert.NoError(t, err) {
					return
				}
				pool := e.NewPool()
				c := pool.Get()
				assert.NoError(t, c.Err())
				assert.NoError(t, c.Close())
				assert.NoError(t, pool.Close())
			}
		})
	}
	wg.Wait()
	wrong.Range(func(cmd, _ any) bool { t.Error(cmd); return true })
	assert.Equal(t, 80, f.Executed("AUTH"))
}
