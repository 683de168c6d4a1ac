package router_test

import (
	"sync"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
)

// Whoever flushes looks at a batch once more after he has enlisted it. Meanwhile others may
// have written it, and the goroutine that receives may have taken its last reply and given
// it to other connections. The race detector sees it.
func TestABatchIsNobodyElsesWhileItsSenderFlushes(t *testing.T) {
	r, _ := fakes(t, 1, "dial_timeout=30s&read_timeout=30s&write_timeout=30s")
	const conns, rounds = 64, 20
	for range rounds {
		r.share(t)
		var wg sync.WaitGroup
		for range conns {
			c := r.conn()
			wg.Go(func() {
				_, err := redis.ReceiveWithTimeout(c, patient)
				assert.NoError(t, err)
			})
			wg.Go(func() { // it does nothing afterwards by which its look would come before the other's
				assert.NoError(t, c.Send("INCR", "a"))
				assert.NoError(t, c.Flush())
			})
		}
		wg.Wait()
	}
}
