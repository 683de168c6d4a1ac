package main

import (
	"crypto/sha256"
	"runtime"
	"sync"
	"sync/atomic"
)

// burners are goroutines that compute and never yield, as in a program that has
// more to do than to ask servers.
type burners struct {
	over atomic.Bool
	all  sync.WaitGroup
}

// start starts one for each processor. They begin when begin is closed.
func (b *burners) start(begin <-chan struct{}) {
	for range runtime.GOMAXPROCS(0) {
		b.all.Go(func() {
			<-begin
			burn(&b.over)
		})
	}
}

// stop ends them and waits until they have.
func (b *burners) stop() {
	b.over.Store(true)
	b.all.Wait()
}

// burn hashes until it is over. Each hash takes some microseconds.
func burn(over *atomic.Bool) {
	var block [4 << 10]byte
	for !over.Load() {
		sum := sha256.Sum256(block[:])
		copy(block[:], sum[:])
	}
}
