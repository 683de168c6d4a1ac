package main

import (
	"errors"

	"github.com/redisfluster/fluster/ring"
)

// parsePlacement returns the placement that a spec names.
func parsePlacement(spec string) (ring.Placement, error) {
	if spec != defaultPlacement {
		return nil, errors.New("there is no such placement")
	}
	return ring.Balanced{}, nil
}

// placementNames lists the placements.
func placementNames() []string { return []string{defaultPlacement} }
