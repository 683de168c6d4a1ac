package compat

import (
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The digests are the published ones, as PHP writes them.
func TestPHPsHashesHaveTheirDigests(t *testing.T) {
	const fox = "The quick brown fox jumps over the lazy dog"
	tested := map[string]bool{}
	for _, tt := range []struct{ name, text, digest string }{
		{"md5", fox, "9e107d9d372bb6826bd81d3542a419d6"},
		{"sha1", fox, "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"},
		{"sha224", "", "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f"},
		{"sha256", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"sha384", "", "38b060a751ac96384cd9327eb1b1e36a21fdb71114be0743"},
		{"sha512", "", "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc"},
		{"sha512/224", "", "6ed0dd02806fa89e25de060c19d3ac86cabb87d6a0ddd05c333b84f4"},
		{"sha512/256", "", "c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f97374"},
		{"sha3-224", "", "6b4e03423667dbb73b6e15454f0eb1abd4597f9a1b078e3f5b5a6bc7"},
		{"sha3-256", "", "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"},
		{"sha3-384", "", "0c63a75b845e4f7d01107d852e4c2485c51a50aaaa94fc61"},
		{"sha3-512", "", "a69f73cca23a9ac5c8b567dc185a756e97c982164fe25859"},
		{"crc32", "123456789", "181989fc"},
		{"crc32b", "123456789", "cbf43926"},
		{"crc32c", "123456789", "e3069283"},
		{"adler32", "123456789", "091e01de"},
		{"fnv132", "foobar", "31f0b262"},
		{"fnv1a32", "foobar", "bf9cf968"},
		{"fnv164", "foobar", "340d8765a4dda9c2"},
		{"fnv1a64", "foobar", "85944171f73967e8"},
		{"joaat", fox, "519e91f5"},
		{"murmur3a", fox, "2e4ff723"},
		{"murmur3f", fox, "e34bbc7bbc071b6c7a433ca9c49a9347"},
		{"xxh64", "", "ef46db3751d8e999"},
	} {
		digest, err := hex.DecodeString(tt.digest)
		require.NoError(t, err)
		want := binary.LittleEndian.Uint64(append(digest, make([]byte, 8)...))
		if len(digest) == 4 {
			want = uint64(binary.LittleEndian.Uint32(digest))
		}
		assert.Equal(t, want, phpHashes[tt.name](tt.text), tt.name)
		tested[tt.name] = true
	}
	for name := range phpHashes {
		assert.True(t, tested[name], "%s is not tested", name)
	}
}

func TestPHPRoundsTo15DigitsFirst(t *testing.T) {
	for x, want := range map[float64]int{
		0: 0, 0.4: 0, 0.5: 1, 0.49999999999999994: 1, 0.4999999999999999: 0,
		1.4999999999999998: 2, 1.49: 1, 2.5: 3, 127.99999999999999: 128, 12.499999999999998: 13, 1000: 1000,
		8388607.499999999: 8388608, 8388607.49999: 8388607,
	} {
		assert.Equal(t, want, phpRound(x), "%v", x)
	}
}
