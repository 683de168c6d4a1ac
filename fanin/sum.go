package fanin

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/fluster"
)

// ErrOverflow is for a sum that its type cannot hold.
var ErrOverflow = errors.New("fanin: the sum is out of range")

// Sum adds up a counter over all live nodes: what INCR and its like left on several
// of them, because the key's home was down for a while. A node that has no such key
// adds nothing.
//
// An int64 is exact, and wants whole numbers. A float64 is the one that is nearest to
// the exact sum of the decimal numbers that stand on the nodes, whole ones and
// others. A sum that does not fit is ErrOverflow.
//
// What a node that is down holds is not in the sum. If one fails under way, or holds
// something that is no number, the sum is that of the others, and the error a
// NodesError. When no node lives it is ErrClusterEmpty. Sum returns soon after ctx
// ends.
func Sum[N int64 | float64](ctx context.Context, c *fluster.FlusterCluster, key string) (N, error) {
	sums, err := Sums[N](ctx, c, key)
	return sums[key], err
}

// Sums is Sum for several counters, with one round trip to each node for a thousand
// of them. The map has every key whose sum there is; one that stands nowhere is zero.
func Sums[N int64 | float64](ctx context.Context, c *fluster.FlusterCluster, keys ...string) (map[string]N, error) {
	parse := parseInteger
	if _, fractions := any(N(0)).(float64); fractions {
		parse = parseDecimal
	}
	keys = distinct(keys)
	parts, err := gather(ctx, c, func(ctx context.Context, conn redis.Conn) ([]*big.Rat, error) {
		return readCounters(ctx, conn, keys, parse)
	})
	if parts == nil {
		return nil, err
	}
	sums := make(map[string]N, len(keys))
	errs := []error{err}
	for i, key := range keys {
		total := new(big.Rat)
		for _, p := range parts {
			if i < len(p) && p[i] != nil {
				total.Add(total, p[i])
			}
		}
		if n, fits := as[N](total); fits {
			sums[key] = n
		} else {
			errs = append(errs, fmt.Errorf("%w: key %.40q", ErrOverflow, key))
		}
	}
	if len(errs) == 1 {
		return sums, err
	}
	return sums, errors.Join(errs...)
}

// distinct returns keys, each once.
func distinct(keys []string) []string {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	return slices.Compact(keys)
}

// readCounters reads one node's part of each counter; nil is for what it does not
// have, or what is no number, which the error tells. MGET would hide a key of
// another type.
func readCounters(ctx context.Context, conn redis.Conn, keys []string, parse func(string) (*big.Rat, error)) ([]*big.Rat, error) {
	parts := make([]*big.Rat, 0, len(keys))
	var wrong []error
	for some := range slices.Chunk(keys, 1000) {
		for _, key := range some {
			if err := conn.Send("GET", key); err != nil {
				return parts, err
			}
		}
		replies, err := redis.Values(redis.DoContext(conn, ctx, ""))
		if err != nil {
			return parts, err
		}
		for i, reply := range replies {
			part, err := readCounter(reply, parse)
			if err != nil {
				wrong = append(wrong, fmt.Errorf("key %.40q: %w", some[i], err))
			}
			parts = append(parts, part)
		}
	}
	return parts, errors.Join(wrong...)
}

// readCounter reads one reply to GET; nil is for none.
func readCounter(reply any, parse func(string) (*big.Rat, error)) (*big.Rat, error) {
	var wrong error
	if err, ok := reply.(redis.Error); ok {
		wrong = err
	}
	text, err := redis.String(reply, wrong)
	switch {
	case errors.Is(err, redis.ErrNil):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return parse(text)
}

func parseInteger(text string) (*big.Rat, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%.40q is not an integer of 64 bits", text)
	}
	return new(big.Rat).SetInt64(n), nil
}

// longestNumber is as much text as Redis writes for a number, and more.
const longestNumber = 5 << 10

// parseDecimal reads a decimal number exactly. What is no float64, or so small that
// it is zero as one, is not looked at digit by digit: its exponent may be huge.
func parseDecimal(text string) (*big.Rat, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || len(text) > longestNumber {
		return nil, fmt.Errorf("%.40q is not a number, or too large", text)
	}
	if f == 0 {
		return new(big.Rat), nil
	}
	exact, ok := new(big.Rat).SetString(text)
	if !ok { // a form that only floats have
		exact = new(big.Rat).SetFloat64(f)
	}
	return exact, nil
}

// as returns the sum as a number of type N, and whether it fits.
func as[N int64 | float64](sum *big.Rat) (n N, fits bool) {
	switch p := any(&n).(type) {
	case *int64:
		*p, fits = sum.Num().Int64(), sum.Num().IsInt64() && sum.IsInt()
	case *float64:
		*p, _ = sum.Float64()
		fits = !math.IsInf(*p, 0)
	}
	return n, fits
}
