package compat

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/redisfluster/fluster/ring"
)

// Jedis is the placement of ShardedJedis of Jedis, 2.10 to 4; OldLabels makes it
// that of 2.4 to 2.9. Its zero value is what new ShardedJedis(shards) does with
// shards that have names.
//
// The Name of a node is that of its JedisShardInfo, its Weight the weight there, but for
// zero: a shard of weight zero, which has no keys in Jedis, has to be left out (and its
// position kept, where shards are called by theirs).
// A shard gets 160 points for each unit of weight; the list may come to 2^24 points.
// Where two shards share a point of the ring, the last one in the list has it.
//
// Jedis has no fail-over: a shard that is out keeps its keys, and calls for them
// fail.
type Jedis struct {
	// Hash is murmur (MurmurHash64A) or md5. If empty, it is murmur.
	Hash string

	// Unnamed says that the shards have no names, as those that are made of a host
	// and a port only. Jedis then labels them by their positions: the order of the
	// list decides, and Names can be anything.
	//
	// In a list of both kinds, leave it false and call each shard without a name, by
	// its position from 0, SHARD-0-NODE- and so on, as Jedis does.
	Unnamed bool

	// Tags says that the ShardedJedis was given Sharded.DEFAULT_KEY_TAG_PATTERN: of
	// a key, the first text of at least one character between "{" and a "}", on one
	// line, is what is hashed. Keys that are not valid UTF-8 cannot be strings of
	// Java, and Jedis looks for no tag in bytes.
	Tags bool

	// OldLabels labels the points as Jedis did before 2.10: a shard with a name is
	// elsewhere under the two.
	OldLabels bool
}

var _ ring.Placement = Jedis{}

const (
	jedisPoints = 160
	maxPoints   = 1 << 24
)

// Build implements [ring.Placement]. Its errors name the field.
func (j Jedis) Build(nodes []ring.Node) (ring.Ring, error) {
	hash, width := hasher(murmur64A), 64
	switch j.Hash {
	case "", "murmur":
		j.Hash = "murmur"
	case "md5":
		hash, width = hashMD5, 32
	default:
		return nil, fmt.Errorf("compat: Jedis.Hash: %q is neither murmur nor md5", j.Hash)
	}
	if err := check(nodes, maxWeight); err != nil {
		return nil, err
	}
	if total := totalWeight(nodes); total > maxPoints/jedisPoints {
		return nil, fmt.Errorf("compat: nodes: their weights are %d in all, at most %d are possible", total, maxPoints/jedisPoints)
	}
	points := keepLast(j.points(nodes, hash))
	v := &onCircle{wholeKey, hash, newCircle(points, width, 0)}
	if j.Tags {
		v.part = javaTag
	}
	sum := newFingerprint("Jedis", j.Hash, fmt.Sprint(j.Tags)).places(v.circle.points, nodes).sum()
	return &fixed{view: v, nodes: len(nodes), fingerprint: sum}, nil
}

// points returns the points of all shards, in ascending order, and those at one
// place in the order of the list.
func (j Jedis) points(nodes []ring.Node, hash hasher) []point {
	points := make([]point, 0, totalWeight(nodes)*jedisPoints+1)
	for i, n := range nodes {
		label := j.label(i, n)
		for k := range jedisPoints * int(weight(n)) {
			points = append(points, point{hash(label + strconv.Itoa(k)), int32(i)})
		}
	}
	sortPoints(points)
	return points
}

// label returns what the label of each point of a shard begins with; a number follows.
func (j Jedis) label(i int, n ring.Node) string {
	unnamed := "SHARD-" + strconv.Itoa(i) + "-NODE-"
	switch {
	case j.Unnamed || n.Name == unnamed:
		return unnamed
	case j.OldLabels:
		return n.Name + "*" + strconv.FormatUint(weight(n), 10)
	}
	return n.Name + "*"
}

// javaTag returns the first match of Java's \{(.+?)\} in key. A dot of Java's matches
// any character but those that end a line, so each line is searched on its own.
func javaTag(key string) string {
	if strings.IndexByte(key, '{') < 0 || !utf8.ValidString(key) {
		return key
	}
	for rest := key; rest != ""; {
		line, after := cutJavaLine(rest)
		if _, behind, open := strings.Cut(line, "{"); open {
			if tag, ok := shortestTag(behind); ok {
				return tag
			}
		}
		rest = after
	}
	return key
}

// cutJavaLine cuts s behind the first character that ends a line for Java. The line
// is without it.
func cutJavaLine(s string) (line, after string) {
	end := strings.IndexAny(s, "\n\r\u0085\u2028\u2029")
	if end < 0 {
		return s, ""
	}
	_, size := utf8.DecodeRuneInString(s[end:])
	return s[:end], s[end+size:]
}

// shortestTag returns what stands before the first "}" in s that has something
// before it.
func shortestTag(s string) (string, bool) {
	if s == "" {
		return "", false
	}
	end := strings.IndexByte(s[1:], '}')
	if end < 0 {
		return "", false
	}
	return s[:1+end], true
}
