package fanin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/redisfluster/fluster/fluster"
)

// ErrPopperClosed is what Next returns after Close.
var ErrPopperClosed = errors.New("fanin: popper is closed")

// Popper waits on all live nodes of a cluster at once, with a command that blocks,
// and gives out what they pop. It takes up a node as soon as the cluster releases it
// from the penalty box and leaves out one that is penalized; the others do not notice.
//
// It pops only while somebody waits in Next or in a loop over Items. Every node may
// answer that at the same time, so a Popper may hold one reply of each node that
// nobody has taken yet; a node is asked again when its reply is taken. When the last
// caller has been gone for 20 ms, the nodes are told to wait no more (CLIENT UNBLOCK),
// and what they had popped by then is held for the next caller. So nothing is lost
// when a context ends or a loop is left. But what is held is in the memory of this
// process: with BLMove and XReadGroup it also stands at its node until it is
// acknowledged, with the others it does not.
//
// A Popper that waits takes one connection of each live node's pool. One more for each
// node, which all Poppers share, unblocks them. Pools with a limit need that much room.
// Many goroutines may use one Popper at once: that takes fewer connections than one
// Popper for each, and no item waits for a goroutine that is busy while another is free.
//
// All methods are safe for concurrent use.
type Popper struct {
	// Immutable after NewPopper.
	cluster *fluster.FlusterCluster
	source  Source
	ended   chan struct{} // closed when fault is set

	mu        sync.Mutex // protects following fields
	fault     error      // why there is nothing more to wait for
	following following
	lanes     map[string]*lane // by node
	callers   []chan outcome   // those who wait; first come, first served
	held      []outcome        // what nobody has taken yet
	lingering *time.Timer      // nil unless a recall is to come
	idleSince time.Time        // when the last caller went
	desolate  bool             // no node lives, and somebody was told
}

// outcome is what a caller of Next gets.
type outcome struct {
	item Item
	err  error
	lane *lane // whose reply it is a part of; nil if it is none
}

// NewPopper returns a Popper. It does no I/O. The error says what the source lacks,
// such as keys.
func NewPopper(cluster *fluster.FlusterCluster, source Source) (*Popper, error) {
	if flaw := source.flaw(); flaw != "" {
		return nil, fmt.Errorf("fanin: %s", flaw)
	}
	return &Popper{
		cluster: cluster, source: source,
		ended: make(chan struct{}), lanes: make(map[string]*lane),
	}, nil
}

// Items gives out items as Next does, until ctx has ended and nothing is held any
// more. An error that Next would go on after is yielded, and so does the loop. After
// Close of the cluster it yields fluster.ErrClosed and ends; the ends of ctx and of the
// Popper yield nothing.
//
// A loop that is left early loses nothing: the next one, or Next, or Close, goes on
// with what is held.
func (p *Popper) Items(ctx context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for {
			out, err := p.next(ctx)
			if errors.Is(err, fluster.ErrClosed) {
				yield(Item{}, err)
				return
			}
			if err != nil || !yield(out.item, out.err) {
				return
			}
		}
	}
}

// Next waits for an item at any node and returns it. When several nodes have items
// each gets its turn, and so do the keys of one node.
//
// When ctx ends, Next first gives out what is held. If nothing is, and nobody else
// waits, it unblocks the nodes and reads their last replies, which takes a second at
// most where a node is silent, and two where a pool's dial function hangs. It returns ctx's error only when these are given out
// as well. So a loop over Next that ends with that error has lost nothing.
//
// The errors of a node are no reason to stop. They come with an Item that has the Node:
//
//   - A fluster.NodeError for which fluster.MaybeExecuted holds: the connection broke
//     or the node was silent under a pop, which may have taken an item.
//   - Another NodeError, or the node's error reply, wrapped: it cannot be asked just
//     now. That is told once, until the node has answered or says something else. It is
//     asked again after a pause that grows to a second.
//
// While no node lives, Next waits. It returns fluster.ErrClusterEmpty once for each
// time that the last node was lost. After Close of the cluster the error is
// fluster.ErrClosed, after Close of the Popper it is ErrPopperClosed; what is held is
// given out before them too.
//
// A node that refuses CLIENT ID or CLIENT UNBLOCK, or UNLINK of a key that begins with
// "fluster:unblock:" in a transaction with it, cannot be unblocked. The end of its round
// is waited for instead: a second, but some five when it first refuses, or when its pool
// has no connection left for that.
func (p *Popper) Next(ctx context.Context) (Item, error) {
	out, err := p.next(ctx)
	if err != nil {
		return Item{}, err
	}
	return out.item, out.err
}

