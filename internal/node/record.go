package node

import "net"

// Layout of a TLS record's header (RFC 8446, 5.1): type, version, length.
const recordHeader = 5

// recordConn is the transport under TLS. It hands TLS no byte behind the record
// under way: TLS would keep it, where neither the socket nor the reader of the
// replies shows that it came. So whatever came too early can be told.
type recordConn struct {
	net.Conn
	buf    [4 << 10]byte
	unread []byte // what was read into buf and not yet handed on

	header [recordHeader]byte
	have   int // bytes of the header handed on
	left   int // bytes of the record's body to hand on
}

// early reports whether bytes came in that TLS has not asked for.
func (r *recordConn) early() bool { return len(r.unread) > 0 }

// Read hands on bytes of one record's header, or of its body.
func (r *recordConn) Read(p []byte) (int, error) {
	p = p[:min(len(p), r.wanted())]
	n, err := r.take(p)
	r.follow(p[:n])
	return n, err
}

func (r *recordConn) take(p []byte) (int, error) {
	if len(r.unread) == 0 && len(p) >= len(r.buf) {
		return r.Conn.Read(p)
	}
	if len(r.unread) == 0 {
		n, err := r.Conn.Read(r.buf[:])
		if n == 0 {
			return 0, err
		}
		r.unread = r.buf[:n] // an error comes again
	}
	n := copy(p, r.unread)
	r.unread = r.unread[n:]
	return n, nil
}

// wanted returns how many bytes the header or the body still has.
func (r *recordConn) wanted() int {
	if r.have < recordHeader {
		return recordHeader - r.have
	}
	return r.left
}

// follow notes what was handed on.
func (r *recordConn) follow(p []byte) {
	if r.have < recordHeader {
		r.have += copy(r.header[r.have:], p)
		r.left = int(r.header[3])<<8 | int(r.header[4])
	} else {
		r.left -= len(p)
	}
	if r.have == recordHeader && r.left == 0 {
		r.have = 0
	}
}
