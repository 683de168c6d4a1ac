package main

import "math/rand/v2"

// Keys are of random letters and digits, in no order.
const (
	minKey   = 16
	maxKey   = 40
	alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
)

// randomKeys returns n keys, the same ones in every run. They lie side by side in
// memory, in their order.
func randomKeys(n int) []string {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	var text []byte
	ends := make([]int, n)
	for i := range ends {
		for range minKey + random.IntN(maxKey-minKey+1) {
			text = append(text, alphabet[random.IntN(len(alphabet))])
		}
		ends[i] = len(text)
	}
	return cut(string(text), ends)
}

// cut returns the pieces of text that end at ends.
func cut(text string, ends []int) []string {
	pieces, begin := make([]string, len(ends)), 0
	for i, end := range ends {
		pieces[i], begin = text[begin:end], end
	}
	return pieces
}
