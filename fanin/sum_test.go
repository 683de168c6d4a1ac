package fanin_test

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redisfluster/fluster/fanin"
)

func TestACounterIsSummedOverAFailover(t *testing.T) {
	s := openSite(t, 3, "", "--appendonly", "yes", "--appendfsync", "no")
	moved, stays := s.at(t, "moved:", "b"), s.at(t, "stays:", "a")
	count := func() {
		for _, key := range []string{moved, stays} {
			_, err := s.Do(t.Context(), "INCR", key)
			require.NoError(t, err)
		}
	}
	count()
	s.kill(t, 1)
	count()
	s.restart(t, 1)
	count()
	assert.Equal(t, []byte("2"), s.servers[1].Do("GET", moved), "at home, before and after")
	sums, err := fanin.Sums[int64](t.Context(), s.FlusterCluster, moved, stays, "nowhere")
	require.NoError(t, err)
	assert.Equal(t, map[string]int64{moved: 3, stays: 3, "nowhere": 0}, sums)
}

func TestSums(t *testing.T) {
	s := openSite(t, 3, "")
	for name, tc := range map[string]struct {
		parts  []string
		whole  int64
		number float64
		wrong  string // an error of both
		mixed  bool   // an error of the whole one only
	}{
		"nothing":                      {},
		"one part":                     {parts: []string{"7"}, whole: 7, number: 7},
		"negative":                     {parts: []string{"7", "-10"}, whole: -3, number: -3},
		"large and exact":              {parts: []string{"9007199254740993", "1", "1"}, whole: 9007199254740995, number: 9007199254740996},
		"the largest":                  {parts: []string{"9223372036854775807", "1", "-1"}, whole: math.MaxInt64, number: math.MaxInt64},
		"floats":                       {parts: []string{"0.1", "0.2"}, number: 0.3, whole: 0, mixed: true},
		"a mixture":                    {parts: []string{"0.5", "2", "-1"}, number: 1.5, whole: 1, mixed: true},
		"float and its contrary":       {parts: []string{"1e300", "1", "-1e300"}, number: 1, whole: 1, mixed: true},
		"tiny":                         {parts: []string{"5e-324", "1e-99999999999", "0x1p-1074"}, number: 1e-323, mixed: true},
		"not a number":                 {parts: []string{"many", "3"}, whole: 3, number: 3, wrong: "many"},
		"infinite":                     {parts: []string{"inf", "3"}, whole: 3, number: 3, wrong: "inf"},
		"no number at all":             {parts: []string{"nan", "3"}, whole: 3, number: 3, wrong: "nan"},
		"too large for floats as well": {parts: []string{"1e999", "3"}, whole: 3, number: 3, wrong: "1e999"},
		"a fraction":                   {parts: []string{"1/3", "3"}, whole: 3, number: 3, wrong: "1/3"},
	} {
		t.Run(name, func(t *testing.T) {
			for i, server := range s.servers {
				server.Do("DEL", "n")
				if i < len(tc.parts) {
					server.Do("SET", "n", tc.parts[i])
				}
			}
			number, err := fanin.Sum[float64](t.Context(), s.FlusterCluster, "n")
			assert.Equal(t, tc.number, number)
			if tc.wrong == "" {
				require.NoError(t, err)
			} else {
				require.Equal(t, []string{"a"}, failedAt(t, err))
				assert.ErrorContains(t, err, tc.wrong)
			}
			whole, err := fanin.Sum[int64](t.Context(), s.FlusterCluster, "n")
			assert.Equal(t, tc.whole, whole)
			assert.Equal(t, tc.mixed || tc.wrong != "", err != nil, "%v", err)
		})
	}
}

func TestASumThatDoesNotFitIsAnError(t *testing.T) {
	s := openSite(t, 2, "")
	for _, server := range s.servers {
		server.Do("SET", "whole", math.MaxInt64/2+1)
		server.Do("SET", "number", "1e308")
		server.Do("SET", "fits", 1)
	}
	sums, err := fanin.Sums[int64](t.Context(), s.FlusterCluster, "whole", "fits")
	assert.ErrorIs(t, err, fanin.ErrOverflow)
	assert.ErrorContains(t, err, "whole")
	assert.Equal(t, map[string]int64{"fits": 2}, sums)
	_, err = fanin.Sum[float64](t.Context(), s.FlusterCluster, "number")
	assert.ErrorIs(t, err, fanin.ErrOverflow)
}

func TestManyCountersAreSummedInFewRoundTrips(t *testing.T) {
	s := openSite(t, 2, "")
	var keys []string
	want := map[string]int64{}
	for i := range 2500 {
		keys = append(keys, fmt.Sprint("n:", i), fmt.Sprint("n:", i))
		want[fmt.Sprint("n:", i)] = int64(3 * i)
	}
	for i, server := range s.servers {
		server.Do("EVAL", "for i = 0, 2499 do redis.call('SET', 'n:'..i, i * ARGV[1]) end", 0, i+1)
	}
	sums, err := fanin.Sums[int64](t.Context(), s.FlusterCluster, keys...)
	require.NoError(t, err)
	assert.Equal(t, want, sums)
}

// The sum of all parts is what one server holds that was sent all increments.
func TestSumsAreThoseOfOneServer(t *testing.T) {
	s := openSite(t, 4, "")
	one := s.servers[3] // whose own part is deleted before the read
	rapid.Check(t, func(rt *rapid.T) {
		for _, server := range s.servers {
			server.Do("FLUSHALL")
		}
		exact := new(big.Rat)
		for range rapid.IntRange(0, 20).Draw(rt, "increments") {
			by := rapid.Int64Range(-1e14, 1e14).Draw(rt, "by")
			at := s.servers[rapid.IntRange(0, 2).Draw(rt, "node")]
			at.Do("INCRBY", "n", by)
			one.Do("INCRBY", "n", by)
			// In steps of 1/1024, of which long doubles and floats lose nothing.
			text := strconv.FormatFloat(float64(by%1e9)/1024, 'f', -1, 64)
			at.Do("INCRBYFLOAT", "f", text)
			r, _ := new(big.Rat).SetString(text)
			exact.Add(exact, r)
		}
		want := one.Do("EVAL", "return tonumber(redis.call('GETDEL', 'n') or 0)", 0)
		sum, err := fanin.Sum[int64](t.Context(), s.FlusterCluster, "n")
		require.NoError(rt, err)
		require.Equal(rt, want, sum)
		number, err := fanin.Sum[float64](t.Context(), s.FlusterCluster, "f")
		require.NoError(rt, err)
		nearest, _ := exact.Float64()
		require.Equal(rt, nearest, number)
	})
}
