package node

import (
	"errors"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of linux/tcp.h, which syscall does not name.
const tcpUserTimeout = 0x12

// limitUnacked bounds how long sent bytes may stay unacknowledged before the
// kernel gives the connection up (RFC 5482).
func limitUnacked(limit time.Duration) func(network, address string, c syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		if network == "unix" {
			return nil
		}
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(limit.Milliseconds()))
		})
		if err != nil {
			return err
		}
		if errors.Is(failed, syscall.ENOPROTOOPT) { // a sandbox's kernel may lack it
			return nil
		}
		return failed
	}
}
