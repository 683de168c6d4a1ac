package fanin_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// fill writes so many keys at their homes, and returns them with their nodes.
func (s *site) fill(t testing.TB, n int) map[string]string {
	keys := map[string]string{}
	for i := range n {
		key := fmt.Sprint("key:", i)
		home, err := s.Locate(key)
		require.NoError(t, err)
		_, err = s.Do(t.Context(), "SET", key, i)
		require.NoError(t, err)
		keys[key] = home.Name
	}
	return keys
}

// collect returns what a scan finds, its last token, and its error.
func collect(seq iter.Seq2[fanin.Found, error]) (found map[string]string, token string, err error) {
	found = map[string]string{}
	for item, e := range seq {
		token, err = item.Token(), e
		if e == nil {
			found[item.Name] = item.Node
		}
	}
	return found, token, err
}

func TestScanFindsEveryKeyOfEveryNode(t *testing.T) {
	s := openSite(t, 3, "")
	keys := s.fill(t, 2000)
	for _, count := range []int{0, 1, 7, 5000} {
		found, _, err := collect(fanin.Scan(t.Context(), s.FlusterCluster, fanin.ScanOptions{Count: count}))
		require.NoError(t, err)
		assert.True(t, maps.Equal(keys, found), "%d of %d keys, each at its node", len(found), len(keys))
	}
}

func TestScanReturnsOnlyWhatMatches(t *testing.T) {
	s := openSite(t, 2, "")
	s.fill(t, 200)
	for i, server := range s.servers {
		server.Do("HSET", fmt.Sprint("key:hash:", i), "f", 1)
		server.Do("HSET", fmt.Sprint("other:hash:", i), "f", 1)
	}
	found, _, err := collect(fanin.Scan(t.Context(), s.FlusterCluster, fanin.ScanOptions{Match: "key:*", Type: "hash"}))
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"key:hash:0": "a", "key:hash:1": "b"}, found)
}

func TestAKeyOnTwoNodesComesFromBothUnlessOnlyHomeIsWanted(t *testing.T) {
	s := openSite(t, 2, "")
	keys := s.fill(t, 50)
	for key := range keys {
		for _, server := range s.servers {
			server.Do("SET", key, "left by an outage")
		}
	}
	var names []string
	for item, err := range fanin.Scan(t.Context(), s.FlusterCluster, fanin.ScanOptions{}) {
		require.NoError(t, err)
		names = append(names, item.Node+" "+item.Name)
	}
	slices.Sort(names)
	assert.Len(t, slices.Compact(names), 2*len(keys))
	found, _, err := collect(fanin.Scan(t.Context(), s.FlusterCluster, fanin.ScanOptions{Home: true}))
	require.NoError(t, err)
	assert.Equal(t, keys, found)
}

func TestElementsAreScannedWhereverTheirPartsStand(t *testing.T) {
	s := openSite(t, 3, "")
	for i, server := range s.servers[:2] {
		server.Do("EVAL", `for i = 1, 1000 do local m = ARGV[1]..i
			redis.call('SADD', 'set', m) redis.call('HSET', 'hash', m, 'v'..i) redis.call('ZADD', 'zset', -i / 8, m) end`, 0, letter(i))
	}
	scans := map[string]func(context.Context, *fluster.FlusterCluster, string, fanin.ScanOptions) iter.Seq2[fanin.Found, error]{
		"set": fanin.SScan, "hash": fanin.HScan, "zset": fanin.ZScan,
	}
	for key, scan := range scans {
		found := map[fanin.Found]bool{}
		for item, err := range scan(t.Context(), s.FlusterCluster, key, fanin.ScanOptions{}) {
			require.NoError(t, err)
			found[fanin.Found{Node: item.Node, Name: item.Name, Value: item.Value, Score: item.Score}] = true
		}
		want := map[fanin.Found]bool{}
		for i := range 2000 {
			item := fanin.Found{Node: letter(i / 1000), Name: fmt.Sprint(letter(i/1000), i%1000+1)}
			switch key {
			case "hash":
				item.Value = fmt.Sprint("v", i%1000+1)
			case "zset":
				item.Score = -float64(i%1000+1) / 8
			}
			want[item] = true
		}
		assert.True(t, maps.Equal(want, found), "%s: %d of %d", key, len(found), len(want))
	}
	some, _, err := collect(fanin.SScan(t.Context(), s.FlusterCluster, "set", fanin.ScanOptions{Match: "a99?"}))
	require.NoError(t, err)
	assert.Len(t, some, 10)
}

