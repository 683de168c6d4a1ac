package redistest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// The ports of test servers lie below the range from which kernels take the
// source ports of outgoing connections. Otherwise, while a server is down, some
// connection could take its port, and it could not come back.
const (
	firstPort = 12000
	lastPort  = 32000
)

// listenLoopback listens on a free loopback port that it claims.
func listenLoopback(t testing.TB) (l net.Listener, err error) {
	for range 100 {
		if l, err = claim(t, loopback(firstPort+rand.IntN(lastPort-firstPort))); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("redistest: no free port: %w", err)
}

// claim listens on a port that nobody else has claimed, and claims it until the test ends:
// while its server is down, no test of this or another process takes it. The claim is a UDP
// socket of the same number.
func claim(t testing.TB, addr string) (net.Listener, error) {
	claimed, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		_ = claimed.Close()
		return nil, err
	}
	t.Cleanup(func() { _ = claimed.Close() })
	return l, nil
}

// claimPort returns a loopback port that is claimed until the test ends, and was free a
// moment ago.
func claimPort(t testing.TB) (int, error) {
	l, err := listenLoopback(t)
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
