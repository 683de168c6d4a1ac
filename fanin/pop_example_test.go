package fanin_test

import (
	"context"
	"fmt"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
)

// nowhere is a cluster without servers, for examples that only show how to call.
func nowhere() *fluster.FlusterCluster {
	cluster, err := fluster.Open("redis://127.0.0.1:1?name=a", "redis://127.0.0.1:1?name=b")
	if err != nil {
		panic(err)
	}
	return cluster
}

// A worker that loses nothing: each job stands in a list of the worker's own, at its
// node, until it is done.
func ExamplePopper_Items() {
	cluster := nowhere()
	defer cluster.Close()
	ctx, stop := context.WithCancel(context.Background())
	stop() // the example has no jobs to wait for

	jobs, err := fanin.NewPopper(cluster, fanin.BLMove("jobs", "jobs:taken:worker-7", "LEFT", "RIGHT"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for job, err := range jobs.Items(ctx) {
		if err != nil {
			fmt.Println(err) // of one node; the loop goes on with the others
			continue
		}
		fmt.Println("doing", job.Value)
		conn := job.Node.Pool.Get()
		_, _ = conn.Do("LREM", "jobs:taken:worker-7", 1, job.Value)
		conn.Close()
	}
	// Output:
}

func ExamplePopper_Next() {
	cluster := nowhere()
	defer cluster.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()

	high, err := fanin.NewPopper(cluster, fanin.BZPopMax("urgent", "other"))
	if err != nil {
		fmt.Println(err)
		return
	}
	job, err := high.Next(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(job.Node.Name, job.Key, job.Value, job.Score)
	// Output: context canceled
}

// What a Popper had popped when its loop was left is put back, at its node.
func ExamplePopper_Close() {
	cluster := nowhere()
	defer cluster.Close()
	words, err := fanin.NewPopper(cluster, fanin.BLPop("words"))
	if err != nil {
		fmt.Println(err)
		return
	}
	left, err := words.Close()
	for _, word := range left {
		conn := word.Node.Pool.Get()
		_, _ = conn.Do("LPUSH", word.Key, word.Value)
		conn.Close()
	}
	fmt.Println(len(left), "words were left;", err)
	// Output: 0 words were left; <nil>
}

func ExampleXReadGroup() {
	cluster := nowhere()
	defer cluster.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()

	events, err := fanin.NewPopper(cluster, fanin.XReadGroup{
		Group: "mailers", Consumer: "mailer-1", Streams: []string{"events"},
		Count: 10, Create: "0",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for event, err := range events.Items(ctx) {
		if err != nil {
			continue
		}
		fmt.Println(event.ID, event.Fields)
		conn := event.Node.Pool.Get()
		_, _ = conn.Do("XACK", event.Key, "mailers", event.ID)
		conn.Close()
	}
	// Output:
}
