package main

import (
	"fmt"

	"github.com/redisfluster/fluster/fluster"
)

// sample are keys as a service might use, to look up where each belongs.
func sample() []string {
	keys := make([]string, 10_000)
	for i := range keys {
		keys[i] = fmt.Sprint("user:", i)
	}
	return keys
}

// survey is where each key of a sample belonged at one moment.
type survey struct {
	at   []string        // by key: the node's name
	live map[string]bool // by node
}

// takeSurvey looks up all keys, and again if a node came or went meanwhile.
func takeSurvey(cluster *fluster.FlusterCluster, keys []string) survey {
	for {
		before := cluster.Nodes()
		s := survey{at: make([]string, len(keys)), live: map[string]bool{}}
		for i, key := range keys {
			if node, err := cluster.Locate(key); err == nil {
				s.at[i] = node.Name
			}
		}
		same := true
		for i, now := range cluster.Nodes() {
			same = same && now.Live == before[i].Live && now.Since.Equal(before[i].Since)
			s.live[now.Name] = now.Live
		}
		if same {
			return s
		}
	}
}

// counts returns how many keys belonged to each node.
func (s survey) counts() map[string]int {
	counts := map[string]int{}
	for _, node := range s.at {
		counts[node]++
	}
	return counts
}

// movement is how keys stand in a later survey, beside one in which all nodes lived.
type movement struct {
	away  int // keys that belong to another node than before
	wrong int // keys that left a live node, or belong to a dead one
}

func (s survey) since(home survey) movement {
	var m movement
	for i, now := range s.at {
		if now != home.at[i] {
			m.away++
		}
		if s.live[home.at[i]] {
			if now != home.at[i] {
				m.wrong++
			}
		} else if !s.live[now] && now != "" {
			m.wrong++
		}
	}
	return m
}
