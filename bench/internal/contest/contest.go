// Package contest lets several entrants take turns, so that whatever else the
// machine does meanwhile falls on all of them alike.
package contest

import (
	"context"
	"fmt"
)

// Entrant is one of those that are compared.
type Entrant[T any] struct {
	Name string
	// Measure runs the entrant for one slice and returns what was measured. It
	// should end early with an error when ctx ends.
	Measure func(ctx context.Context) (T, error)
}

// Run lets every entrant measure once for practice, which counts for nothing,
// and then once in each round. It returns the measurements by entrant, in the
// order given, and round. It ends with the first error, and when ctx ends.
//
// The order changes from round to round. It rotates, so that each entrant is at
// each place equally often, and every other round runs backwards, so that none
// always follows the same one. With n entrants it comes out even after 2n rounds.
func Run[T any](ctx context.Context, rounds int, entrants []Entrant[T]) ([][]T, error) {
	for _, e := range entrants {
		if _, err := measure(ctx, e); err != nil {
			return nil, err
		}
	}
	results := make([][]T, len(entrants))
	for round := range rounds {
		for _, i := range order(round, len(entrants)) {
			m, err := measure(ctx, entrants[i])
			if err != nil {
				return nil, err
			}
			results[i] = append(results[i], m)
		}
	}
	return results, nil
}

func measure[T any](ctx context.Context, e Entrant[T]) (T, error) {
	m, err := e.Measure(ctx)
	if err == nil {
		err = context.Cause(ctx) // a slice that was cut short is no measurement
	}
	if err != nil {
		return m, fmt.Errorf("%s: %w", e.Name, err)
	}
	return m, nil
}

// order returns who goes after whom in a round of n.
func order(round, n int) []int {
	turns := make([]int, n)
	for place := range turns {
		i := (place + round/2) % n
		if round%2 == 1 {
			place = n - 1 - place
		}
		turns[place] = i
	}
	return turns
}
