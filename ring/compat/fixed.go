package compat

import (
	"errors"

	"github.com/redisfluster/fluster/ring"
)

// Fixed is another placement without its fail-over: a node that is out keeps its keys,
// and calls for them fail until it is back. It is for sharing nodes with services
// that do not move keys either, as those on redis-rb and Predis.
type Fixed struct {
	// Placement is the other one. It must not be nil.
	Placement ring.Placement
}

var _ ring.Placement = Fixed{}

// Build implements [ring.Placement]. Its errors are the other placement's.
func (f Fixed) Build(nodes []ring.Node) (ring.Ring, error) {
	if f.Placement == nil {
		return nil, errors.New("compat: Fixed.Placement: nil")
	}
	r, err := f.Placement.Build(nodes)
	if err != nil {
		return nil, err
	}
	sum := newFingerprint("fixed")
	sum.number(r.Fingerprint())
	return &fixed{view: r.View(nil), nodes: len(nodes), fingerprint: sum.sum()}, nil
}
