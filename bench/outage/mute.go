package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
)

// mute is a server that runs INCR and closes the connection in place of a reply.
type mute struct {
	net.Listener
	ran atomic.Int64 // how many INCR
}

// startMute starts one on a free port; whoever does closes it.
func startMute(ctx context.Context) (*mute, error) {
	var cfg net.ListenConfig
	l, err := cfg.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &mute{Listener: l}
	go m.serve()
	return m, nil
}

func (m *mute) serve() {
	for {
		conn, err := m.Accept()
		if err != nil {
			return
		}
		go m.answer(conn)
	}
}

func (m *mute) answer(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	for {
		cmd, err := readCommand(r)
		if err != nil {
			return
		}
		if cmd == "INCR" {
			m.ran.Add(1)
			return
		}
		if _, err := io.WriteString(conn, reply(cmd)); err != nil {
			return
		}
	}
}

// reply is what clients want to hear when they greet a server.
func reply(cmd string) string {
	switch cmd {
	case "PING":
		return "+PONG\r\n"
	case "HELLO":
		return "-ERR unknown command\r\n" // so they go on in RESP 2
	}
	return "+OK\r\n"
}

// readCommand reads a command and returns its name, in capitals.
func readCommand(r *bufio.Reader) (string, error) {
	n, err := readLength(r, '*')
	if err != nil {
		return "", err
	}
	name := ""
	for i := range n {
		length, err := readLength(r, '$')
		if err != nil {
			return "", err
		}
		word := make([]byte, length+len("\r\n"))
		if _, err := io.ReadFull(r, word); err != nil {
			return "", err
		}
		if i == 0 {
			name = strings.ToUpper(string(word[:length]))
		}
	}
	return name, nil
}

func readLength(r *bufio.Reader, kind byte) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" || line[0] != kind {
		return 0, errors.New("not a command: " + line)
	}
	n, err := strconv.ParseUint(line[1:], 10, 16)
	return int(n), err
}
