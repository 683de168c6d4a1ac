package node

import "context"

// judgeShared hands on what an error reply over the shared connection says.
func (c *conn) judgeShared(ctx context.Context, cmd string, err error) {
	c.judge(call{conn: c, op: cmd, ctx: ctx}, err)
}

// stallEvidence is what a stall says of the node: as many time-outs as calls that
// it made fail, each as if over a connection of its own.
func (m *mux) stallEvidence(f finding, err error, calls int) {
	m.node.shared.pace.forget()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for range min(calls, maxStalled) - 1 {
		ev := m.conn.evidence(f, err)
		ev.Conn = m.node.nextID.Add(1)
		m.node.sink(over, ev)
	}
}

// maxStalled bounds how many calls of one stall are told.
const maxStalled = 16
