package fanin_test

import (
	"context"
	"fmt"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
)

// A cache in memory that others invalidate. What a gap may have hidden is dropped, too.
func ExampleSubscribe() {
	cluster, err := fluster.Open("redis://10.0.0.1:6379", "redis://10.0.0.2:6379")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	ctx, cancel := context.WithCancel(context.Background())
	sub := fanin.Subscribe(ctx, cluster, fanin.Topics{
		Channels: []string{"settings"},
		Patterns: []string{"changed:*"},
	}, fanin.SubscribeOptions{})
	defer sub.Close()
	cancel() // the example has no servers that would publish

	cache := map[string]string{}
	for {
		news, err := sub.Receive(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		switch n := news.(type) {
		case fanin.Message:
			delete(cache, string(n.Data))
		case fanin.Gap:
			clear(cache)
		}
	}
	// Output: context canceled
}
