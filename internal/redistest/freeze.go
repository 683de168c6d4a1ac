//go:build unix

package redistest

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

// Stop freezes the server with SIGSTOP: the kernel still accepts connections
// and bytes for it, but nothing answers until Cont. It returns when the process
// stands still.
func (s *Server) Stop() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	if !poll(patience, func() bool { return s.procState() != 'R' && s.procState() != 'S' }) {
		s.t.Errorf("%s runs on after SIGSTOP", s.addr)
	}
}

// Cont lets a stopped server go on. It then executes what reached it meanwhile.
func (s *Server) Cont() {
	s.t.Helper()
	s.signal(syscall.SIGCONT)
}

func (s *Server) signal(sig os.Signal) {
	s.t.Helper()
	s.life.Lock()
	defer s.life.Unlock()
	proc, _ := s.process()
	if err := proc.Signal(sig); err != nil {
		s.t.Errorf("send %v to %s: %v", sig, s.addr, err)
	}
}

// procState returns the letter by which Linux names what the process does, or 0
// where there is no /proc.
func (s *Server) procState() byte {
	proc, _ := s.process()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", proc.Pid))
	if err != nil {
		return 0
	}
	// The state follows the name, which is in parentheses.
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return rest[0]
}
