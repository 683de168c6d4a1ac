//go:build unix

package main

import (
	"syscall"
	"time"
)

// processCPU returns the processor time that this process has used, without its
// children.
func processCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
