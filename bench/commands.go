package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/redisfluster/fluster/bench/internal/contest"
	"github.com/redisfluster/fluster/bench/internal/report"
)

// servers is how many redis-servers the commands are spread over.
const servers = 3

// openClients opens a client of every kind, or none.
func openClients(addrs []string, maxIdle int) ([]client, error) {
	var clients []client
	for _, k := range kinds {
		c, err := k.open(addrs, maxIdle)
		if err != nil {
			closeClients(clients)
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
		clients = append(clients, c)
	}
	return clients, nil
}

func closeClients(clients []client) {
	for _, c := range clients {
		c.Close()
	}
}

// compareCommands measures GET at each number of goroutines.
func compareCommands(ctx context.Context, s settings, addrs []string, progress progress) ([]*report.Table, error) {
	keys := randomKeys(s.commandKeys)
	progress.say("fill %d servers", len(addrs))
	if err := fill(ctx, addrs, keys); err != nil {
		return nil, err
	}
	clients, err := openClients(addrs, slices.Max(s.goroutines))
	if err != nil {
		return nil, err
	}
	defer closeClients(clients)

	byClient, byCheck := newCommandTable(s, len(keys)), newStaleTable()
	for _, callers := range s.goroutines {
		progress.say("GET, %d goroutines", callers)
		results, err := getWith(ctx, clients, keys, callers, s)
		if err != nil {
			return nil, fmt.Errorf("%d goroutines: %w", callers, err)
		}
		addCommandRows(byClient, callers, results)
		addStaleRow(byCheck, callers, results)
	}
	return []*report.Table{byClient, byCheck}, nil
}

// getWith lets the clients take turns under a load of so many callers.
func getWith(ctx context.Context, clients []client, keys []string, callers int, s settings) ([][]sample, error) {
	var entrants []entrant
	for i, c := range clients {
		l := &load{name: kinds[i].name, client: c, keys: keys, callers: callers, length: s.slice}
		entrants = append(entrants, entrant{Name: l.name, Measure: l.run})
	}
	return contest.Run(ctx, s.rounds, entrants)
}

func newCommandTable(s settings, keys int) *report.Table {
	return &report.Table{
		Title: "GET through the pool",
		Header: []string{
			"client", "goroutines", "ops/s", "× plain, ops/s", "client CPU µs/op", "× plain, CPU", "allocs/op",
		},
		Remark: fmt.Sprintf("%d servers on this machine, %d keys, values of %d bytes, %d rounds of %v for each client. "+
			"Of ops/s larger is faster, of CPU smaller is cheaper.", servers, keys, valueSize, s.rounds, s.slice),
	}
}

func addCommandRows(table *report.Table, callers int, results [][]sample) {
	base := results[plain]
	for i, samples := range results {
		table.Add(kinds[i].name, fmt.Sprint(callers),
			report.Figure(median(rates(samples))), report.Ratio(ratio(rates(samples), rates(base))),
			report.Figure(median(cpus(samples))/1000), report.Ratio(ratio(cpus(samples), cpus(base))),
			report.Count(median(allocs(samples))))
	}
}

func newStaleTable() *report.Table {
	return &report.Table{
		Title:  "The stale check's share",
		Header: []string{"goroutines", "ParseNode ÷ user-built, ops/s", "ParseNode ÷ user-built, CPU"},
		Remark: "The same rounds as above. ParseNode's pools look at the socket of an idle connection before they lend it; " +
			"user-built pools cannot. They also count bytes and follow the replies.",
	}
}

func addStaleRow(table *report.Table, callers int, results [][]sample) {
	with, without := results[parsedPools], results[userPools]
	table.Add(fmt.Sprint(callers),
		report.Ratio(ratio(rates(with), rates(without))), report.Ratio(ratio(cpus(with), cpus(without))))
}
