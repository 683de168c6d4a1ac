package main

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// conditionOf returns the one that is called id.
func conditionOf(id string) condition {
	return conditions[slices.IndexFunc(conditions, func(c condition) bool { return c.id == id })]
}

func conditionSettings() settings {
	return settings{conditionGoroutines: []int{8, 64, 512}, rounds: 7, slice: time.Second, commandKeys: 1000}
}

func TestLargeValuesGoToFewCallers(t *testing.T) {
	groups := conditionSteps(conditionSettings(), conditionOf("large"))
	require.Len(t, groups, 2)
	for _, steps := range groups {
		require.Len(t, steps, 2)
		assert.Equal(t, 64, steps[1].callers)
		assert.Equal(t, 64, steps[1].keys, "no server holds more than it should")
		assert.Equal(t, 7, steps[1].rounds)
	}
}

func TestOverTLSThereIsNoProxy(t *testing.T) {
	for _, steps := range conditionSteps(conditionSettings(), conditionOf("tls")) {
		for _, st := range steps {
			assert.NotEmpty(t, st.kinds)
			assert.NotContains(t, kindIDs(st.kinds), proxyID)
		}
	}
}

func kindIDs(clients []kind) []string {
	var ids []string
	for _, k := range clients {
		ids = append(ids, k.id)
	}
	return ids
}

func TestTurnsOnBusyProcessorsAreLonger(t *testing.T) {
	steps := conditionSteps(conditionSettings(), conditionOf("busy"))[0]
	assert.Greater(t, steps[0].slice, time.Second)
	assert.Equal(t, underConditions, steps[0].part)
}

func TestConditionsCanBeChosen(t *testing.T) {
	s := conditionSettings()
	s.conditions = []string{"tls"}
	assert.Empty(t, conditionSteps(s, conditionOf("busy")))
	assert.Len(t, conditionSteps(s, conditionOf("tls")), 2)
	s.operations = []string{"get-16k"}
	assert.Len(t, conditionSteps(s, conditionOf("tls")), 1)
	s.clients = []string{proxyID}
	assert.Empty(t, conditionSteps(s, conditionOf("tls")), "nobody is left who could GET")
}

func TestLargeValuesAreNoneOfTheCommands(t *testing.T) {
	s := settings{operations: []string{"get-1m", "set-64"}, goroutines: []int{1}, commandKeys: 1}
	require.Len(t, commandSteps(s), 1)
}
