//go:build !linux

package redistest

import "syscall"

// dieWithParent has no counterpart here: a test process that is killed leaves
// its children behind.
func dieWithParent() *syscall.SysProcAttr { return nil }
