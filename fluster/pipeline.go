package fluster

import (
	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/router"
)

// PipelineError is what one command of a pipeline on a connection of
// FlusterCluster.Get failed with. It has the fields
//
//	Index   int    // the command's place in the pipeline, from 0
//	Command string // its name and first key, cut; no other argument is shown
//	Reply   any    // what other nodes gave all the same, or nil
//	Err     error  // the cause, which Unwrap returns
//
// and is a net.Error: Timeout reports whether a time limit ran out. A pipeline begins
// at the first command that is sent while no reply is due.
//
// An error that a server replied to the command that was asked for (by Receive, by Do,
// or in its place in Do("")) is no PipelineError but a bare redis.Error. It is one
// where Do returns the error of a command that was sent before its own.
type PipelineError = router.PipelineError

// Pending returns how many commands were sent on a connection of FlusterCluster.Get
// whose replies have not been received: the length of its pipeline. It does no I/O.
// It reports false for a connection of any other kind.
func Pending(conn redis.Conn) (n int, ok bool) {
	own, ok := conn.(*router.Conn)
	if !ok {
		return 0, false
	}
	return own.Pending(), true
}
