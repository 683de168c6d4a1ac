package main

import (
	"errors"
	"sync"
)

// group is what one node gets of a call with many keys.
type group[N comparable] struct {
	node   N
	keys   []string
	places []int // of the keys in the call
}

// split groups keys by node, which is what a program does whose client doesn't.
func split[N comparable](keys []string, nodeOf func(string) (N, error)) ([]group[N], error) {
	var groups []group[N]
	for place, key := range keys {
		node, err := nodeOf(key)
		if err != nil {
			return nil, err
		}
		i := indexOf(groups, node)
		if i < 0 {
			i = len(groups)
			groups = append(groups, group[N]{node: node})
		}
		groups[i].keys = append(groups[i].keys, key)
		groups[i].places = append(groups[i].places, place)
	}
	return groups, nil
}

func indexOf[N comparable](groups []group[N], node N) int {
	for i := range groups {
		if groups[i].node == node {
			return i
		}
	}
	return -1
}

// atOnce calls do for every group, each in a goroutine of its own but for one,
// and waits for all.
func atOnce[N comparable](groups []group[N], do func(group[N]) error) error {
	errs := make([]error, len(groups))
	var others sync.WaitGroup
	for i := 1; i < len(groups); i++ {
		others.Go(func() { errs[i] = do(groups[i]) })
	}
	if len(groups) > 0 {
		errs[0] = do(groups[0])
	}
	others.Wait()
	return errors.Join(errs...)
}

// place puts the values of one group where they belong.
func place[N comparable](values [][]byte, g group[N], own [][]byte) error {
	if len(own) != len(g.places) {
		return errors.New("a reply has another number of values than there were keys")
	}
	for i, at := range g.places {
		values[at] = own[i]
	}
	return nil
}