// The items that came before the error are what the other nodes have.
func TestANodeThatDiesCostsItsPartOfAScanAndTheTokenBringsItLater(t *testing.T) {
	s := openSite(t, 3, "", "--appendonly", "yes", "--appendfsync", "no")
	keys := s.fill(t, 1500)
	found := map[string]string{}
	var token string
	var lost error
	killed := false
	for item, err := range fanin.Scan(t.Context(), s.FlusterCluster, fanin.ScanOptions{Count: 10}) {
		token, lost = item.Token(), err
		if err != nil {
			continue
		}
		found[item.Name] = item.Node
		if !killed && len(found) > 300 {
			s.servers[1].Kill()
			killed = true
		}
	}
	assert.Equal(t, []string{"b"}, failedAt(t, lost))
	for key, node := range keys {
		if node != "b" {
			require.Contains(t, found, key)
		}
	}
	require.Less(t, len(found), len(keys))

	// It is still down: so the rest cannot be had yet.
	s.waitFor(t, "b", false)
	none, token, err := collect(fanin.Scan(t.Context(), s.FlusterCluster, fanin.ScanOptions{Resume: token}))
	assert.Equal(t, []string{"b"}, failedAt(t, err))
	assert.Empty(t, none)

	// Another process, after the server has restarted, which hashes otherwise.
	s.restart(t, 1)
	rest, _, err := collect(fanin.Scan(t.Context(), s.open(t, ""), fanin.ScanOptions{Resume: token}))
	require.NoError(t, err)
	for key, node := range rest {
		assert.Equal(t, "b", node)
		found[key] = node
	}
	assert.True(t, maps.Equal(keys, found), "%d of %d", len(found), len(keys))
}

func TestAScanIsResumedFromAnyItem(t *testing.T) {
	s := openSite(t, 3, "")
	keys := s.fill(t, 500)
	found := map[string]string{}
	token, scans, pages := "", 0, 0
	for ended := false; !ended; scans++ {
		require.Less(t, scans, len(keys), "it goes on")
		ended = true
		var first string
		for item, err := range fanin.Scan(t.Context(), s.FlusterCluster, fanin.ScanOptions{Count: 20, Resume: token}) {
			require.NoError(t, err)
			found[item.Name] = item.Node
			if token = item.Token(); first == "" {
				first = token
			} else if token != first { // at the beginning of another page
				ended = false
				pages++
				break
			}
		}
	}
	assert.Greater(t, pages, 10)
	assert.True(t, maps.Equal(keys, found), "%d of %d", len(found), len(keys))
}

func TestAResumedScanTakesUpNodesThatWereDown(t *testing.T) {
	s := openSite(t, 3, "", "--appendonly", "yes", "--appendfsync", "no")
	keys := s.fill(t, 300)
	s.kill(t, 2)
	found, token, err := collect(fanin.Scan(t.Context(), s.FlusterCluster, fanin.ScanOptions{}))
	require.NoError(t, err)
	assert.NotContains(t, slices.Collect(maps.Values(found)), "c")
	s.restart(t, 2)
	rest, _, err := collect(fanin.Scan(t.Context(), s.FlusterCluster, fanin.ScanOptions{Resume: token}))
	require.NoError(t, err)
	maps.Copy(found, rest)
	assert.Equal(t, keys, found)
}

func TestATokenOfSomethingElseIsRefused(t *testing.T) {
	s := openSite(t, 1, "")
	s.servers[0].Do("SADD", "set", 1)
	s.servers[0].Do("HSET", "hash", "f", 1)
	_, ofSet, err := collect(fanin.SScan(t.Context(), s.FlusterCluster, "set", fanin.ScanOptions{}))
	require.NoError(t, err)
	for _, token := range []string{ofSet, "scan2.e30", "scan1.!", "scan1.e", "scan1.e30", "nonsense", "scan1." + "W10"} {
		_, _, err := collect(fanin.Scan(t.Context(), s.FlusterCluster, fanin.ScanOptions{Resume: token}))
		require.ErrorIs(t, err, fanin.ErrToken, token)
	}
	_, _, err = collect(fanin.SScan(t.Context(), s.FlusterCluster, "set2", fanin.ScanOptions{Resume: ofSet}))
	require.ErrorIs(t, err, fanin.ErrToken)
	_, _, err = collect(fanin.SScan(t.Context(), s.FlusterCluster, "set", fanin.ScanOptions{Resume: ofSet}))
	require.NoError(t, err)
}

func TestATokenOfANodeThatIsNoMoreIsItsError(t *testing.T) {
	s := openSite(t, 2, "")
	s.fill(t, 100)
	var token string
	for item, err := range fanin.Scan(t.Context(), s.FlusterCluster, fanin.ScanOptions{Count: 1}) {
		require.NoError(t, err)
		token = item.Token()
		break
	}
	s.servers = s.servers[:1]
	_, _, err := collect(fanin.Scan(t.Context(), s.open(t, ""), fanin.ScanOptions{Resume: token}))
	assert.Equal(t, []string{"b"}, failedAt(t, err))
	assert.ErrorContains(t, err, "has no node")
}

