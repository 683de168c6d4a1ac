package compat

import (
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/redisfluster/fluster/ring"
)

// RedisRb is the placement of Redis::Distributed of redis-rb, a client for Ruby. Its
// zero value is the newest generation.
//
// The Name of a node is its id: the option id if the node has it, and else what
// [RedisRb.NodeID] makes of the URL. There are no weights: Build refuses a weight
// other than one. Each node has 160 points; one that two nodes share belongs to the
// last one in the list.
//
// Of a key, what stands between a "{" at the beginning of a line and the next "}"
// with at least one character before it on that line is hashed, and else the whole
// key: "a{b}" has no tag.
//
// The points of nodes that are out are taken away, as if the nodes had been removed,
// so that only their keys move. (A point that two nodes share goes with either.)
// Redis::Distributed itself does not fail over: there, such calls fail, for which there
// is [Fixed].
type RedisRb struct {
	// Generation is 4 for redis-rb up to 4.8, 5 for redis-rb 5 with redis-client up
	// to 0.20, and 6 for redis-rb 5 and 6 with redis-client 0.21 or later. Zero means
	// 6. 4 has points of its own; 5 and 6 differ only in the ids of nodes.
	Generation int
}

var _ ring.Placement = RedisRb{}

const redisRbPoints = 160

// Build implements [ring.Placement]. Its errors name the field.
func (r RedisRb) Build(nodes []ring.Node) (ring.Ring, error) {
	pointOf, kind := rubyMD5, "MD5"
	switch r.Generation {
	case 0, 5, 6:
	case 4:
		pointOf, kind = crc32.ChecksumIEEE, "CRC-32"
	default:
		return nil, fmt.Errorf("compat: RedisRb.Generation: %d is none of 4, 5 and 6", r.Generation)
	}
	if err := check(nodes, weightless); err != nil {
		return nil, err
	}
	packed := make([]uint64, 0, redisRbPoints*len(nodes))
	for i, n := range nodes {
		text := labelText(n.Name, ':')
		for k := range redisRbPoints {
			at := pointOf(strconv.AppendInt(text, int64(k), 10))
			packed = append(packed, uint64(at)<<32|uint64(i))
		}
	}
	ring := &rubyRing{nodes: len(nodes), points: slices.Clip(sorted32(packed))}
	ring.fingerprint = newFingerprint("redis-rb", kind).places(ring.points, nodes).sum()
	ring.all = ring.view(ring.points, 0)
	return ring, nil
}

// rubyMD5 is the first word of the MD5, in big-endian order.
func rubyMD5(text []byte) uint32 {
	sum := md5.Sum(text)
	return binary.BigEndian.Uint32(sum[:])
}

// rubyRing is the ring of [RedisRb].
type rubyRing struct {
	points      []point // ascending; those at one place in the order of the list
	nodes       int
	all         ring.View
	fingerprint uint64
}

// Fingerprint implements [ring.Ring].
func (r *rubyRing) Fingerprint() uint64 { return r.fingerprint }

// View implements [ring.Ring].
func (r *rubyRing) View(live []bool) ring.View {
	checkLive(live, r.nodes)
	switch {
	case !slices.Contains(live, false):
		return r.all
	case !slices.Contains(live, true):
		return nowhere{}
	}
	kept := make([]point, 0, len(r.points))
	for i := 0; i < len(r.points); {
		end, lives := i, true
		for ; end < len(r.points) && r.points[end].at == r.points[i].at; end++ {
			lives = lives && live[r.points[end].node]
		}
		if lives {
			kept = append(kept, r.points[i:end]...)
		}
		i = end
	}
	return r.view(kept, int32(slices.Index(live, true)))
}

// view lays out points, of which there is none if nodes whose ids have the same
// CRC-32 are out: then the node at fallback has all keys.
func (r *rubyRing) view(points []point, fallback int32) ring.View {
	return &onCircle{rubyTag, hashCRC32, newLastCircle(keepLast(slices.Clone(points)), 32, fallback)}
}

// rubyTag returns the first match of Ruby's /^\{(.+?)\}/ in key.
func rubyTag(key string) string {
	for rest := key; rest != ""; {
		line, after, _ := strings.Cut(rest, "\n")
		if line != "" && line[0] == '{' {
			if tag, ok := shortestTag(line[1:]); ok {
				return tag
			}
		}
		rest = after
	}
	return key
}

// NodeID returns the id that redis-rb gives to the node at a URL, for the Name of a
// [ring.Node]: scheme, host, port and database, without user and password. In
// generation 6, a database of 0 is left out. The URL's scheme is redis, rediss or
// unix; an error never repeats the URL, which may hold a password.
func (r RedisRb) NodeID(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", errors.New("compat: the URL is malformed")
	}
	switch u.Scheme {
	case "redis", "rediss":
		return r.hostID(u)
	case "unix":
		return r.socketID(u)
	}
	return "", errors.New("compat: the URL's scheme is none of redis, rediss and unix")
}

func (r RedisRb) hostID(u *url.URL) (string, error) {
	db, err := database(strings.TrimPrefix(u.Path, "/"))
	if err != nil {
		return "", err
	}
	host, port := u.Hostname(), u.Port()
	if host == "" {
		host = "localhost"
		if r.Generation == 4 {
			host = "127.0.0.1"
		}
	}
	if port == "" {
		port = "6379"
	}
	if strings.Contains(host, ":") && r.newIDs() {
		host = "[" + host + "]"
	}
	id := u.Scheme + "://" + host + ":" + port
	if db == 0 && r.newIDs() {
		return id, nil
	}
	return id + "/" + strconv.Itoa(db), nil
}

func (r RedisRb) socketID(u *url.URL) (string, error) {
	db, err := database(u.Query().Get("db"))
	switch {
	case err != nil:
		return "", err
	case r.newIDs() && db == 0:
		return "unix://" + u.Path, nil
	case r.newIDs():
		return "unix://" + u.Path + "?db=" + strconv.Itoa(db), nil
	case r.Generation == 5:
		return u.Path + "/" + strconv.Itoa(db), nil
	}
	return "unix://" + u.Path + "/" + strconv.Itoa(db), nil
}

// newIDs reports whether ids leave out the database 0.
func (r RedisRb) newIDs() bool { return r.Generation == 0 || r.Generation == 6 }

func database(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	db, err := strconv.Atoi(text)
	if err != nil || db < 0 {
		return 0, errors.New("compat: the URL's database is not a number")
	}
	return db, nil
}
