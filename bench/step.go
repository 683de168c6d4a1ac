package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redisfluster/fluster/bench/internal/contest"
	"github.com/redisfluster/fluster/bench/internal/redisserver"
)

// aside is about what a turn takes beside its slice: collecting garbage,
// starting callers, asking servers for their processor time.
const aside = 20 * time.Millisecond

// step is one operation at one load: the clients take turns at it.
type step struct {
	part    string // of the run
	op      operation
	callers int
	nodes   int
	keys    int // that are on the servers
	rounds  int
	slice   time.Duration
	kinds   []kind // that take part, if they can

	condition condition
}

// under returns the step under a condition, which is measured as often as main
// operations are.
func (st step) under(c condition, rounds int) step {
	st.part, st.condition, st.rounds = underConditions, c, rounds
	st.slice *= time.Duration(c.stretch)
	return st
}

// title is that of the operation, with the condition.
func (st step) title() string { return st.op.title + st.condition.text }

// length is that of one turn: longer where callers are so many that each would
// hardly get to its first call.
func (st step) length() time.Duration { return st.slice + st.slice*time.Duration(st.callers)/2048 }

// estimate is how long the step should take: each turn ends with the replies to
// what all callers have asked for.
func (st step) estimate() time.Duration {
	return st.opening() + st.turns()
}

// opening is how long it should take to dial the connections of redigo's pools, a
// third of the clients.
func (st step) opening() time.Duration {
	dial := 100 * time.Microsecond
	if st.condition.tls {
		dial = time.Millisecond
	}
	return time.Duration(st.nodes*target{callers: st.callers}.idle()*len(st.kinds)) * dial / 3
}

func (st step) turns() time.Duration {
	const perCall, perKey, perByte = 20 * time.Microsecond, 2 * time.Microsecond, time.Nanosecond
	last := time.Duration(st.callers) * (perCall + time.Duration(st.op.keys)*perKey + time.Duration(st.op.size)*perByte)
	return time.Duration(len(st.kinds)*(st.rounds+1)) * (st.length() + last + aside)
}

func (st step) String() string {
	return fmt.Sprintf("%s; %d goroutines, %d nodes, %d keys", st.title(), st.callers, st.nodes, st.keys)
}

// outcome is what a step came to.
type outcome struct {
	step
	clients []kind     // that took part
	samples [][]sample // by client and round
}

// of returns the samples of a client, or nil if it took no part.
func (o outcome) of(id string) []sample {
	i := slices.IndexFunc(o.clients, func(k kind) bool { return k.id == id })
	if i < 0 {
		return nil
	}
	return o.samples[i]
}

// rig are servers, with a proxy before them where there is one.
type rig struct {
	addrs   []string
	proxy   string
	servers []*redisserver.Server // the proxy too, at the end
	cert    *redisserver.Certificate
}

// startRig starts n servers, which speak TLS or not. The caller closes them.
func startRig(ctx context.Context, n int, overTLS bool) (*rig, error) {
	r := new(rig)
	err := r.start(ctx, n, overTLS)
	if err == nil && !overTLS && proxyInstalled() {
		err = r.startProxy(ctx)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *rig) start(ctx context.Context, n int, overTLS bool) (err error) {
	if overTLS {
		if r.cert, err = redisserver.NewCertificate(); err != nil {
			return err
		}
	}
	if r.servers, err = redisserver.StartTLS(ctx, n, r.cert); err != nil {
		return err
	}
	for _, s := range r.servers {
		r.addrs = append(r.addrs, s.Addr())
	}
	return nil
}

func (r *rig) startProxy(ctx context.Context) error {
	proxy, err := redisserver.StartProxy(ctx, r.addrs)
	if err != nil {
		return err
	}
	r.proxy, r.servers = proxy.Addr(), append(r.servers, proxy)
	return nil
}

// nodes returns the servers without the proxy.
func (r *rig) nodes() []*redisserver.Server { return r.servers[:len(r.addrs)] }

func (r *rig) close() {
	redisserver.CloseAll(r.servers)
	if r.cert != nil {
		r.cert.Close()
	}
}

func proxyInstalled() bool {
	_, err := redisserver.FindProxy()
	return err == nil
}

// run opens the clients, lets them take turns, and closes them. Keys are those
// that the servers were filled with.
func (r *rig) run(ctx context.Context, st step, keys []string) (outcome, error) {
	o := outcome{step: st}
	var entrants []entrant
	crew, value := newCrew(st.op, st.callers), make([]byte, st.op.size)
	for _, k := range st.kinds {
		c, err := k.open(target{r.addrs, r.proxy, r.cert, st.callers})
		if err != nil {
			return o, fmt.Errorf("%s: %w", k.name, err)
		}
		if c == nil {
			continue
		}
		defer c.Close()
		do := st.op.of(c)
		if do == nil {
			continue
		}
		l := &load{k.name, do, keys[:st.keys], value, crew, st.condition.busy, st.length(), r.servers}
		o.clients, entrants = append(o.clients, k), append(entrants, entrant{Name: k.name, Measure: l.run})
	}
	var err error
	if o.samples, err = contest.Run(ctx, st.rounds, entrants); err != nil {
		return o, fmt.Errorf("%v: %w", st, err)
	}
	return o, nil
}