func TestAScanReadsOnePageAheadAtMostAndBreaksOffClean(t *testing.T) {
	s := openSite(t, 2, "")
	s.fill(t, 1000)
	before := s.servers[0].Executed("scan")
	n := 0
	for _, err := range fanin.Scan(t.Context(), s.FlusterCluster, fanin.ScanOptions{Count: 10}) {
		require.NoError(t, err)
		if n++; n == 3 {
			break
		}
	}
	// One page was delivered by one of the two; each may have another one ready, and
	// one more after that was taken.
	assert.LessOrEqual(t, s.servers[0].Executed("scan")-before, 3)
	redistest.WaitFor(t, longEnough, func() bool {
		for _, st := range s.Nodes() {
			if st.PoolStats.ActiveCount != st.PoolStats.IdleCount {
				return false
			}
		}
		return true
	}, "all connections to be back")
}

func TestAScanEndsWithItsContext(t *testing.T) {
	s := openSite(t, 2, "&read_timeout=1m")
	s.fill(t, 200)
	ctx, cancel := context.WithCancel(t.Context())
	var last error
	for _, err := range fanin.Scan(ctx, s.FlusterCluster, fanin.ScanOptions{Count: 5}) {
		if last = err; err == nil {
			cancel()
		}
	}
	assert.ErrorIs(t, last, context.Canceled)
	_, _, err := collect(fanin.Scan(ctx, s.FlusterCluster, fanin.ScanOptions{}))
	assert.ErrorIs(t, err, context.Canceled)

	s.servers[1].Stop()
	defer s.servers[1].Cont()
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	found, _, err := collect(fanin.Scan(ctx, s.FlusterCluster, fanin.ScanOptions{}))
	assert.NotEmpty(t, found, "a frozen node does not keep the others'")
	if !errors.Is(err, context.DeadlineExceeded) { // unless it was penalized before
		assert.Equal(t, []string{"b"}, failedAt(t, err))
	}
}

func TestAScanOfNoNodesSaysSo(t *testing.T) {
	s := openSite(t, 2, "")
	s.fill(t, 10)
	var token string
	for item, err := range fanin.Scan(t.Context(), s.FlusterCluster, fanin.ScanOptions{Count: 1}) {
		require.NoError(t, err)
		token = item.Token()
	}
	s.kill(t, 0)
	s.kill(t, 1)
	found, again, err := collect(fanin.Scan(t.Context(), s.FlusterCluster, fanin.ScanOptions{Resume: token}))
	assert.ErrorIs(t, err, fluster.ErrClusterEmpty)
	assert.Empty(t, found)
	assert.Equal(t, token, again, "nothing is lost of it")
	require.NoError(t, s.Close())
	_, _, err = collect(fanin.Scan(t.Context(), s.FlusterCluster, fanin.ScanOptions{}))
	assert.ErrorIs(t, err, fluster.ErrClosed)
}

func TestAnErrorReplyIsANodesError(t *testing.T) {
	s := openSite(t, 2, "")
	s.servers[0].Do("SET", "set", "no set")
	s.servers[1].Do("SADD", "set", 1)
	found, _, err := collect(fanin.SScan(t.Context(), s.FlusterCluster, "set", fanin.ScanOptions{}))
	assert.Equal(t, map[string]string{"1": "b"}, found)
	assert.Equal(t, []string{"a"}, failedAt(t, err))
	assert.ErrorContains(t, err, "WRONGTYPE")
}

// With several servers behind one address, each page may be of another one.
func TestAScanOfSeveralServersBehindOneAddressEnds(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	var pages atomic.Int64
	f.Handle(func(cmd []string) []byte {
		switch cmd[0] {
		case "INFO":
			return redistest.Bulk(fmt.Sprintf("run_id:%d\r\n", pages.Add(1)))
		case "SCAN":
			return redistest.Array(redistest.Bulk("5"), redistest.Array(redistest.Bulk("key")))
		}
		return redistest.Simple("PONG")
	})
	c, err := fluster.New(fluster.Config{Nodes: []fluster.Node{{Name: "a", Pool: f.Pool(redistest.PoolOptions{})}}})
	require.NoError(t, err)
	defer c.Close()
	_, token, err := collect(fanin.Scan(t.Context(), c, fanin.ScanOptions{}))
	assert.Equal(t, []string{"a"}, failedAt(t, err))
	assert.ErrorContains(t, err, "another server")
	assert.NotEmpty(t, token)
}
