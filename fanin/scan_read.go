package fanin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/fluster"
)

// mostRestarts is how often a node is scanned anew. There may be several servers behind
// one address, and then that would never end.
const mostRestarts = 10

// read scans one node from a place on, until it is done, has failed or ctx ends.
func (s *scan) read(ctx context.Context, n fluster.Node, from place, pages chan<- page) {
	for restarts := 0; !from.Done; {
		p := s.page(ctx, n, from)
		if p.restarted {
			restarts++
		}
		if restarts > mostRestarts {
			p.err = fmt.Errorf("fanin: node %s is another server again and again", n)
		}
		select {
		case pages <- p:
		case <-ctx.Done():
			return
		}
		if p.err != nil {
			return
		}
		from = p.next
	}
}

// page reads one page. Every page asks the server who it is, too: after a restart it
// hashes otherwise, and going on from its old cursor would leave out some of what it
// has.
func (s *scan) page(ctx context.Context, n fluster.Node, from place) page {
	p := page{node: n.Name, from: from, next: from}
	if n.Pool == nil {
		p.err = fmt.Errorf("fanin: the cluster has no node %q any more", n.Name)
		return p
	}
	replies, err := readAt(ctx, n, func(ctx context.Context, conn redis.Conn) ([]any, error) {
		_ = conn.Send("INFO", "server") // if it fails, so does all that follows
		_ = conn.Send(s.cmd, s.args(from)...)
		return redis.Values(redis.DoContext(conn, ctx, ""))
	})
	if err != nil {
		p.err = err
		return p
	}
	server := runID(replies[0])
	if from.Server != "" && server != from.Server {
		p.next, p.restarted = place{Server: server}, true
		return p
	}
	p.next, p.items, p.err = s.parse(replies[1])
	p.next.Server = server
	if p.err != nil {
		p.next = from
	}
	return p
}

func (s *scan) args(from place) []any {
	var args []any
	if s.cmd != "SCAN" {
		args = append(args, s.key)
	}
	args = append(args, from.Cursor)
	if s.options.Match != "" {
		args = append(args, "MATCH", s.options.Match)
	}
	count := s.options.Count
	if count <= 0 {
		count = DefaultCount
	}
	args = append(args, "COUNT", count)
	if s.options.Type != "" && s.cmd == "SCAN" {
		args = append(args, "TYPE", s.options.Type)
	}
	return args
}

// runID reads who the server is out of its INFO. It is empty if the server does not
// tell; then nothing is known of restarts.
func runID(info any) string {
	text, _ := redis.String(info, nil)
	_, after, _ := strings.Cut(text, "run_id:")
	id, _, _ := strings.Cut(after, "\r\n")
	return id
}

// parse reads the reply to a command of the SCAN family.
func (s *scan) parse(reply any) (next place, items []Found, err error) {
	if err, ok := reply.(redis.Error); ok {
		return next, nil, err
	}
	parts, err := redis.Values(reply, nil)
	if err != nil || len(parts) != 2 {
		return next, nil, errors.Join(errors.New("fanin: a scan's reply has not two parts"), err)
	}
	next.Cursor, err = redis.Uint64(parts[0], nil)
	if err != nil {
		return next, nil, err
	}
	next.Done = next.Cursor == 0
	texts, err := redis.Strings(parts[1], nil)
	if err != nil {
		return next, nil, err
	}
	for some := range slices.Chunk(texts, s.width) {
		item := Found{Name: some[0]}
		if len(some) > 1 {
			err = s.second(&item, some[1])
		}
		if err != nil || len(some) < s.width {
			return next, nil, errors.Join(errors.New("fanin: a scan's reply has an element without its second half"), err)
		}
		items = append(items, item)
	}
	return next, items, nil
}
