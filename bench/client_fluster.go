package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/redisfluster/fluster/fluster"
)

// clusterPools asks a cluster for the pool of each key.
type clusterPools struct{ *fluster.FlusterCluster }

func openUserPools(t target) (client, error) {
	return openPools(userNodes(t), t.idle())
}

func openParsedPools(t target) (client, error) {
	nodes, err := parsedNodes(t)
	if err != nil {
		return nil, err
	}
	return openPools(nodes, t.idle())
}

func openPools(nodes []fluster.Node, idle int) (client, error) {
	cluster, err := openCluster(nodes, idle)
	if err != nil {
		return nil, err
	}
	return &clusterPools{cluster}, nil
}

// userNodes have pools that are built like those of plain redigo.
func userNodes(t target) []fluster.Node {
	nodes := make([]fluster.Node, len(t.addrs))
	for i, addr := range t.addrs {
		nodes[i] = fluster.Node{Name: addr, Addr: addr, Pool: newPool(addr, t)}
	}
	return nodes
}

// parsedNodes have the library's own pools, which look at an idle connection
// before they lend it.
func parsedNodes(t target) ([]fluster.Node, error) {
	nodes := make([]fluster.Node, len(t.addrs))
	for i, addr := range t.addrs {
		var err error
		nodes[i], err = fluster.ParseNode(nodeURL(addr, t))
		if err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// nodeURL sets what newPool sets.
func nodeURL(addr string, t target) string {
	scheme, more := "redis", ""
	if t.callers > maxConns {
		more = fmt.Sprintf("&pool_size=%d&pool_wait=true", maxConns)
	}
	if t.cert != nil {
		scheme, more = "rediss", more+"&tls_ca="+url.QueryEscape(t.cert.File())
	}
	return fmt.Sprintf("%s://%s?max_idle=%d&dial_timeout=%[4]v&read_timeout=%[4]v&write_timeout=%[4]v%s",
		scheme, addr, t.idle(), ioTimeout, more)
}

// openCluster waits until every node has answered and has idle connections.
func openCluster(nodes []fluster.Node, idle int) (*fluster.FlusterCluster, error) {
	cluster, err := fluster.New(fluster.Config{Nodes: nodes})
	if err != nil {
		return nil, err
	}
	if err := ready(cluster, nodes, idle); err != nil {
		_ = cluster.Close()
		return nil, err
	}
	return cluster, nil
}

func ready(cluster *fluster.FlusterCluster, nodes []fluster.Node, idle int) error {
	ctx, cancel := context.WithTimeout(context.Background(), ioTimeout)
	defer cancel()
	if err := cluster.WaitReady(ctx); err != nil {
		return err
	}
	for _, n := range nodes {
		if err := warm(idle, n.Pool); err != nil {
			return err
		}
	}
	return nil
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
