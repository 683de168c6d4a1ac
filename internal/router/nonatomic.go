package router

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

// spread is a call of which one server would do all at once, but whose keys are
// on several nodes. It is done in steps, and for each command it is said below
// what others can see between them. For all of them:
//
//   - First comes what only reads, so that a call which is wrong, or whose keys
//     are of a wrong type, touches nothing; then the destination is written, in
//     one transaction; last of all something is removed from its source. What
//     ends a call in the middle, this process included, loses nothing.
//   - No step is repeated that may have run. The nodes are those that the keys
//     belonged to when the call began.
//   - If no step before it changed anything, the error of a step is the call's, as
//     it came, and is safe to retry if that is. Otherwise it tells what was done.
type spread struct {
	*call
	router *Router
	at     []int // the nodes of its keys
}

// nonAtomic does a call over the nodes of its parts, without atomicity. The reply
// is that of one server that had all the keys.
func (r *Router) nonAtomic(ctx context.Context, c *call, parts []part) (any, error) {
	s := &spread{call: c, router: r, at: make([]int, len(c.keys))}
	for _, p := range parts {
		for _, k := range p.keys {
			s.at[k] = p.node
		}
	}
	switch c.name() {
	case "SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE":
		return s.storeSet(ctx)
	case "ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE":
		return s.storeSortedSet(ctx)
	case "ZRANGESTORE", "GEOSEARCHSTORE":
		return s.storeRange(ctx, 1, 0)
	case "GEORADIUS", "GEORADIUSBYMEMBER":
		return s.storeRange(ctx, 0, 1)
	case "SORT":
		return s.storeSorted(ctx, parts)
	case "RENAME":
		return s.rename(ctx)
	case "RENAMENX":
		return s.renameIfFree(ctx)
	case "COPY":
		return s.copy(ctx)
	case "LMOVE":
		return s.moveItem(ctx)
	case "RPOPLPUSH":
		return s.popPush(ctx, "R", "L")
	case "SMOVE":
		return s.moveMember(ctx)
	case "MSETNX":
		return s.setAllOrNone(ctx, parts)
	case "PFCOUNT":
		return s.countSketches(ctx)
	case "PFMERGE":
		return s.withSketches(ctx)
	}
	return nil, r.crossNode(c, parts)
}

// key is the call's key number k.
func (s *spread) key(k int) any { return s.args[s.keys[k]] }

// where names a key and its node for an error.
func (s *spread) where(k int) string {
	return fmt.Sprintf("%.40q on %s", command.Text(s.key(k)), s.router.cluster.Name(s.at[k]))
}

// write runs a command whose first argument is key k, on its node.
func (s *spread) write(ctx context.Context, k int, cmd string, more ...any) (any, error) {
	return s.router.on(ctx, s.at[k], cmd, append([]any{s.key(k)}, more...), nil)
}

// read is write for a command that changes nothing. If it fails nothing of the
// call has run, whether or not the command has.
func (s *spread) read(ctx context.Context, k int, cmd string, more ...any) (any, error) {
	reply, err := s.write(ctx, k, cmd, more...)
	return reply, node.Unsent(err)
}

// halfDone is the error of a call of which something was done before err ended
// it, or nobody knows what; the text says what. Whatever is true of the last step,
// the call as a whole may have been executed.
func (s *spread) halfDone(err error, format string, args ...any) error {
	return fmt.Errorf("fluster: %s: %s: %w", s.name(), fmt.Sprintf(format, args...), node.Begun(err))
}

// firstOf returns the first error of several.
func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// replied reports an error reply with the given code, its first word.
func replied(err error, code string) bool {
	var reply redis.Error
	return errors.As(err, &reply) && strings.HasPrefix(string(reply), code+" ")
}

// word is an argument as the server compares it with its words.
func word(arg any) string { return strings.ToUpper(command.Text(arg)) }
