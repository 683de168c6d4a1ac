package redistest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// The ports of test servers lie below the range from which kernels take the
// source ports of outgoing connections. Otherwise, while a server is down, some
// connection could take its port, and it could not come back.
const (
	firstPort = 12000
	lastPort  = 32000
)

// listenLoopback listens on a free loopback port.
func listenLoopback() (net.Listener, error) {
	var err error
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", loopback(firstPort+rand.IntN(lastPort-firstPort))); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("redistest: no free port: %w", err)
}

// freePort returns a loopback port that was free a moment ago.
func freePort() (int, error) {
	l, err := listenLoopback()
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
