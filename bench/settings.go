package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// settings say what is measured, and for how long.
type settings struct {
	rounds      int
	slice       time.Duration // of one client in one round of commands
	goroutines  []int
	nodes       []int
	routingKeys int
	commandKeys int
	only        string // a part's name, or empty for all
	profile     string // where a CPU profile goes, or empty
}

// The parts of a run.
const (
	routing  = "routing"
	commands = "commands"
)

// wants reports whether a part is to run.
func (s settings) wants(part string) bool { return s.only == "" || s.only == part }

// parseSettings reads the command line. Help and complaints go to w.
func parseSettings(args []string, w io.Writer) (settings, error) {
	s := settings{goroutines: []int{1, 8, 64, 512}, nodes: []int{3, 10, 100, 1000}}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(w)
	flags.IntVar(&s.rounds, "rounds", 16, "how often each client takes its turn")
	flags.DurationVar(&s.slice, "time", 300*time.Millisecond, "length of one turn of GETs")
	flags.Func("goroutines", "numbers of goroutines that GET (default 1,8,64,512)", intoList(&s.goroutines))
	flags.Func("nodes", "numbers of nodes that keys are looked up among (default 3,10,100,1000)", intoList(&s.nodes))
	flags.IntVar(&s.routingKeys, "routing-keys", 1_000_000, "keys that are looked up")
	flags.IntVar(&s.commandKeys, "command-keys", 100_000, "keys on the servers")
	flags.StringVar(&s.only, "only", "", "measure only this part: routing or commands")
	flags.StringVar(&s.profile, "cpuprofile", "", "write a CPU profile, with GETs labelled by client, to this file")
	if err := flags.Parse(args); err != nil {
		return settings{}, err
	}
	if flags.NArg() > 0 {
		return settings{}, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	return s, s.check()
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
	case s.only != "" && s.only != routing && s.only != commands:
		return fmt.Errorf("-only is %q; it may be %s or %s", s.only, routing, commands)
	}
	return nil
}

// intoList returns how a flag of positive numbers with commas is read.
func intoList(list *[]int) func(string) error {
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
