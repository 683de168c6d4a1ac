//go:build !linux

package node

import (
	"syscall"
	"time"
)

// limitUnacked does nothing here: keepalive alone finds a peer that is gone.
func limitUnacked(time.Duration) func(network, address string, c syscall.RawConn) error {
	return nil
}
