package command

import (
	"math"
	"strconv"
	"time"
)

// Blocks reports whether a call may wait on the server for data, and for how
// long: 0 is without end, also where the limit is none that can be read, so
// that the server will refuse the call.
func (i *Info) Blocks(args []any) (limit time.Duration, blocks bool) {
	if !i.Blocking || len(args) == 0 {
		return 0, false
	}
	switch i.Name {
	case "XREAD", "XREADGROUP":
		return streamWait(args)
	case "BLMPOP", "BZMPOP":
		return wait(args[0], time.Second), true
	}
	return wait(args[len(args)-1], time.Second), true
}

// streamWait looks for BLOCK among the options before STREAMS.
func streamWait(args []any) (limit time.Duration, blocks bool) {
	for k := 0; k < len(args)-1 && !is(args[k], "STREAMS"); k++ {
		switch {
		case is(args[k], "BLOCK"):
			return wait(args[k+1], time.Millisecond), true
		case is(args[k], "COUNT"), is(args[k], "CLAIM"):
			k++
		case is(args[k], "GROUP"):
			k += 2
		}
	}
	return 0, false
}

// wait is a number of units as a duration, and never 0 for what is not 0.
func wait(arg any, unit time.Duration) time.Duration {
	n, err := strconv.ParseFloat(Text(arg), 64)
	if err != nil || !(n > 0) {
		return 0
	}
	if d := math.Ceil(n * float64(unit)); d < math.MaxInt64 {
		return time.Duration(d)
	}
	return 0
}
