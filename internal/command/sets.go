package command

import (
	"cmp"
	"math"
	"slices"
)

// member is one of a set's; of a plain set, its score is 1.
type member struct {
	name  string
	score float64
}

// source is one set.
type source struct {
	members []member
	weight  float64
}

// combine combines the sources. Like the server it begins with the smallest,
// since sums of floats depend on the order; a difference does not.
func (op operation) combine(sources []source, aggregate func(a, b float64) float64) []member {
	if len(sources) == 0 {
		return nil
	}
	if op == difference {
		return subtract(sources)
	}
	sources = slices.Clone(sources)
	slices.SortStableFunc(sources, func(a, b source) int { return cmp.Compare(len(a.members), len(b.members)) })
	if op == union {
		return unite(sources, aggregate)
	}
	return intersect(sources, aggregate)
}

func unite(sources []source, aggregate func(a, b float64) float64) []member {
	var result []member
	at := make(map[string]int)
	for _, s := range sources {
		for _, m := range s.members {
			score := number(m.score * s.weight)
			if k, ok := at[m.name]; ok {
				result[k].score = aggregate(result[k].score, score)
				continue
			}
			at[m.name] = len(result)
			result = append(result, member{m.name, score})
		}
	}
	return result
}

func intersect(sources []source, aggregate func(a, b float64) float64) []member {
	result := make([]member, 0, len(sources[0].members))
	for _, m := range sources[0].members {
		result = append(result, member{m.name, number(m.score * sources[0].weight)})
	}
	for _, s := range sources[1:] {
		scores := s.scores()
		result = slices.DeleteFunc(result, func(m member) bool {
			_, in := scores[m.name]
			return !in
		})
		for k, m := range result {
			result[k].score = aggregate(m.score, scores[m.name]*s.weight)
		}
	}
	return result
}

func subtract(sources []source) []member {
	result := slices.Clone(sources[0].members)
	for _, s := range sources[1:] {
		scores := s.scores()
		result = slices.DeleteFunc(result, func(m member) bool {
			_, in := scores[m.name]
			return in
		})
	}
	return result
}

func (s source) scores() map[string]float64 {
	scores := make(map[string]float64, len(s.members))
	for _, m := range s.members {
		scores[m.name] = m.score
	}
	return scores
}

// The aggregates do as the server does where a side is not a number, which an
// infinite score times a weight of 0 is: a sum is 0 then, and the others keep
// what they had.

func sum(a, b float64) float64 { return number(a + b) }

func least(a, b float64) float64 {
	if b < a {
		return b
	}
	return a
}

func greatest(a, b float64) float64 {
	if b > a {
		return b
	}
	return a
}

// number is 0 for what is not one.
func number(f float64) float64 {
	if math.IsNaN(f) {
		return 0
	}
	return f
}
