package main

import "fmt"

// placementsCmd lists the placements.
type placementsCmd struct {
	JSON bool `name:"json" help:"Write JSON."`
}

// Run is called by kong.
func (c *placementsCmd) Run(s *session) error {
	if c.JSON {
		return writeJSON(s.stdout, placementNames())
	}
	for _, name := range placementNames() {
		if _, err := fmt.Fprintln(s.stdout, name); err != nil {
			return err
		}
	}
	return nil
}
