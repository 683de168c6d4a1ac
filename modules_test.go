package fluster_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// modular is a cluster of servers with a module, whose every command answers
// with the node's name.
type modular struct {
	*fluster.FlusterCluster
	nodes []*redistest.Fake
}

// startModular runs n servers that describe their module's commands like that.
func startModular(t *testing.T, n int, described map[string][]byte) *modular {
	redistest.NoLeaks(t)
	m := &modular{}
	var cfg fluster.Config
	cfg.Health = health.Config{Timeout: patient}
	for i := range n {
		fake := redistest.NewFake(t)
		fake.Handle(func(cmd []string) []byte { return answerModule(nodeName(i), described, cmd) })
		m.nodes = append(m.nodes, fake)
		cfg.Nodes = append(cfg.Nodes, fluster.Node{Name: nodeName(i), Addr: fake.Addr(), Pool: fake.Pool(unhurried)})
	}
	m.FlusterCluster = newCluster(t, cfg)
	return m
}

func answerModule(name string, described map[string][]byte, cmd []string) []byte {
	switch {
	case len(cmd) == 3 && strings.EqualFold(cmd[0]+cmd[1], "COMMANDINFO"):
		if entry := described[strings.ToUpper(cmd[2])]; entry != nil {
			return redistest.Array(entry)
		}
		return redistest.Array([]byte("*-1\r\n"))
	case described[strings.ToUpper(cmd[0])] != nil:
		return redistest.Bulk(name)
	}
	return nil
}

// entry is an element of the reply to COMMAND INFO.
func entry(name string, arity, first, last, step int, flags ...string) []byte {
	var words [][]byte
	for _, flag := range flags {
		words = append(words, redistest.Simple(flag))
	}
	return redistest.Array(redistest.Bulk(name), redistest.Int(arity), redistest.Array(words...),
		redistest.Int(first), redistest.Int(last), redistest.Int(step), redistest.Array())
}

// asked returns how often the nodes were asked what a command is.
func (m *modular) asked() (n int) {
	for _, fake := range m.nodes {
		n += fake.Received("COMMAND")
	}
	return n
}

func TestAModulesCommandGoesToItsKeyAndIsAskedAboutOnce(t *testing.T) {
	m := startModular(t, 3, map[string][]byte{"TREE.ADD": entry("tree.add", -3, 1, 1, 1, "write")})
	for _, name := range []string{"a", "b", "c", "b", "a"} {
		for _, cmd := range []string{"TREE.ADD", "tree.add", "Tree.Add"} {
			reply, err := m.Do(t.Context(), cmd, keyOf(t, m.FlusterCluster, name), "leaf")
			require.NoError(t, err)
			assert.Equal(t, []byte(name), reply)
		}
	}
	assert.Equal(t, 1, m.asked())

	_, err := m.Do(t.Context(), "TREE.ADD", "key")
	assert.EqualError(t, err, "ERR wrong number of arguments for 'tree.add' command")
	conn := m.Get()
	defer conn.Close()
	reply, err := conn.Do("TREE.ADD", keyOf(t, m.FlusterCluster, "c"), "leaf")
	require.NoError(t, err)
	assert.Equal(t, []byte("c"), reply)
	assert.Equal(t, 1, m.asked())
}

func TestAModulesCommandWithKeysOfSeveralNodesIsRefused(t *testing.T) {
	m := startModular(t, 2, map[string][]byte{"TREE.MERGE": entry("tree.merge", -3, 1, -1, 1, "write")})
	a, b := keyOf(t, m.FlusterCluster, "a"), keyOf(t, m.FlusterCluster, "b")
	reply, err := m.Do(t.Context(), "TREE.MERGE", a, "{"+a+"}2", a)
	require.NoError(t, err)
	assert.Equal(t, []byte("a"), reply)
	_, err = m.Do(t.Context(), "TREE.MERGE", a, b)
	assert.ErrorIs(t, err, fluster.ErrCrossNode)
	assert.ErrorContains(t, err, "TREE.MERGE")
	assert.Equal(t, 1, m.nodes[0].Executed("TREE.MERGE")+m.nodes[1].Executed("TREE.MERGE"))
}

func TestAModulesCommandWithoutKeysIsRefused(t *testing.T) {
	m := startModular(t, 2, map[string][]byte{
		"TREE.STATS": entry("tree.stats", 1, 0, 0, 0, "readonly"),
		"TREE.ODD":   redistest.Array(redistest.Bulk("tree.odd")),
	})
	for range 3 {
		_, err := m.Do(t.Context(), "TREE.STATS", "key")
		assert.ErrorIs(t, err, fluster.ErrRefused)
		assert.ErrorContains(t, err, "TREE.STATS")
	}
	assert.Equal(t, 1, m.asked())
	_, err := m.Do(t.Context(), "TREE.ODD", "key")
	assert.ErrorContains(t, err, "unexpected description of a command")
	for _, fake := range m.nodes {
		assert.Zero(t, fake.Executed("TREE.STATS")+fake.Executed("TREE.ODD"))
	}
}

func TestACommandThatNoServerKnowsIsRefusedByNameAndRemembered(t *testing.T) {
	m := startModular(t, 3, nil)
	for _, cmd := range []string{"PERSISTT", "persistt", "PERSISTT"} {
		_, err := m.Do(t.Context(), cmd, "key")
		assert.ErrorIs(t, err, fluster.ErrRefused)
		assert.ErrorContains(t, err, `unknown command "`+cmd)
		assert.True(t, fluster.SafeToRetry(err))
	}
	assert.Equal(t, 3, m.asked(), "each node once")
	for _, fake := range m.nodes {
		assert.Zero(t, fake.Executed("PERSISTT"))
	}
}

func TestAnUnknownSubcommandIsAskedOfNobody(t *testing.T) {
	m := startModular(t, 2, nil)
	_, err := m.Do(t.Context(), "CONFIG", "DROP")
	assert.ErrorIs(t, err, fluster.ErrRefused)
	assert.Zero(t, m.asked())
}

func TestWhatCouldNotBeAskedIsAskedAgain(t *testing.T) {
	described := map[string][]byte{"TREE.ADD": entry("tree.add", -2, 1, 1, 1, "write")}
	m := startModular(t, 2, described)
	for _, fake := range m.nodes {
		fake.Handle(func(cmd []string) []byte {
			if strings.EqualFold(cmd[0], "COMMAND") {
				return redistest.Error("ERR busy with something else")
			}
			return nil
		})
	}
	_, err := m.Do(t.Context(), "TREE.ADD", "key")
	assert.EqualError(t, err, "ERR busy with something else")
	for i, fake := range m.nodes {
		fake.Handle(func(cmd []string) []byte { return answerModule(nodeName(i), described, cmd) })
	}
	_, err = m.Do(t.Context(), "TREE.ADD", "key")
	assert.NoError(t, err)
}
