package fanin

import (
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/command"
)

// DefaultCount is how much work a server does for one page of a scan.
const DefaultCount = 100

// ScanOptions narrow a scan down. The zero value scans everything.
type ScanOptions struct {
	// Match is a pattern in Redis's glob style that keys, members or fields must
	// match. If empty, all do.
	Match string

	// Count is how many keys or elements a server looks at for one page. Zero or
	// less means DefaultCount.
	Count int

	// Type is the type of the keys that Scan is to return, such as "hash". If empty,
	// all are returned. The other scans ignore it.
	Type string

	// Home leaves out what Scan finds on another node than the one that the key
	// belongs to at that moment, so that no key comes from two nodes. If false, a key
	// comes once from each node it stands on, as it does after an outage. The other
	// scans ignore it.
	Home bool

	// Resume is the Token of a Found, to go on from there. The other options may
	// differ from those of the scan that it is of. One that cannot be read, or is of
	// another kind of scan or another key, is ErrToken. If empty, the scan begins.
	Resume string
}

// Found is what a scan found.
type Found struct {
	// Node is the name of the node where it stands.
	Node string

	// Name is the key, the member or the field.
	Name string

	// Value is the value of a hash's field.
	Value string

	// Score is the score of a sorted set's member.
	Score float64

	at *progress
}

// Token returns what ScanOptions.Resume goes on from: with the page that the item
// came with, and with what other nodes have not given yet. It is text, and may be
// kept: it names nodes and does not depend on addresses, nor on the process.
func (i Found) Token() string { return i.at.token() }

// Scan iterates over the keys of all live nodes.
//
// The nodes are scanned at once, each one page ahead at most, so items come from
// them by turns and in no order. As with Redis's own SCAN, what is there from
// beginning to end comes at least once, and may come again; what comes or goes
// meanwhile may or may not. A server that has restarted since its last page is
// scanned anew, since its cursors do not mean what they meant. One that is another
// server again and again, since there are several behind its address, has failed.
//
// A node that fails costs its part: the others are scanned to their end, and then a
// NodesError is yielded, with a Found whose Token is there to do the rest later. Nodes that are down when the scan begins are not in
// it, nor are those that come back meanwhile; a scan that is resumed takes them up
// from their beginning. When no node lives the error is ErrClusterEmpty, and when ctx
// ends it is that of ctx. No more than one error is yielded, and it comes last: a scan
// without one was complete. Whoever breaks off leaves nothing behind.
//
// The sequence may be iterated again, which scans again.
func Scan(ctx context.Context, c *fluster.FlusterCluster, o ScanOptions) iter.Seq2[Found, error] {
	s := &scan{cluster: c, options: o, cmd: "SCAN", width: 1}
	return s.all(ctx)
}

// SScan iterates over the members of a set wherever its parts stand. It is as Scan
// in everything else.
func SScan(ctx context.Context, c *fluster.FlusterCluster, key string, o ScanOptions) iter.Seq2[Found, error] {
	s := &scan{cluster: c, options: o, cmd: "SSCAN", key: key, width: 1}
	return s.all(ctx)
}

// HScan iterates over the fields and values of a hash wherever its parts stand. It
// is as Scan in everything else.
func HScan(ctx context.Context, c *fluster.FlusterCluster, key string, o ScanOptions) iter.Seq2[Found, error] {
	s := &scan{cluster: c, options: o, cmd: "HSCAN", key: key, width: 2, second: func(i *Found, text string) error {
		i.Value = text
		return nil
	}}
	return s.all(ctx)
}

// ZScan iterates over the members and scores of a sorted set wherever its parts
// stand. It is as Scan in everything else.
func ZScan(ctx context.Context, c *fluster.FlusterCluster, key string, o ScanOptions) iter.Seq2[Found, error] {
	s := &scan{cluster: c, options: o, cmd: "ZSCAN", key: key, width: 2, second: func(i *Found, text string) (err error) {
		i.Score, err = strconv.ParseFloat(text, 64)
		return err
	}}
	return s.all(ctx)
}

// scan is what is to be scanned. It is never changed.
type scan struct {
	cluster *fluster.FlusterCluster
	options ScanOptions
	cmd     string
	key     string                     // whose elements are scanned, if not the keys
	width   int                        // how many strings of a reply make an item
	second  func(*Found, string) error // takes the second of them
}

// page is what one call gave, or why it gave nothing.
type page struct {
	node  string
	from  place // where it began
	next  place
	items []Found
	err   error

	restarted bool // it is to be scanned anew
}

func (s *scan) all(ctx context.Context) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		at, nodes, err := s.begin(ctx)
		if err != nil {
			yield(Found{at: at}, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		pages := make(chan page)
		var readers sync.WaitGroup
		defer readers.Wait()
		defer cancel()
		for _, n := range nodes {
			from := at.nodes[n.Name]
			readers.Go(func() { s.read(ctx, n, from, pages) })
		}
		s.deliver(ctx, at, nodes, pages, yield)
	}
}

// begin returns where the scan stands and the nodes that are to be read.
func (s *scan) begin(ctx context.Context) (*progress, []fluster.Node, error) {
	at := &progress{cmd: s.cmd, key: s.key, nodes: map[string]place{}}
	if s.options.Resume != "" {
		if err := at.resume(s.options.Resume); err != nil {
			return at, nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return at, nil, err
	}
	live, _, err := s.cluster.Live()
	if err != nil {
		return at, nil, err
	}
	var nodes []fluster.Node
	for _, n := range live {
		if p, known := at.nodes[n.Name]; !known || !p.Done {
			at.nodes[n.Name] = p
			nodes = append(nodes, n)
		}
	}
	for name, p := range at.nodes { // those to be read that do not live fail like others
		if !p.Done && !slices.ContainsFunc(nodes, func(n fluster.Node) bool { return n.Name == name }) {
			n, _ := s.cluster.Node(name)
			n.Name = name
			nodes = append(nodes, n)
		}
	}
	return at, nodes, nil
}

// deliver yields what the readers of so many nodes bring, and then who failed.
func (s *scan) deliver(ctx context.Context, at *progress, nodes []fluster.Node, pages <-chan page, yield func(Found, error) bool) {
	failed := &fluster.NodesError{Total: len(nodes)}
	for left := len(nodes); left > 0; {
		select {
		case p := <-pages:
			if p.err != nil {
				failed.Failed = append(failed.Failed, command.Reply{Node: p.node, Err: p.err})
			}
			if p.err != nil || p.next.Done {
				left--
			}
			if !s.yieldAll(p, at.with(p.node, p.from), yield) {
				return
			}
			at = at.with(p.node, p.next)
		case <-ctx.Done():
			yield(Found{at: at}, ctx.Err())
			return
		}
	}
	if len(failed.Failed) > 0 {
		slices.SortFunc(failed.Failed, func(a, b command.Reply) int { return strings.Compare(a.Node, b.Node) })
		yield(Found{at: at}, failed)
	}
}

// yieldAll yields a page's items, and reports whether to go on.
func (s *scan) yieldAll(p page, at *progress, yield func(Found, error) bool) bool {
	for _, item := range p.items {
		item.Node, item.at = p.node, at
		if s.wanted(item) && !yield(item, nil) {
			return false
		}
	}
	return true
}

// wanted reports whether an item is at home, if that is asked for.
func (s *scan) wanted(i Found) bool {
	if !s.options.Home || s.cmd != "SCAN" {
		return true
	}
	home, err := s.cluster.Locate(i.Name)
	return err == nil && home.Name == i.Node
}
