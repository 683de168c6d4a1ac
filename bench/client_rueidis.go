package main

import (
	"context"

	"github.com/redis/rueidis"
)

// rueidisNodes is a client of rueidis for each server, which pipelines what its
// callers do, and the table of plain redigo.
type rueidisNodes struct {
	table *slotTable
	nodes []rueidis.Client
}

// openRueidis leaves every option at its default, but for being told that a
// server is no cluster.
func openRueidis(t target) (client, error) {
	r := &rueidisNodes{table: newSlotTable(len(t.addrs))}
	for _, addr := range t.addrs {
		node, err := rueidis.NewClient(rueidis.ClientOption{
			InitAddress: []string{addr}, ForceSingleClient: true, TLSConfig: t.cert.Config(),
		})
		if err != nil {
			r.Close()
			return nil, err
		}
		r.nodes = append(r.nodes, node)
	}
	return r, nil
}

func (r *rueidisNodes) nodeOf(key string) (int, error) { return r.table.at(key), nil }

// Get implements client.
func (r *rueidisNodes) Get(key string) ([]byte, error) {
	node := r.nodes[r.table.at(key)]
	return node.Do(context.Background(), node.B().Get().Key(key).Build()).AsBytes()
}

// Set implements client.
func (r *rueidisNodes) Set(key string, value []byte) error {
	node := r.nodes[r.table.at(key)]
	return node.Do(context.Background(), node.B().Set().Key(key).Value(rueidis.BinaryString(value)).Build()).Error()
}

// MGet asks all nodes at once.
func (r *rueidisNodes) MGet(keys []string) ([][]byte, error) {
	groups, err := split(keys, r.nodeOf)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	return values, atOnce(groups, func(g group[int]) error {
		node := r.nodes[g.node]
		own, err := node.Do(context.Background(), node.B().Mget().Key(g.keys...).Build()).ToArray()
		if err != nil {
			return err
		}
		for i, at := range g.places {
			if values[at], err = own[i].AsBytes(); err != nil {
				return err
			}
		}
		return nil
	})
}

// PipeGet implements pipeliner.
func (r *rueidisNodes) PipeGet(keys []string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	return values, r.pipe(keys, func(b rueidis.Builder, key string) rueidis.Completed {
		return b.Get().Key(key).Build()
	}, func(at int, reply rueidis.RedisResult) (err error) {
		values[at], err = reply.AsBytes()
		return err
	})
}

// PipeSet implements pipeliner.
func (r *rueidisNodes) PipeSet(keys []string, value []byte) error {
	return r.pipe(keys, func(b rueidis.Builder, key string) rueidis.Completed {
		return b.Set().Key(key).Value(rueidis.BinaryString(value)).Build()
	}, func(_ int, reply rueidis.RedisResult) error { return reply.Error() })
}

// pipe sends a command for each key, at all nodes at once.
func (r *rueidisNodes) pipe(keys []string, command func(rueidis.Builder, string) rueidis.Completed,
	take func(at int, reply rueidis.RedisResult) error,
) error {
	groups, err := split(keys, r.nodeOf)
	if err != nil {
		return err
	}
	return atOnce(groups, func(g group[int]) error {
		node, batch := r.nodes[g.node], make([]rueidis.Completed, len(g.keys))
		for i, key := range g.keys {
			batch[i] = command(node.B(), key)
		}
		for i, reply := range node.DoMulti(context.Background(), batch...) {
			if err := take(g.places[i], reply); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close implements client.
func (r *rueidisNodes) Close() {
	for _, node := range r.nodes {
		node.Close()
	}
}
