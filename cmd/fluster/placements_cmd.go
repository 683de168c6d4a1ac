package main

import "fmt"

// placementsCmd lists the placements.
type placementsCmd struct {
	JSON bool `name:"json" help:"Write JSON."`
}

// Help is what --help adds.
func (placementsCmd) Help() string {
	return `Lists what --placement takes: names, and the options that may follow them after a colon.

Examples:

    fluster placements
    fluster placements --json`
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
