package fluster_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// among returns a cluster of node b beside two that are well, with probes by h.
func (r *trial) among(b fluster.Node, h health.Config) *fluster.FlusterCluster {
	r.t.Helper()
	b.Name = "b"
	well := []*redistest.Server{redistest.Start(r.t, "--requirepass", canary), redistest.Start(r.t, "--requirepass", canary)}
	nodes := r.nodes(well, builders[1])
	nodes[1].Name = "c"
	return r.cluster(fluster.Config{Nodes: []fluster.Node{nodes[0], b, nodes[1]}, Health: h})
}

// secure returns node b at an address where TLS is expected.
func secure(t *testing.T, addr, builder string, limits redistest.PoolOptions) fluster.Node {
	t.Helper()
	if builder != builders[0] {
		node, err := fluster.ParseNode(fmt.Sprintf("rediss://:%s@%s?dial_timeout=%s&read_timeout=%s&write_timeout=%s",
			canary, addr, limits.Connect, limits.Read, limits.Write))
		require.NoError(t, err)
		return node
	}
	return fluster.Node{Addr: addr, Pool: &redis.Pool{DialContext: func(ctx context.Context) (redis.Conn, error) {
		return redis.DialContext(ctx, "tcp", addr, redis.DialUseTLS(true), redis.DialPassword(canary),
			redis.DialTLSHandshakeTimeout(limits.Connect), // ten seconds if it is not said
			redis.DialConnectTimeout(limits.Connect), redis.DialReadTimeout(limits.Read), redis.DialWriteTimeout(limits.Write))
	}}}
}

// useless is a row in which nobody can dial node b. Each call that tries is safe to
// retry, the node is soon out, and the others serve its keys.
func (r *trial) useless(c *fluster.FlusterCluster, most time.Duration) {
	t := r.t
	t.Helper()
	key := keyOf(t, c, "b")
	for at := "b"; at == "b"; r.Calls++ {
		begun := time.Now()
		_, err := do(c, key, "INCR")
		r.Longest = max(r.Longest, time.Since(begun))
		require.Less(t, r.Calls, 100, "the node stays")
		if err != nil {
			r.Lost++
			r.said.print(err)
			assert.True(t, fluster.SafeToRetry(err), "%v", err)
		}
		n, err := c.Locate(key)
		require.NoError(t, err)
		at = n.Name
	}
	r.within(most, r.Longest, "the longest call")
	redistest.WaitFor(t, patient, func() bool { _, err := do(c, key, "INCR"); return err == nil }, "a stand-in serves")
	r.onlyOut(c, "b")
}

func TestRow27AHandshakeThatStallsEndsWithTheDialsLimit(t *testing.T) {
	eachBuilder(t, 27, "a TLS handshake stalls", "a fake server that hangs", func(r *trial, builder string) {
		f := redistest.NewFake(r.t)
		f.Hang()
		c := r.among(secure(r.t, f.Addr(), builder, quick), brisk)
		r.useless(c, quick.Connect+100*time.Millisecond)
		if builder == builders[0] {
			r.Remark = "with a handshake time-out of the user's own: redigo's is ten seconds"
		}
	})
}

func TestRow28APlainServerWhereTLSIsExpectedIsFoundInTheDial(t *testing.T) {
	eachBuilder(t, 28, "a plain server where TLS is expected", "redis-server", func(r *trial, builder string) {
		s := redistest.Start(r.t, "--requirepass", canary)
		c := r.among(secure(r.t, s.Addr(), builder, quick), brisk)
		r.useless(c, quick.Connect+100*time.Millisecond)
		r.Remark = "it says nothing, so it looks like a handshake that stalls"
	})
}

func TestRow28ATLSServerWhereNoneIsExpectedIsFoundInTheDial(t *testing.T) {
	eachBuilder(t, 28, "a TLS server where none is expected", "redis-server --tls-port", func(r *trial, builder string) {
		ca := redistest.NewCA(r.t)
		s := redistest.StartTLS(r.t, ca, ca.Server(), "--requirepass", canary)
		b := fluster.Node{Addr: s.Addr(), Pool: &redis.Pool{DialContext: func(ctx context.Context) (redis.Conn, error) {
			return redis.DialContext(ctx, "tcp", s.Addr(), redis.DialPassword(canary),
				redis.DialConnectTimeout(quick.Connect), redis.DialReadTimeout(quick.Read), redis.DialWriteTimeout(quick.Write))
		}}}
		if builder != builders[0] {
			var err error
			b, err = fluster.ParseNode(fmt.Sprintf("redis://:%s@%s?%s", canary, s.Addr(), briefly))
			require.NoError(r.t, err)
		}
		c := r.among(b, brisk)
		r.useless(c, quick.Connect+100*time.Millisecond)
	})
}

// A certificate that does not verify is a configuration's fault, which no waiting
// mends.
func TestRow28AServerThatIsNotTrustedIsMisconfigured(t *testing.T) {
	eachBuilder(t, 28, "a certificate of an unknown authority", "redis-server --tls-port", func(r *trial, builder string) {
		t := r.t
		ca := redistest.NewCA(t)
		s := redistest.StartTLS(t, ca, ca.Server(), "--requirepass", canary)
		h := brisk
		h.Timeout = patient // a probe shakes hands too, and one that is late says nothing of certificates
		c := r.among(secure(t, s.Addr(), builder, unhurried), h)
		r.useless(c, patient)
		st := status(t, c, "b")
		var unverified *tls.CertificateVerificationError
		require.ErrorAs(t, st.Cause, &unverified)
		assert.Equal(t, uint64(1), st.Penalties)
		assert.Equal(t, 1, r.Lost, "one is enough")
	})
}
