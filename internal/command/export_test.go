package command

import "maps"

// DescribedBy is the version of the server that described the commands.
const DescribedBy = describedBy

// All lists every command and subcommand; containers, too.
func All() []*Info {
	var list []*Info
	for i := range maps.Values(all) {
		list = append(list, i)
		for s := range maps.Values(i.subs) {
			list = append(list, s)
		}
	}
	return list
}

// IsContainer tells a command that has subcommands.
func IsContainer(i *Info) bool { return i.subs != nil }

// Named lists the names that the hand-written tables use.
func Named() map[string][]string {
	named := make(map[string][]string)
	for name := range policies {
		named[name] = append(named[name], "policies")
	}
	for name := range finders {
		named[name] = append(named[name], "finders")
	}
	for name := range channels {
		named[name] = append(named[name], "channels")
	}
	for name := range algebras {
		named[name] = append(named[name], "algebras")
	}
	return named
}

// NeedsFinder tells a command of which the server cannot say where all of its
// keys are, and HasFinder one for which somebody else can.
func NeedsFinder(i *Info) bool {
	for _, s := range i.specs {
		if s.parsed {
			return true
		}
	}
	return false
}

// HasFinder is NeedsFinder's counterpart.
func HasFinder(i *Info) bool { return i.find != nil }
