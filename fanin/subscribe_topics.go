package fanin

import (
	"cmp"
	"slices"
	"strings"
)

// kind is one of Redis's three kinds of subscription.
type kind uint8

const (
	byChannel kind = iota
	byPattern
	byShardChannel
)

// verbs are the commands of each kind; confirmations are named as they are.
var verbs = [...]struct{ on, off string }{
	byChannel:      {"SUBSCRIBE", "UNSUBSCRIBE"},
	byPattern:      {"PSUBSCRIBE", "PUNSUBSCRIBE"},
	byShardChannel: {"SSUBSCRIBE", "SUNSUBSCRIBE"},
}

// topic is one thing that is subscribed to.
type topic struct {
	kind kind
	name string
}

// list returns the topics one by one.
func (t Topics) list() []topic {
	var all []topic
	for k, names := range [][]string{byChannel: t.Channels, byPattern: t.Patterns, byShardChannel: t.ShardChannels} {
		for _, name := range names {
			all = append(all, topic{kind(k), name})
		}
	}
	return all
}

// topicsOf is the contrary of list, in order.
func topicsOf(all []topic) Topics {
	slices.SortFunc(all, func(a, b topic) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), strings.Compare(a.name, b.name))
	})
	var t Topics
	for _, one := range slices.Compact(all) {
		switch one.kind {
		case byChannel:
			t.Channels = append(t.Channels, one.name)
		case byPattern:
			t.Patterns = append(t.Patterns, one.name)
		case byShardChannel:
			t.ShardChannels = append(t.ShardChannels, one.name)
		}
	}
	return t
}
