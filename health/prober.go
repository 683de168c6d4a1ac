package health

import (
	"context"
	"time"
)

// closeGrace is how long Close lets a probe whose context it has cancelled
// return.
const closeGrace = 100 * time.Millisecond

// watch is the prober of one node: it does what the node's machine has due,
// and sleeps until there is more. It never waits for a probe, so the machine
// can be judged while one hangs.
func (c *Checker) watch(node int) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	results := make(chan Evidence, 1)
	running := false
	heard := func(ev Evidence) {
		running = false
		c.finish(node, ev)
	}
	for {
		req, begun, next := c.advance(node)
		if begun {
			running = true
			go c.probe(node, req, results)
		}
		timer.Reset(time.Until(next))
		select {
		case ev := <-results:
			heard(ev)
			continue
		case <-c.closing.Done():
			if running {
				awaitBriefly(results)
			}
			return
		case <-c.wakes[node]:
		case <-timer.C:
		}
		// If this process was starved, an answer may be waiting along with the
		// timer. It must be heard before the node is judged for its silence.
		select {
		case ev := <-results:
			heard(ev)
		default:
		}
	}
}

// probe runs one probe. It may outlive the checker.
func (c *Checker) probe(node int, req ProbeRequest, results chan<- Evidence) {
	ctx, cancel := context.WithTimeout(c.closing, c.cfg.Timeout)
	defer cancel()
	results <- c.targets[node].Probe(ctx, req)
}

// awaitBriefly waits for the result of a cancelled probe, within reason.
func awaitBriefly(results <-chan Evidence) {
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-results:
	case <-grace.C:
	}
}

// advance does what is due at the node. It returns the probe to run, if one is
// to begin, and when to call again.
func (c *Checker) advance(node int) (req ProbeRequest, begun bool, next time.Time) {
	c.mu.Lock()
	now := time.Now()
	next = now
	if !c.closed {
		c.group.tick(now, node)
		req, begun = c.group.nodes[node].begin(now)
		next = c.group.nodes[node].next(now)
	}
	c.unlockAndDeliver()
	return req, begun, next
}

// finish hands the result of a probe to the machine.
func (c *Checker) finish(node int, ev Evidence) {
	c.mu.Lock()
	if !c.closed {
		c.group.finish(time.Now(), node, ev)
	}
	c.unlockAndDeliver()
}

// unlockAndDeliver ends a critical section that may have changed the group. It
// publishes, wakes whom it concerns, unlocks, and delivers the changes.
func (c *Checker) unlockAndDeliver() {
	box := c.group.outbox
	c.group.outbox = outbox{}
	if box.states && c.hooks.Publish != nil {
		c.hooks.Publish(c.group.snapshot())
	}
	if !c.allReady && c.group.answered() {
		c.allReady = true
		close(c.ready)
	}
	c.wakeLocked(box)
	if c.hooks.Changed != nil {
		c.queue = append(c.queue, box.changes...)
	}
	deliver := !c.delivering && len(c.queue) > 0
	c.delivering = c.delivering || deliver
	c.mu.Unlock()
	if deliver {
		c.deliver()
	}
}

// wakeLocked wakes the probers that have something to do, and the reporters
// who wait for a verdict.
func (c *Checker) wakeLocked(box outbox) {
	for _, node := range box.nudged {
		select {
		case c.wakes[node] <- struct{}{}:
		default: // a wake is outstanding
		}
	}
	for _, node := range box.settled {
		if verdict := c.verdicts[node]; verdict != nil {
			close(verdict)
			c.verdicts[node] = nil
		}
	}
}

// deliver calls Changed for everything in the queue. Only one goroutine is here
// at a time, and what others add meanwhile it delivers too: so the order holds
// and nothing is lost.
func (c *Checker) deliver() {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.queue, c.delivering = nil, false
			c.delivered.Broadcast()
			c.mu.Unlock()
			return
		}
		change := c.queue[0]
		c.queue = c.queue[1:]
		c.mu.Unlock()
		c.hooks.Changed(change)
	}
}
