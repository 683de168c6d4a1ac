package fanin_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
)

// A scan that keeps its place, to go on after an error or in another process.
func ExampleScan() {
	cluster, err := fluster.Open("redis://10.0.0.1:6379", "redis://10.0.0.2:6379")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the example has no servers to ask

	place := "" // or what was kept
	for found, err := range fanin.Scan(ctx, cluster, fanin.ScanOptions{Match: "session:*", Resume: place}) {
		place = found.Token()
		var failed *fluster.NodesError
		switch {
		case err == nil:
			fmt.Println(found.Name, "on", found.Node)
		case errors.As(err, &failed):
			fmt.Println("later, from", place, "on:", failed)
		default:
			fmt.Println(err)
		}
	}
	// Output: context canceled
}

func ExampleSScan() {
	cluster, err := fluster.Open("redis://10.0.0.1:6379", "redis://10.0.0.2:6379")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the example has no servers to ask

	for member, err := range fanin.SScan(ctx, cluster, "tags", fanin.ScanOptions{}) {
		fmt.Println(member.Name, err)
	}
	// Output: context canceled
}

func ExampleHScan() {
	cluster, err := fluster.Open("redis://10.0.0.1:6379", "redis://10.0.0.2:6379")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the example has no servers to ask

	for field, err := range fanin.HScan(ctx, cluster, "user:42", fanin.ScanOptions{Match: "mail*"}) {
		fmt.Println(field.Name, field.Value, err)
	}
	// Output: context canceled
}

func ExampleZScan() {
	cluster, err := fluster.Open("redis://10.0.0.1:6379", "redis://10.0.0.2:6379")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the example has no servers to ask

	for member, err := range fanin.ZScan(ctx, cluster, "board", fanin.ScanOptions{}) {
		fmt.Println(member.Name, member.Score, err)
	}
	// Output: 0 context canceled
}