// next returns an outcome, or why there will be none.
func (p *Popper) next(ctx context.Context) (outcome, error) {
	me := make(chan outcome, 1)
	p.mu.Lock()
	p.followLocked()
	out, ok := p.takeLocked()
	waits := !ok && p.fault == nil && ctx.Err() == nil
	if waits {
		p.callers = append(p.callers, me)
		p.askLocked()
	}
	changed := p.following.changed
	p.mu.Unlock()
	if waits {
		out, ok = p.wait(ctx, me, changed)
	}
	if ok {
		return out, nil
	}
	return p.finish(ctx)
}

// wait waits for what comes to me, and follows the nodes that live meanwhile.
func (p *Popper) wait(ctx context.Context, me chan outcome, changed <-chan struct{}) (outcome, bool) {
	for {
		select {
		case out := <-me:
			return out, true
		case <-changed:
			changed = p.follow()
		case <-ctx.Done():
			return p.leave(me)
		case <-p.ended:
			return p.leave(me)
		}
	}
}

// leave takes me from those who wait. If something has come to it in the last moment,
// that is returned.
func (p *Popper) leave(me chan outcome) (outcome, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.callers, me)
	if i < 0 {
		return <-me, true
	}
	p.callers = slices.Delete(p.callers, i, i+1)
	p.lingerLocked()
	return outcome{}, false
}

// finish is the end of a call that is not to wait any longer. Unless others wait, it
// ends the pops that are under way, and takes what came of them.
func (p *Popper) finish(ctx context.Context) (outcome, error) {
	p.mu.Lock()
	var ending []*stay
	if len(p.callers) == 0 {
		ending = p.recallLocked()
	}
	p.mu.Unlock()
	for _, s := range ending {
		s.await()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if out, ok := p.takeLocked(); ok {
		return out, nil
	}
	return outcome{}, cmp.Or(p.fault, ctx.Err())
}

// Close ends all calls of Next and the pops that are under way, as the end of a
// context does, and returns what nobody has taken: items, and the errors of pops that
// may have taken one. It waits for both. A Popper that is not used any more and not
// closed holds no connections, only items. Calling it again returns nothing.
func (p *Popper) Close() ([]Item, error) {
	p.mu.Lock()
	p.endLocked(ErrPopperClosed)
	ending := p.recallLocked()
	p.mu.Unlock()
	for _, s := range ending {
		s.await()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var left []Item
	var errs []error
	for out, ok := p.takeLocked(); ok; out, ok = p.takeLocked() {
		if out.err == nil {
			left = append(left, out.item)
		} else if fluster.MaybeExecuted(out.err) {
			errs = append(errs, out.err)
		}
	}
	return left, errors.Join(errs...)
}

// endLocked makes err what there is to be told from now on.
func (p *Popper) endLocked(err error) {
	if p.fault == nil {
		p.fault = err
		close(p.ended)
	}
}

// giveLocked gives out to the caller who has waited longest, or to who comes next.
func (p *Popper) giveLocked(out outcome) {
	if len(p.callers) == 0 {
		if out.lane != nil {
			out.lane.holds++
		}
		p.held = append(p.held, out)
		return
	}
	p.callers[0] <- out // which has room for it
	p.callers[0] = nil
	p.callers = p.callers[1:]
	p.lingerLocked()
}

// takeLocked takes what is held longest, if anything is.
func (p *Popper) takeLocked() (outcome, bool) {
	if len(p.held) == 0 {
		return outcome{}, false
	}
	out := p.held[0]
	p.held[0] = outcome{}
	p.held = p.held[1:]
	if out.lane != nil {
		out.lane.holds--
	}
	return out, true
}
