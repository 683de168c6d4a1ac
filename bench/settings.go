package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings say what is measured, and for how long.
type settings struct {
	rounds      int           // of main operations; of the others half as many
	slice       time.Duration // of one client in one round of commands
	goroutines  []int
	nodes       []int // for routing
	growthNodes []int
	routingKeys int
	commandKeys int
	only        []string // parts' names, or empty for all
	operations  []string // identifiers, or empty for all
	conditions  []string // identifiers, or empty for all
	clients     []string // identifiers, or empty for all
	json        string   // a file, or empty
	svg         string   // a folder, or empty
	profile     string   // where a CPU profile goes, or empty

	conditionGoroutines []int
}

// The parts of a run.
const (
	routing  = "routing"
	commands = "commands"
	growth   = "growth"

	underConditions = "conditions"
)

// wants reports whether a part is to run.
func (s settings) wants(part string) bool { return chosen(s.only, part) }

// measures reports whether an operation is to be measured.
func (s settings) measures(op operation) bool { return chosen(s.operations, op.id) }

// kindsFor returns the clients that are to be compared by an operation.
func (s settings) kindsFor(op operation) []kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool {
		return !chosen(s.clients, k.id) || k.only != "" && k.only != op.id
	})
}

// heavy is how many keys are asked for at once in loads whose turns last long.
const heavy = 100_000

// roundsOf is how often each client does an operation with so many callers.
func (s settings) roundsOf(op operation, callers int) int {
	switch {
	case callers*op.keys > heavy:
		return max(s.rounds/3, 1)
	case !op.main:
		return max(s.rounds/2, 1)
	}
	return s.rounds
}

// chosen reports whether one is in a list, of which the empty one has all.
func chosen(list []string, one string) bool { return len(list) == 0 || slices.Contains(list, one) }

// quick are the settings of a run that is over in some four minutes.
var quick = map[string]string{
	"rounds": "3", "time": "50ms", "goroutines": "1,8,64,512", "nodes": "3,100", "routing-keys": "200000",
}

// parseSettings reads the command line. Help and complaints go to w.
func parseSettings(args []string, w io.Writer) (settings, error) {
	s := settings{
		goroutines:  []int{1, 2, 4, 8, 16, 64, 512, 4096},
		nodes:       []int{3, 10, 100, 1000},
		growthNodes: []int{3, 10, 30},

		conditionGoroutines: []int{8, 64, 512},
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(w)
	hurry := flags.Bool("quick", false, "measure less, in some four minutes")
	s.define(flags)
	if err := flags.Parse(args); err != nil {
		return settings{}, err
	}
	if flags.NArg() > 0 {
		return settings{}, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if *hurry {
		if err := setOthers(flags, quick); err != nil {
			return settings{}, err
		}
	}
	return s, s.check()
}

// define makes flags of s.
func (s *settings) define(flags *flag.FlagSet) {
	flags.IntVar(&s.rounds, "rounds", 7, "how often each client takes its turn at the main operations; half as often at others")
	flags.DurationVar(&s.slice, "time", 100*time.Millisecond, "length of one turn of commands")
	flags.Func("goroutines", "numbers of goroutines that call (default 1,2,4,8,16,64,512,4096)", intoNumbers(&s.goroutines))
	flags.Func("nodes", "numbers of nodes that keys are looked up among (default 3,10,100,1000)", intoNumbers(&s.nodes))
	flags.Func("growth-nodes", "numbers of servers whose cost is compared (default 3,10,30)", intoNumbers(&s.growthNodes))
	flags.Func("condition-goroutines", "numbers of goroutines that call under conditions (default 8,64,512)",
		intoNumbers(&s.conditionGoroutines))
	flags.IntVar(&s.routingKeys, "routing-keys", 1_000_000, "keys that are looked up")
	flags.IntVar(&s.commandKeys, "command-keys", 100_000, "keys on the servers")
	flags.Func("only", "measure only these parts: "+strings.Join(partNames(), ", "), intoNames(&s.only, partNames()))
	flags.Func("operations", "measure only these operations, as part of commands and conditions: "+
		strings.Join(operationNames(), ", "), intoNames(&s.operations, operationNames()))
	flags.Func("conditions", "measure only under these conditions: "+strings.Join(conditionNames(), ", "),
		intoNames(&s.conditions, conditionNames()))
	flags.Func("clients", "compare only these clients: "+strings.Join(clientNames(), ", "), intoNames(&s.clients, clientNames()))
	flags.StringVar(&s.json, "json", "", "write what was measured of commands, as JSON, to this file")
	flags.StringVar(&s.svg, "svg", "", "write charts of throughput and p99, as SVG, to this folder")
	flags.StringVar(&s.profile, "cpuprofile", "", "write a CPU profile, with calls labelled by client, to this file")
}

// setOthers sets those flags that the command line left alone.
func setOthers(flags *flag.FlagSet, values map[string]string) error {
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, value := range values {
		if given[name] {
			continue
		}
		if err := flags.Set(name, value); err != nil {
			return err
		}
	}
	return nil
}

// check returns what is wrong with s.
func (s settings) check() error {
	switch {
	case s.rounds < 1:
		return errors.New("-rounds must be at least 1")
	case s.slice <= 0:
		return errors.New("-time must be longer than nothing")
	case s.routingKeys < 1, s.commandKeys < 1:
		return errors.New("-routing-keys and -command-keys must be at least 1")
	}
	return nil
}

func partNames() []string { return []string{routing, commands, underConditions, growth} }

func operationNames() []string {
	var names []string
	for _, op := range operations {
		names = append(names, op.id)
	}
	return names
}

func conditionNames() []string {
	var names []string
	for _, c := range conditions {
		names = append(names, c.id)
	}
	return names
}

func clientNames() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.id)
	}
	return names
}

// intoNumbers returns how a flag of positive numbers with commas is read.
func intoNumbers(list *[]int) func(string) error {
	return func(text string) error {
		*list = nil
		for word := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(word)
			if err != nil || n < 1 {
				return fmt.Errorf("%q is no number from 1 up", word)
			}
			*list = append(*list, n)
		}
		return nil
	}
}

// intoNames returns how a flag of known names with commas is read.
func intoNames(list *[]string, known []string) func(string) error {
	return func(text string) error {
		*list = strings.Split(text, ",")
		for _, name := range *list {
			if !slices.Contains(known, name) {
				return fmt.Errorf("%q is none of %s", name, strings.Join(known, ", "))
			}
		}
		return nil
	}
}
