package node

import (
	"runtime"
	"sync"
	"weak"

	"github.com/gomodule/redigo/redis"
)

// claimed holds every pool that belongs to a cluster, for as long as it exists.
// A pool's dial function can be wrapped only once, and nothing in the pool
// itself can tell that it was.
var claimed sync.Map // of weak.Pointer[redis.Pool]

// Claim takes p for one cluster and reports whether it was free.
func Claim(p *redis.Pool) bool {
	w := weak.Make(p)
	if _, taken := claimed.LoadOrStore(w, struct{}{}); taken {
		return false
	}
	runtime.AddCleanup(p, func(w weak.Pointer[redis.Pool]) { claimed.Delete(w) }, w)
	return true
}

// ownPools holds every pool that this package has built.
var ownPools sync.Map // of weak.Pointer[redis.Pool]

// noteBuilt remembers that this package built p.
func noteBuilt(p *redis.Pool) {
	w := weak.Make(p)
	ownPools.Store(w, struct{}{})
	runtime.AddCleanup(p, func(w weak.Pointer[redis.Pool]) { ownPools.Delete(w) }, w)
}

// built reports whether this package built p.
func built(p *redis.Pool) bool {
	_, ours := ownPools.Load(weak.Make(p))
	return ours
}

// Unclaim gives back a pool that was claimed and not wrapped.
func Unclaim(p *redis.Pool) { claimed.Delete(weak.Make(p)) }
