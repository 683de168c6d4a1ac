//go:build !race

package fluster_test

// underRace is whether the race detector slows the tests down.
const underRace = false
