package redisserver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProcessorTimeIsReadFromINFO(t *testing.T) {
	d, err := parseCPU("# CPU\r\nused_cpu_sys:1.250000\r\nused_cpu_user:0.000750\r\nused_cpu_sys_children:9.0\r\n")
	require.NoError(t, err)
	assert.Equal(t, 1250750*time.Microsecond, d)
}

func TestINFOWithoutProcessorTimeIsRefused(t *testing.T) {
	for _, info := range []string{"", "used_cpu_sys:1.0\r\n", "used_cpu_sys:1.0\r\nused_cpu_user:much\r\n"} {
		_, err := parseCPU(info)
		assert.Error(t, err, "%q", info)
	}
}

func TestProcessorTimeIsReadFromStat(t *testing.T) {
	d, err := parseStat("42 (a) b) S 1 1 1 0 -1 4194304 118 0 0 0 31 12 0 0 20 0 1 0 756385")
	require.NoError(t, err)
	assert.Equal(t, 430*time.Millisecond, d)
}

func TestStatThatIsCutShortIsRefused(t *testing.T) {
	for _, line := range []string{"", "42 (a) S 1 1", "42 (a) S 1 1 1 0 -1 4194304 118 0 0 0 x 12 0 0"} {
		_, err := parseStat(line)
		assert.Error(t, err, "%q", line)
	}
}

func TestAProxyServesTheServersOfItsConfiguration(t *testing.T) {
	assert.Equal(t, `bench:
  listen: 127.0.0.1:1
  hash: fnv1a_64
  distribution: ketama
  redis: true
  servers:
   - 127.0.0.1:2:1
   - 127.0.0.1:3:1
`, proxyConf("127.0.0.1:1", []string{"127.0.0.1:2", "127.0.0.1:3"}))
}
