package main

import (
	"context"
	"fmt"

	"github.com/redisfluster/fluster/fluster"
)

// clusterPools asks a cluster for the pool of each key.
type clusterPools struct{ *fluster.FlusterCluster }

func openUserPools(t target) (client, error) {
	return openPools(userNodes(t.addrs, t.callers))
}

func openParsedPools(t target) (client, error) {
	nodes, err := parsedNodes(t.addrs, t.callers)
	if err != nil {
		return nil, err
	}
	return openPools(nodes)
}

func openPools(nodes []fluster.Node) (client, error) {
	cluster, err := openCluster(nodes)
	if err != nil {
		return nil, err
	}
	return &clusterPools{cluster}, nil
}

// userNodes have pools that are built like those of plain redigo.
func userNodes(addrs []string, callers int) []fluster.Node {
	nodes := make([]fluster.Node, len(addrs))
	for i, addr := range addrs {
		nodes[i] = fluster.Node{Name: addr, Addr: addr, Pool: newPool(addr, callers)}
	}
	return nodes
}

// parsedNodes have the library's own pools, which look at an idle connection
// before they lend it.
func parsedNodes(addrs []string, callers int) ([]fluster.Node, error) {
	nodes := make([]fluster.Node, len(addrs))
	for i, addr := range addrs {
		var err error
		nodes[i], err = fluster.ParseNode(nodeURL(addr, callers))
		if err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// nodeURL sets what newPool sets.
func nodeURL(addr string, callers int) string {
	url := fmt.Sprintf("redis://%s?max_idle=%d&dial_timeout=%[3]v&read_timeout=%[3]v&write_timeout=%[3]v",
		addr, min(callers, maxConns), ioTimeout)
	if callers > maxConns {
		url += fmt.Sprintf("&pool_size=%d&pool_wait=true", maxConns)
	}
	return url
}

// openCluster waits until every node has answered.
func openCluster(nodes []fluster.Node) (*fluster.FlusterCluster, error) {
	cluster, err := fluster.New(fluster.Config{Nodes: nodes})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), ioTimeout)
	defer cancel()
	if err := cluster.WaitReady(ctx); err != nil {
		_ = cluster.Close()
		return nil, err
	}
	return cluster, nil
}

// Get implements client.
func (c *clusterPools) Get(key string) ([]byte, error) {
	pool, err := c.GetClient(key)
	if err != nil {
		return nil, err
	}
	return getFrom(pool, key)
}

// Set implements client.
func (c *clusterPools) Set(key string, value []byte) error {
	pool, err := c.GetClient(key)
	if err != nil {
		return err
	}
	return setIn(pool, key, value)
}

// MGet implements client.
func (c *clusterPools) MGet(keys []string) ([][]byte, error) { return mgetFrom(keys, c.GetClient) }

// PipeGet implements pipeliner.
func (c *clusterPools) PipeGet(keys []string) ([][]byte, error) {
	return pipeGetFrom(keys, c.GetClient)
}

// PipeSet implements pipeliner.
func (c *clusterPools) PipeSet(keys []string, value []byte) error {
	return pipeSetIn(keys, value, c.GetClient)
}

// Close implements client.
func (c *clusterPools) Close() { _ = c.FlusterCluster.Close() }
