package fluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
)

// pools returns nodes over pools as an application might have them already.
func pools(names ...string) []fluster.Node {
	var nodes []fluster.Node
	for _, name := range names {
		nodes = append(nodes, fluster.Node{Name: name, Pool: &redis.Pool{
			MaxIdle: 16,
			DialContext: func(ctx context.Context) (redis.Conn, error) {
				return redis.DialContext(ctx, "unix", "/run/redis/"+name+".sock")
			},
		}})
	}
	return nodes
}

// calm keeps a cluster from probing while an example runs, so that it shows the
// same with or without servers.
var calm = health.Config{Interval: 24 * time.Hour}

func ExampleNew() {
	cluster, err := fluster.New(fluster.Config{
		Nodes:  pools("cache-1", "cache-2", "cache-3"),
		Health: calm,
		Logger: slog.Default(),
		OnEvent: func(e fluster.Event) {
			if !e.Live {
				fmt.Println("lost", e.Node.Name, e.Cause)
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	fmt.Println(cluster)
	// Output: fluster[cache-1, cache-2, cache-3]
}

func ExampleOpen() {
	cluster, err := fluster.Open(
		"redis://127.0.0.1:6379?name=one",
		"redis://127.0.0.1:6380?name=two&weight=2&read_timeout=200ms",
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	for _, node := range cluster.Nodes() {
		fmt.Println(node.Name, node.Addr, node.Weight)
	}
	// Output:
	// one 127.0.0.1:6379 1
	// two 127.0.0.1:6380 2
}

func ExampleParseNode() {
	node, err := fluster.ParseNode("rediss://app:s3cret@cache-7.example.net/2?pool_size=50&pool_wait=true")
	fmt.Println(node.Name, node.Addr, node.Pool.MaxActive, err)

	_, err = fluster.ParseNode("redis://:s3cret@cache-7.example.net?read_timeout=fast")
	fmt.Println(err)
	// Output:
	// cache-7.example.net/2 cache-7.example.net:6379 50 <nil>
	// fluster: node URL: option read_timeout must be a duration such as 500ms, or 0 for none
}

func ExampleFlusterCluster_GetClient() {
	cluster, err := fluster.New(fluster.Config{Nodes: pools("a", "b", "c"), Health: calm})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()

	pool, err := cluster.GetClient("user:42")
	if err != nil {
		fmt.Println(err) // no node lives
		return
	}
	conn := pool.Get() // a plain redigo pool
	defer conn.Close()
	_, err = conn.Do("INCR", "user:42")
	if fluster.SafeToRetry(err) {
		fmt.Println("it did not run")
	}
	// Output: it did not run
}

func ExampleFlusterCluster_Locate() {
	cluster, err := fluster.New(fluster.Config{Nodes: pools("a", "b", "c"), Health: calm})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	for _, key := range []string{"{user:42}:name", "{user:42}:mail", "{user:43}:name"} {
		node, err := cluster.Locate(key)
		fmt.Println(key, node.Name, err)
	}
	// Output:
	// {user:42}:name a <nil>
	// {user:42}:mail a <nil>
	// {user:43}:name c <nil>
}

// A worker that drains the queues of all nodes, and rests when it finds all of
// them empty.
func ExampleFlusterCluster_Iter() {
	cluster, err := fluster.New(fluster.Config{Nodes: pools("a", "b", "c"), Health: calm})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()

	empty := 0 // nodes in a row that had nothing
	for node, err := range cluster.Iter(ctx) {
		if err != nil {
			fmt.Println(err) // no node lives
			break
		}
		if pop(node) {
			empty = 0
			continue
		}
		if empty++; empty >= len(cluster.Nodes()) {
			select { // a round without work: do not spin
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
			empty = 0
		}
	}
	fmt.Println(ctx.Err())
	// Output: context deadline exceeded
}

// pop handles one item of a node's queue and reports whether there was one.
func pop(fluster.Node) bool { return false }

func ExampleFlusterCluster_Rounds() {
	cluster, err := fluster.New(fluster.Config{Nodes: pools("a", "b", "c"), Health: calm})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	visits := 0
	for _, err := range cluster.Rounds(context.Background(), 4) {
		if err != nil {
			fmt.Println(err)
			break
		}
		visits++
	}
	fmt.Println(visits)
	// Output: 12
}

func ExampleFlusterCluster_Nodes() {
	cluster, err := fluster.New(fluster.Config{Nodes: pools("a", "b"), Health: calm})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	for _, st := range cluster.Nodes() {
		fmt.Println(st.Name, st.Live, st.Penalties, st.PoolStats.ActiveCount)
	}
	// Output:
	// a true 0 0
	// b true 0 0
}

func ExampleFlusterCluster_WaitReady() {
	cluster, err := fluster.New(fluster.Config{Nodes: pools("a"), Health: calm})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	err = cluster.WaitReady(ctx) // there is no server
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

func ExampleFlusterCluster_Node() {
	cluster, err := fluster.New(fluster.Config{Nodes: pools("a", "b"), Health: calm})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	_, found := cluster.Node("b")
	fmt.Println(found)
	// Output: true
}

func ExampleFlusterCluster_Fingerprint() {
	here, err := fluster.New(fluster.Config{Nodes: pools("a", "b"), Health: calm})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer here.Close()
	there, err := fluster.New(fluster.Config{Nodes: pools("b", "a"), Health: calm})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer there.Close()
	fmt.Println(here.Fingerprint() == there.Fingerprint())
	// Output: true
}

func ExampleFlusterCluster_Close() {
	cluster, err := fluster.New(fluster.Config{Nodes: pools("a", "b"), Health: calm})
	if err != nil {
		fmt.Println(err)
		return
	}
	cluster.Close()
	_, err = cluster.GetClient("user:42")
	fmt.Println(err)
	// Output: fluster: cluster is closed
}

func ExampleSafeToRetry() {
	for _, err := range []error{
		redis.Error("LOADING Redis is loading the dataset in memory"),
		redis.Error("WRONGTYPE Operation against a key holding the wrong kind of value"),
		redis.ErrPoolExhausted,
	} {
		fmt.Println(fluster.SafeToRetry(err))
	}
	// Output:
	// true
	// false
	// true
}

func ExampleMaybeExecuted() {
	err := error(&fluster.NodeError{Node: "a", Op: "dial", Err: io.EOF})
	switch {
	case fluster.SafeToRetry(err):
		fmt.Println("send it again")
	case fluster.MaybeExecuted(err):
		fmt.Println("look before you send it again")
	}
	// Output: send it again
}

// A cluster that repeats reads and what cannot have run up to five times, and a call
// that is not to be repeated at all.
func ExampleWithRetry() {
	cluster, err := fluster.New(fluster.Config{
		Nodes: pools("a", "b"), Health: calm,
		Retry: fluster.Retry{Max: 5, MinWait: 5 * time.Millisecond},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	ctx := fluster.WithRetry(context.Background(), fluster.Retry{Max: -1})
	_, err = cluster.Do(ctx, "GET", "user:42") // there are no servers
	for _, st := range cluster.Nodes() {
		fmt.Println(st.Name, st.Retries)
	}
	fmt.Println(fluster.SafeToRetry(err))
	// Output:
	// a 0
	// b 0
	// true
}

// A command's replies may be merged as the caller likes. The function gets those of
// all nodes; here there are no servers, so each has an error.
func ExampleConfig_merge() {
	cluster, err := fluster.New(fluster.Config{
		Nodes: pools("a", "b"), Health: calm,
		Merge: map[string]func([]fluster.NodeReply) (any, error){
			"DBSIZE": func(replies []fluster.NodeReply) (any, error) {
				answered, keys := 0, 0
				for _, r := range replies {
					if n, err := redis.Int(r.Reply, r.Err); err == nil {
						answered, keys = answered+1, keys+n
					}
				}
				return fmt.Sprintf("%d keys on %d of %d nodes", keys, answered, len(replies)), nil
			},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	fmt.Println(cluster.Do(context.Background(), "DBSIZE"))
	// Output: 0 keys on 0 of 2 nodes <nil>
}

// Takes one from a stock, unless nothing is left, though others do so at once.
func ExampleFlusterCluster_Tx() {
	cluster, err := fluster.New(fluster.Config{Nodes: pools("a", "b", "c"), Health: calm})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()

	soldOut := errors.New("sold out")
	replies, err := cluster.Tx(context.Background(), []string{"{item:7}:stock"}, func(tx redis.Conn) error {
		left, err := redis.Int(tx.Do("GET", "{item:7}:stock")) // at once
		if err != nil {
			return err
		}
		if left == 0 {
			return soldOut
		}
		_ = tx.Send("DECR", "{item:7}:stock") // with EXEC, when this function has returned
		_ = tx.Send("INCR", "{item:7}:sold")
		return nil
	})
	switch {
	case err == nil:
		fmt.Println("taken; left and sold:", replies)
	case errors.Is(err, soldOut), errors.Is(err, fluster.ErrConflict):
		fmt.Println(err)
	case fluster.SafeToRetry(err): // as here, where there are no servers
		fmt.Println("nothing was done")
	default:
		fmt.Println("look whether it was done:", err)
	}
	// Output: nothing was done
}

func ExamplePending() {
	cluster, err := fluster.New(fluster.Config{Nodes: pools("a", "b", "c"), Health: calm})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()

	conn := cluster.Get()
	defer conn.Close()
	for i := range 3 {
		if err := conn.Send("GET", fmt.Sprint("user:", i)); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(fluster.Pending(conn))
	// Output:
	// 3 true
}
