// Package faults tests the library against faults of the network that need a proxy
// between a client and its servers: replies that trickle, narrow and slow lines, and
// resets. It is a module of its own, so that the proxy stays out of the library's
// dependencies.
package faults
