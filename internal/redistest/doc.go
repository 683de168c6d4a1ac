// Package redistest is what the project's tests run against: real redis-server
// children that can be killed, stopped and restarted ([Start]), and scripted
// fake servers that misbehave on demand, also under fake time ([NewFake],
// [NewPipeFake]).
//
// Only tests import it. [Start] and its relatives need redis-server on PATH;
// without it they fail the test rather than skip it, since a suite that skips
// its faults proves nothing.
package redistest
