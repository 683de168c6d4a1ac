package main

import (
	"encoding/json"
	"os"
	"runtime"

	"github.com/redisfluster/fluster/bench/internal/stats"
)

// document is what -json writes: everything that the tables of commands are made
// of. Routing and what is around the command stand in the tables alone.
type document struct {
	Versions   []string      `json:"versions"`
	Redis      string        `json:"redis"`
	Go         string        `json:"go"`
	Processors int           `json:"processors"`
	LoadBefore string        `json:"load_before"`
	LoadAfter  string        `json:"load_after"`
	LeftOut    []string      `json:"left_out,omitempty"`
	Results    []resultEntry `json:"results"`
}

// resultEntry is one client in one step.
type resultEntry struct {
	Part       string                     `json:"part"`
	Condition  string                     `json:"condition,omitempty"`
	Operation  string                     `json:"operation"`
	ValueBytes int                        `json:"value_bytes"`
	KeysInCall int                        `json:"keys_in_call"`
	Goroutines int                        `json:"goroutines"`
	Nodes      int                        `json:"nodes"`
	Keys       int                        `json:"keys"`
	Client     string                     `json:"client"`
	Name       string                     `json:"name"`
	Rounds     int                        `json:"rounds"`
	Failed     int                        `json:"failed_calls"`
	Measures   map[string]spread          `json:"measures"`
	Ratios     map[string]ratiosToClients `json:"ratios_to"` // by the other's id
}

// ratiosToClients are a client's measures by those of another one.
type ratiosToClients map[string]spread

// spread is a median with its quartiles.
type spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// writeJSON writes outcomes to a file.
func writeJSON(path string, outcomes []outcome, leftOut []string, loadBefore string) error {
	doc := document{
		Versions: versions(), Redis: redisVersion(), Go: runtime.Version(), Processors: runtime.NumCPU(),
		LoadBefore: loadBefore, LoadAfter: machineLoad(), LeftOut: leftOut,
	}
	for _, o := range outcomes {
		doc.Results = append(doc.Results, entries(o)...)
	}
	text, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o666)
}

func entries(o outcome) []resultEntry {
	var all []resultEntry
	for i, k := range o.clients {
		samples := o.samples[i]
		failed, _ := failedIn(samples)
		e := resultEntry{
			Part: o.part, Condition: o.condition.id, Operation: o.op.id, ValueBytes: o.op.size, KeysInCall: o.op.keys, Goroutines: o.callers, Nodes: o.nodes,
			Keys: o.keys, Client: k.id, Name: k.name, Rounds: o.rounds, Failed: failed,
			Measures: make(map[string]spread), Ratios: make(map[string]ratiosToClients),
		}
		for _, m := range measures {
			if s := m.summary(samples); finite(s) {
				e.Measures[m.id] = spread(s)
			}
		}
		for _, id := range rivals {
			if base := o.of(id); base != nil {
				e.Ratios[id] = ratiosTo(samples, base)
			}
		}
		all = append(all, e)
	}
	return all
}

func ratiosTo(samples, base []sample) ratiosToClients {
	ratios := make(ratiosToClients)
	for _, m := range measures {
		if s := m.ratio(samples, base); finite(s) {
			ratios[m.id] = spread(s)
		}
	}
	return ratios
}

// finite reports whether s is of numbers: not every load tells everything, and what
// is measured in ticks, or is nothing at all, may be zero in a ratio's base.
func finite(s stats.Summary) bool {
	const most = 1e300
	return s.Low < most && s.Median < most && s.High < most // false for NaN too
}
