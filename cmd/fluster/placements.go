package main

import (
	"strings"

	"github.com/redisfluster/fluster/internal/placements"
)

// placementsCmd lists the placements.
type placementsCmd struct {
	JSON bool `name:"json" help:"Write JSON."`
}

// Help is what --help adds.
func (placementsCmd) Help() string {
	return `Lists what --placement takes: names, the options that may follow them after a colon, and what each is.

Examples:

    fluster placements
    fluster placements --json`
}

// placementInfo describes a placement for programs.
type placementInfo struct {
	Name    string `json:"name"`
	Options string `json:"options"`
	About   string `json:"about"`
}

// Run is called by kong.
func (c *placementsCmd) Run(s *session) error {
	if c.JSON {
		var infos []placementInfo
		for _, info := range placements.Names() {
			infos = append(infos, placementInfo(info))
		}
		return writeJSON(s.stdout, infos)
	}
	for _, info := range placements.Names() {
		lines := []string{info.Name, "    " + info.About}
		if info.Options != "" {
			lines[0] += ":" + info.Options
		}
		if _, err := s.stdout.WriteString(strings.Join(lines, "\n") + "\n"); err != nil {
			return err
		}
	}
	return nil
}

// isPlacement tells the spec of a placement from a file or a URL.
func isPlacement(what string) bool {
	name, _, _ := strings.Cut(what, ":")
	for _, info := range placements.Names() {
		if name == info.Name {
			return true
		}
	}
	return false
}
