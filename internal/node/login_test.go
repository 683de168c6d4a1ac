package node_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

func TestARefusedLoginIsAMisconfiguration(t *testing.T) {
	open := redistest.Start(t)
	locked := redistest.Start(t, "--requirepass", "right."+canary)
	for name, row := range map[string]struct{ url, text string }{
		"wrong password":         {"redis://:" + canary + "@" + locked.Addr(), "WRONGPASS"},
		"unknown user":           {"redis://bob:" + canary + "@" + locked.Addr(), "WRONGPASS"},
		"no password":            {"redis://" + locked.Addr(), "NOAUTH"},
		"no password configured": {"redis://:" + canary + "@" + open.Addr(), "without any password"},
		"database out of range":  {"redis://" + open.Addr() + "/16", "DB index is out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			eachPool(t, row.url, func(t *testing.T, pool *redis.Pool, _ bool) {
				assertDialFails(t, pool, dialFault{class: health.Misconfigured, text: row.text})
			})
		})
	}
}

func TestAPasswordChangedLiveIsAMisconfiguration(t *testing.T) {
	s := redistest.Start(t, "--requirepass", canary)
	before := s.URL()
	s.SetPassword("another." + canary)
	eachPool(t, before, func(t *testing.T, pool *redis.Pool, _ bool) {
		assertDialFails(t, pool, dialFault{class: health.Misconfigured, text: "WRONGPASS"})
	})
}

func TestAUserWhoMayNotSelectIsAMisconfigurationAndNotAnotherDatabase(t *testing.T) {
	s := redistest.Start(t)
	s.Do("ACL", "SETUSER", "bob", "on", ">"+canary, "~*", "+@all", "-select")
	eachPool(t, "redis://bob:"+canary+"@"+s.Addr()+"/3", func(t *testing.T, pool *redis.Pool, _ bool) {
		assertDialFails(t, pool, dialFault{class: health.Misconfigured, text: "NOPERM"})
	})
}

func TestAUserWhoMayNotPingOrNameHisConnectionMayUseIt(t *testing.T) {
	s := redistest.Start(t)
	s.Do("ACL", "SETUSER", "bob", "on", ">secret", "~*", "+@all", "-ping", "-client")
	eachPool(t, "redis://bob:secret@"+s.Addr()+"?client_name=me", func(t *testing.T, pool *redis.Pool, _ bool) {
		_, r := over(t, pool)
		c := pool.Get()
		defer c.Close()
		_, err := c.Do("SET", "k", "v")
		require.NoError(t, err)
		assert.Empty(t, r.all())
	})
}

// A full server answers the first command of a new connection, whatever it is,
// and hangs up. The answer must not be lost for the end of file after it.
func TestAFullServerIsSeenInTheDialAndNotAsGone(t *testing.T) {
	for name, args := range map[string][]string{"open": nil, "with a password": {"--requirepass", canary}} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Start(t, args...)
			admin := s.Pool(redistest.PoolOptions{}).Get()
			defer admin.Close()
			_, err := admin.Do("CONFIG", "SET", "maxclients", 1)
			require.NoError(t, err)
			eachPool(t, s.URL(), func(t *testing.T, pool *redis.Pool, _ bool) {
				assertDialFails(t, pool, dialFault{class: health.Soft, text: "max number of clients"})
			})
		})
	}
}

func TestProtectedModeIsAMisconfiguration(t *testing.T) {
	ip := ownAddress(t)
	s := redistest.Start(t, "--bind", "127.0.0.1", ip, "--protected-mode", "yes")
	eachPool(t, "redis://"+net.JoinHostPort(ip, fmt.Sprint(s.Port())), func(t *testing.T, pool *redis.Pool, _ bool) {
		assertDialFails(t, pool, dialFault{class: health.Misconfigured, text: "DENIED"})
	})
}

// ownAddress returns an IPv4 address of this machine that is not the loopback's.
func ownAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			return ip.IP.String()
		}
	}
	t.Skip("this machine has no address but the loopback's, from which protected mode takes everybody")
	return ""
}
