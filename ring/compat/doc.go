// Package compat places keys where other clients and proxies do.
package compat
