package ring

import "strings"

// HashTag returns the part of key that decides where it goes, by the rule of
// the Redis Cluster specification ("Hash tags"): the bytes between the first
// "{" and the first "}" after it, if there is at least one, and else the whole
// key. So "{user:42}:cart" and "{user:42}:name" go to one node.
//
// Only the first "{" counts: "{}{a}" has no tag, and the tag of "{{a}}" is
// "{a". HashTag works on bytes, in any encoding, and does not allocate.
func HashTag(key string) string {
	if open := strings.IndexByte(key, '{'); open >= 0 {
		return tagAfter(key, open)
	}
	return key
}

// tagAfter is HashTag for a key whose first "{" stands at open.
func tagAfter(key string, open int) string {
	tail := key[open+1:]
	if end := strings.IndexByte(tail, '}'); end > 0 {
		return tail[:end]
	}
	return key
}
