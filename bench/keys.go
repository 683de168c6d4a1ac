package main

import "math/rand/v2"

// Keys are of random letters and digits, in no order.
const (
	minKey   = 16
	maxKey   = 40
	alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
)

// randomKeys returns n keys, the same ones in every run.
func randomKeys(n int) []string {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	keys := make([]string, n)
	for i := range keys {
		key := make([]byte, minKey+random.IntN(maxKey-minKey+1))
		for j := range key {
			key[j] = alphabet[random.IntN(len(alphabet))]
		}
		keys[i] = string(key)
	}
	return keys
}
