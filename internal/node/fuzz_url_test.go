package node_test

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/redisfluster/fluster/internal/node"
)

// FuzzParseURL checks of any URL that it is read the same way each time, that
// what comes of it can be dialed, and of any password in it that it stays in.
func FuzzParseURL(f *testing.F) {
	for _, rest := range []string{
		"h", "h:6379", "h:6379/3", "h?db=3", "[::1]:7000/1?name=x&weight=2", ":7000", "", "/run/redis.sock", "/run/s?db=1",
		"h?dial_timeout=500ms&read_timeout=0&write_timeout=1h", "h?pool_size=3&pool_wait=true&max_idle=0",
		"h?tls_name=x", "h?client_name=w-1", "h:0", "h:99999", "h:x", "h%zz", "fe80::1", "]", "[", "a:b:1", "h?a;b", "h#x", "h/0?db=1", "[fe80::1%25e]",
	} {
		for _, scheme := range []string{"redis", "rediss", "unix"} {
			f.Add(scheme, "", "", "", rest)
			f.Add(scheme, "bob", "", "", rest)
			f.Add(scheme, "", "@h/", "?x=", rest)
			f.Add(scheme, "b:b", "1/", "#", rest)
		}
	}
	f.Add("valkeys", "%62", "?name=", "&", "h")
	f.Add("redis:", "/", "\x00", "\\", "h")
	f.Fuzz(func(t *testing.T, scheme, user, before, after, rest string) {
		raw := scheme + "://" + user + ":" + before + secretText + after + "@" + rest
		if strings.Contains(rest, "tls_c") || strings.Contains(rest, "tls_k") || strings.Contains(rest, "%") && strings.Contains(rest, "tls") {
			return // it would read files
		}
		if !strings.Contains(scheme+user+rest, "C4n") && strings.Contains(printParsed(raw), secretText) {
			t.Errorf("%q gives its password away", raw)
		}
		for _, raw := range []string{raw, scheme + "://" + rest, rest} {
			checkParse(t, raw)
		}
	})
}

func checkParse(t *testing.T, raw string) {
	t.Helper()
	e, err := node.ParseURL(raw)
	again, errAgain := node.ParseURL(raw)
	if (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
		t.Fatalf("%q: %v, and then %v", raw, err, errAgain)
	}
	if err != nil {
		return
	}
	if e.String() != again.String() || e.Weight != again.Weight || e == again {
		t.Errorf("%q: %v, and then %v", raw, e, again)
	}
	if e.Name == "" || e.Weight < 0 {
		t.Errorf("%q: name %q, weight %d", raw, e.Name, e.Weight)
	}
	if strings.HasPrefix(e.Addr, "/") {
		if len(e.Addr) > 107 || strings.Contains(e.Addr, "\x00") {
			t.Errorf("%q: no socket can have the path %q", raw, e.Addr)
		}
		return
	}
	host, port, err := net.SplitHostPort(e.Addr)
	n, bad := strconv.Atoi(port)
	if err != nil || bad != nil || host == "" || n < 1 || n > 65535 {
		t.Errorf("%q: nobody can dial %q", raw, e.Addr)
	}
}
