package main

import (
	"context"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/fluster"
)

// routedIdle is how many connections a routed client begins with: most of its calls
// share others.
const routedIdle = 64

// openParsed returns a cluster as it is made of URLs.
func openParsed(t target) (*fluster.FlusterCluster, error) {
	nodes, err := parsedNodes(t)
	if err != nil {
		return nil, err
	}
	return openCluster(nodes, min(t.callers, routedIdle))
}

// routed borrows a routed connection for each call, as from a pool.
type routed struct{ cluster *fluster.FlusterCluster }

func openRouted(t target) (client, error) {
	cluster, err := openParsed(t)
	if err != nil {
		return nil, err
	}
	return &routed{cluster}, nil
}

// Get implements client.
func (r *routed) Get(key string) ([]byte, error) {
	conn := r.cluster.Get()
	value, err := redis.Bytes(conn.Do("GET", key))
	if closed := conn.Close(); err == nil {
		err = closed
	}
	return value, err
}

// Set implements client.
func (r *routed) Set(key string, value []byte) error {
	conn := r.cluster.Get()
	_, err := conn.Do("SET", key, value)
	if closed := conn.Close(); err == nil {
		err = closed
	}
	return err
}

// MGet implements client.
func (r *routed) MGet(keys []string) ([][]byte, error) {
	conn := r.cluster.Get()
	defer conn.Close()
	return redis.ByteSlices(conn.Do("MGET", boxed(keys)...))
}

// PipeGet implements pipeliner.
func (r *routed) PipeGet(keys []string) ([][]byte, error) {
	conn := r.cluster.Get()
	defer conn.Close()
	for _, key := range keys {
		if err := conn.Send("GET", key); err != nil {
			return nil, err
		}
	}
	if err := conn.Flush(); err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i := range values {
		var err error
		if values[i], err = redis.Bytes(conn.Receive()); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// PipeSet implements pipeliner.
func (r *routed) PipeSet(keys []string, value []byte) error {
	conn := r.cluster.Get()
	defer conn.Close()
	for _, key := range keys {
		if err := conn.Send("SET", key, value); err != nil {
			return err
		}
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	for range keys {
		if _, err := conn.Receive(); err != nil {
			return err
		}
	}
	return nil
}

// Close implements client.
func (r *routed) Close() { _ = r.cluster.Close() }

// doer leaves everything to the cluster. It has no pipelines of its own: calls
// are made one by one.
type doer struct{ cluster *fluster.FlusterCluster }

func openDoer(t target) (client, error) {
	cluster, err := openParsed(t)
	if err != nil {
		return nil, err
	}
	return &doer{cluster}, nil
}

// Get implements client.
func (d *doer) Get(key string) ([]byte, error) {
	return redis.Bytes(d.cluster.Do(context.Background(), "GET", key))
}

// Set implements client.
func (d *doer) Set(key string, value []byte) error {
	_, err := d.cluster.Do(context.Background(), "SET", key, value)
	return err
}

// MGet implements client.
func (d *doer) MGet(keys []string) ([][]byte, error) {
	return redis.ByteSlices(d.cluster.Do(context.Background(), "MGET", boxed(keys)...))
}

// Close implements client.
func (d *doer) Close() { _ = d.cluster.Close() }
