package compat_test

import (
	"fmt"

	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
)

// The servers of a pool of twemproxy's, in the lines of its file.
func ExampleTwemproxy() {
	var nodes []ring.Node
	for _, line := range []string{"10.0.0.1:6379:1 cache-a", "10.0.0.2:6379:1 cache-b", "10.0.0.3:6379:2 cache-c"} {
		node, _, err := compat.TwemproxyServer(line)
		if err != nil {
			fmt.Println(err)
			return
		}
		nodes = append(nodes, node)
	}
	placement := compat.Twemproxy{Hash: "md5", HashTag: "{}", AutoEject: true}
	laidOut, err := placement.Build(nodes)
	if err != nil {
		fmt.Println(err)
		return
	}
	view := laidOut.View(nil)
	for _, key := range []string{"user:42", "{user:42}:cart", "session:4f1c"} {
		fmt.Println(key, nodes[view.Locate(key)].Name)
	}
	// Output:
	// user:42 cache-c
	// {user:42}:cart cache-c
	// session:4f1c cache-c
}

func ExampleRedisRb_NodeID() {
	for _, generation := range []int{4, 5, 6} {
		id, err := compat.RedisRb{Generation: generation}.NodeID("redis://:secret@10.0.0.1")
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(generation, id)
	}
	// Output:
	// 4 redis://10.0.0.1:6379/0
	// 5 redis://10.0.0.1:6379/0
	// 6 redis://10.0.0.1:6379
}

func ExampleSlot() {
	fmt.Println(compat.Slot("user:42"), compat.Slot("{user:42}:cart"))
	// Output: 15880 15880
}
