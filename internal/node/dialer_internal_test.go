package node

import (
	"context"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// endless is a context whose deadline has passed and whose end has not come yet.
type endless struct {
	context.Context
	deadline time.Time
}

func (e endless) Deadline() (time.Time, bool) { return e.deadline, true }

func TestADialThatIsLateTellsTheLimitThoughItsContextIsLaterStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := &lateError{"the dial's own"}
		ctx, cancel := context.WithTimeoutCause(t.Context(), endOfContext/2, own)
		defer cancel()
		timeout := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
		assert.Equal(t, error(timeout), whoseLimit(ctx, timeout), "it was not that limit")
		early := endless{ctx, time.Now()}
		assert.Equal(t, error(own), whoseLimit(early, timeout))
	})
}

func TestADialDoesNotWaitForAContextThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timeout := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
		begun := time.Now()
		assert.Equal(t, error(timeout), whoseLimit(endless{context.WithoutCancel(t.Context()), begun}, timeout))
		assert.Equal(t, endOfContext, time.Since(begun))
	})
}
