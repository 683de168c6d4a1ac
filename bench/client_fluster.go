package main

import (
	"context"
	"fmt"

	"github.com/redisfluster/fluster/fluster"
)

// clusterPools asks a cluster for the pool of each key.
type clusterPools struct{ *fluster.FlusterCluster }

func openUserPools(addrs []string, maxIdle int) (client, error) {
	return openCluster(userNodes(addrs, maxIdle))
}

func openParsedPools(addrs []string, maxIdle int) (client, error) {
	nodes, err := parsedNodes(addrs, maxIdle)
	if err != nil {
		return nil, err
	}
	return openCluster(nodes)
}

// userNodes have pools that are built like those of plain redigo.
func userNodes(addrs []string, maxIdle int) []fluster.Node {
	nodes := make([]fluster.Node, len(addrs))
	for i, addr := range addrs {
		nodes[i] = fluster.Node{Name: addr, Addr: addr, Pool: newPool(addr, maxIdle)}
	}
	return nodes
}

// parsedNodes have the library's own pools, which look at an idle connection
// before they lend it.
func parsedNodes(addrs []string, maxIdle int) ([]fluster.Node, error) {
	nodes := make([]fluster.Node, len(addrs))
	for i, addr := range addrs {
		var err error
		nodes[i], err = fluster.ParseNode(fmt.Sprintf(
			"redis://%s?max_idle=%d&dial_timeout=%[3]v&read_timeout=%[3]v&write_timeout=%[3]v", addr, maxIdle, ioTimeout))
		if err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// openCluster waits until every node has answered.
func openCluster(nodes []fluster.Node) (*clusterPools, error) {
	cluster, err := fluster.New(fluster.Config{Nodes: nodes})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*ioTimeout)
	defer cancel()
	if err := cluster.WaitReady(ctx); err != nil {
		_ = cluster.Close()
		return nil, err
	}
	return &clusterPools{cluster}, nil
}

// Get implements client.
func (c *clusterPools) Get(key string) ([]byte, error) {
	pool, err := c.GetClient(key)
	if err != nil {
		return nil, err
	}
	return getFrom(pool, key)
}

// Close implements client.
func (c *clusterPools) Close() { _ = c.FlusterCluster.Close() }
