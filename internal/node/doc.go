// Package node is one Redis server as the cluster sees it: its pool, how it is
// dialed, the connections that it lends and what they learn of the server.
//
// Every connection of a node is observed: an error that it meets is judged by
// [classify], in one place, and handed to the node's sink as evidence. The
// package knows redigo and says what happened; what follows from it is decided
// in package health.
package node
