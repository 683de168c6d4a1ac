package router

import "github.com/redisfluster/fluster/internal/command"

// fewNodes is up to how many nodes are counted without allocating.
const fewNodes = 64

// group groups the keys of a call by their nodes, in the order of first use.
func (r *Router) group(v View, c *call) ([]part, error) {
	var few [fewNodes]int
	seen := few[:] // by node: the number of its part, the first being 1
	if n := r.cluster.Len(); n > len(few) {
		seen = make([]int, n)
	}
	parts := make([]part, 0, min(len(c.keys), r.cluster.Len()))
	room := make([]int, 2*len(c.keys))
	of, keys := room[:len(c.keys)], room[len(c.keys):] // the part of each key; the keys part by part
	var counts [fewNodes]int
	count := counts[:]
	if cap(parts) > len(counts) {
		count = make([]int, cap(parts))
	}
	for k, pos := range c.keys {
		node, err := v.Locate(command.Text(c.args[pos]))
		if err != nil {
			return nil, err
		}
		if seen[node] == 0 {
			parts = append(parts, part{node: node})
			seen[node] = len(parts)
		}
		of[k] = seen[node] - 1
		count[of[k]]++
	}
	for p := range parts {
		parts[p].keys, keys = keys[:0:count[p]], keys[count[p]:]
	}
	for k, p := range of {
		parts[p].keys = append(parts[p].keys, k)
	}
	return parts, nil
}
