package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
)

// compared are the modules whose versions matter to the figures.
var compared = []string{"github.com/gomodule/redigo", "github.com/redis/go-redis/v9", "github.com/redis/rueidis"}

// leftOut says which of the clients that were wanted could not be compared.
func leftOut(s settings) []string {
	if proxyInstalled() || !chosen(s.clients, proxyID) || !s.wants(commands) && !s.wants(underConditions) && !s.wants(growth) {
		return nil
	}
	return []string{kindOf(proxyID).name + ", which is not installed (nutcracker)"}
}

// writeSurroundings writes what the figures depend on.
func writeSurroundings(w io.Writer, loadBefore string, leftOut []string) error {
	for _, what := range leftOut {
		if _, err := fmt.Fprintf(w, "Left out: %s.\n\n", what); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%s, %s; %s, %s/%s, %d processors shared with the servers; load of the machine %s before and %s after.\n",
		strings.Join(versions(), ", "), redisVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(),
		loadBefore, machineLoad())
	return err
}

// versions returns the compared modules with their versions.
func versions() []string {
	var list []string
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, path := range compared {
			for _, m := range info.Deps {
				if m.Path == path {
					list = append(list, m.Path+" "+m.Version)
				}
			}
		}
	}
	return list
}

// redisVersion returns the server's name and version, as in "redis-server 7.0.15".
func redisVersion() string {
	out, err := exec.CommandContext(context.Background(), "redis-server", "--version").Output()
	if err != nil {
		return "no redis-server"
	}
	_, rest, _ := strings.Cut(string(out), "v=")
	version, _, _ := strings.Cut(rest, " ")
	return "redis-server " + version
}

// machineLoad returns the load average of the last minute, where the system
// tells it.
func machineLoad() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	load, _, _ := strings.Cut(string(text), " ")
	return load
}
