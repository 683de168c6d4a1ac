package fanin_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
)

func ExampleSum() {
	cluster, err := fluster.Open("redis://10.0.0.1:6379", "redis://10.0.0.2:6379")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the example has no servers to ask

	visits, err := fanin.Sum[int64](ctx, cluster, "visits")
	var failed *fluster.NodesError
	switch {
	case err == nil:
		fmt.Println(visits)
	case errors.As(err, &failed):
		fmt.Println("at least", visits, "without", failed)
	default:
		fmt.Println(err)
	}
	// Output: context canceled
}

func ExampleSums() {
	cluster, err := fluster.Open("redis://10.0.0.1:6379", "redis://10.0.0.2:6379")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the example has no servers to ask

	spent, err := fanin.Sums[float64](ctx, cluster, "spent:ann", "spent:bob")
	fmt.Println(spent["spent:ann"], spent["spent:bob"], err)
	// Output: 0 0 context canceled
}

func ExampleUnion() {
	cluster, err := fluster.Open("redis://10.0.0.1:6379", "redis://10.0.0.2:6379")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the example has no servers to ask

	tags, err := fanin.Union(ctx, cluster, "tags")
	fmt.Println(len(tags), err)
	// Output: 0 context canceled
}

func ExampleConcat() {
	cluster, err := fluster.Open("redis://10.0.0.1:6379", "redis://10.0.0.2:6379")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the example has no servers to ask

	jobs, err := fanin.Concat(ctx, cluster, "jobs")
	fmt.Println(len(jobs), err)
	// Output: 0 context canceled
}

// The ten best of a board of which an outage left a part on another node.
func ExampleScores() {
	cluster, err := fluster.Open("redis://10.0.0.1:6379", "redis://10.0.0.2:6379")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the example has no servers to ask

	best, err := fanin.Scores(ctx, cluster, "board", fanin.ScoreRange{Min: "(0", Limit: 10})
	for _, player := range best {
		fmt.Println(player.Member, player.Score)
	}
	fmt.Println(err)
	// Output: context canceled
}
