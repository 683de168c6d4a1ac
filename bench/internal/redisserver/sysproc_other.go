//go:build !linux

package redisserver

import "syscall"

// dieWithParent has no equivalent here: a child outlives a process that is
// killed before it can close its servers.
func dieWithParent() *syscall.SysProcAttr { return nil }
