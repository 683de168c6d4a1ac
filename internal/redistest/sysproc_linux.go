package redistest

import "syscall"

// dieWithParent makes a child end with the test process, however that ends. The
// kernel ties it to the thread that started the child: do not start servers
// from a goroutine that is locked to its thread and returns.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
