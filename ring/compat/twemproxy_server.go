package compat

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/redisfluster/fluster/ring"
)

// TwemproxyServer returns the node that a line of the servers in twemproxy's file
// stands for, and its address: "host:port:weight" or "/path/of/socket:weight", with
// a name after a space if the server has one. The node's Name is what [Twemproxy]
// needs.
func TwemproxyServer(line string) (node ring.Node, addr string, err error) {
	where, name := line, ""
	// As in twemproxy, a path may hold spaces if a name follows.
	if space := strings.LastIndexByte(line, ' '); space >= 0 {
		where, name = line[:space], line[space+1:]
		if name == "" {
			return ring.Node{}, "", errors.New("compat: the server's name is empty")
		}
	}
	colon := strings.LastIndexByte(where, ':')
	if colon < 1 {
		return ring.Node{}, "", errors.New("compat: the server is neither host:port:weight nor /path:weight")
	}
	addr = where[:colon]
	weight, err := strconv.ParseUint(where[colon+1:], 10, 31)
	if err != nil || weight == 0 {
		return ring.Node{}, "", errors.New("compat: the server's weight is not a number from 1 to " + strconv.Itoa(math.MaxInt32))
	}
	if name == "" {
		if name, err = twemproxyName(addr); err != nil {
			return ring.Node{}, "", err
		}
	}
	return ring.Node{Name: name, Weight: int(weight)}, addr, nil
}

// twemproxyName returns the name that twemproxy gives to a server without one.
func twemproxyName(addr string) (string, error) {
	if strings.HasPrefix(addr, "/") {
		return addr + ":", nil
	}
	colon := strings.LastIndexByte(addr, ':')
	if colon < 0 {
		return "", errors.New("compat: the server's port is missing")
	}
	port, err := strconv.ParseUint(addr[colon+1:], 10, 16)
	if err != nil || port == 0 {
		return "", errors.New("compat: the server's port is not a number from 1 to 65535")
	}
	if port == memcachedPort {
		return addr[:colon], nil
	}
	return addr, nil
}

// memcachedPort is the port that twemproxy leaves out, as libmemcached does.
const memcachedPort = 11211
