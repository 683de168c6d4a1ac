package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// ParseURL reads a node's URL. Its errors never hold a part of the URL that
// could be a password: not the user information, nor anything that a password
// with unescaped characters could have spilled into.
func ParseURL(raw string) (*Endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Fragment != "" || strings.Contains(u.Host+u.EscapedPath()+u.RawQuery, "@") {
		return nil, errors.New("it cannot be parsed (are all special characters of the password percent-encoded?)")
	}
	e := &Endpoint{
		dialTimeout: defaultDialTimeout, readTimeout: defaultIOTimeout, writeTimeout: defaultIOTimeout,
		maxIdle: defaultMaxIdle, maxReply: defaultMaxReply,
	}
	if err := e.setPlace(u); err != nil {
		return nil, err
	}
	e.setUser(u.User)
	if err := e.setOptions(u); err != nil {
		return nil, err
	}
	return e, nil
}

// setPlace reads scheme, host and path.
func (e *Endpoint) setPlace(u *url.URL) error {
	switch u.Scheme {
	case "redis", "valkey":
		return e.setTCP(u)
	case "rediss", "valkeys":
		e.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		return e.setTCP(u)
	case "unix":
		return e.setUnix(u)
	}
	return errors.New("its scheme must be redis, rediss, valkey, valkeys or unix")
}

func (e *Endpoint) setTCP(u *url.URL) error {
	host, port := u.Hostname(), u.Port()
	if strings.ContainsAny(host, "[]") || strings.Contains(host, ":") && !strings.HasPrefix(u.Host, "[") {
		return errors.New("its host is not one (an IPv6 address is written in brackets)")
	}
	if host == "" {
		host = "localhost"
	}
	if port == "" {
		port = "6379"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return errors.New("its port must be 1 to 65535")
	}
	e.network, e.address = "tcp", net.JoinHostPort(host, port)
	if e.tls != nil {
		e.tls.ServerName = host
	}
	e.Addr = e.address
	e.Name = u.Host
	if e.Name == "" {
		e.Name = e.address
	}
	db := pathDB(u)
	if db == "" {
		return nil
	}
	e.Name += "/" + db
	return setInt(&e.db, 0, maxDB)("the database in its path", db)
}

func pathDB(u *url.URL) string { return strings.Trim(u.Path, "/") }

func (e *Endpoint) setUnix(u *url.URL) error {
	if u.Host != "" || u.Path == "" {
		return errors.New("a unix URL is written unix:///path/of/socket, with the database in ?db=")
	}
	if len(u.Path) > maxSocketPath {
		return fmt.Errorf("its path is longer than the %d bytes of a socket's", maxSocketPath)
	}
	if hasControl(u.Path) {
		return errors.New("its path has a control character")
	}
	e.network, e.address, e.Addr, e.Name = "unix", u.Path, u.Path, u.Path
	return nil
}

// maxSocketPath is how long the path of a Unix socket may be, without the NUL
// that ends it.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// setUser reads user and password. A lone user name is a password, as redigo
// and redis-cli have it.
func (e *Endpoint) setUser(info *url.Userinfo) {
	if info == nil {
		return
	}
	password, given := info.Password()
	if !given {
		e.password = info.Username()
		return
	}
	e.user, e.password = info.Username(), password
}

// Ranges of options.
const (
	maxDB     = 1 << 20
	maxWeight = 1 << 20
	maxConns  = 1 << 20
	maxClaim  = 1 << 40
)

// setter reads one option's value; what names the option in an error.
type setter func(what, value string) error

// optionName is what an option may look like for an error to repeat it.
var optionName = regexp.MustCompile(`^[a-z_]{1,24}$`)

// setOptions reads the query.
func (e *Endpoint) setOptions(u *url.URL) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("its query cannot be parsed")
	}
	if query.Has("db") && e.network == "tcp" && pathDB(u) != "" {
		return errors.New("its database stands both in the path and in option db")
	}
	set := e.setters()
	for _, name := range sortedKeys(query) {
		switch {
		case set[name] == nil && optionName.MatchString(name):
			return fmt.Errorf("it has an unknown option %q; there are %s", name, strings.Join(sortedKeys(set), ", "))
		case set[name] == nil:
			return fmt.Errorf("it has an unknown option; there are %s", strings.Join(sortedKeys(set), ", "))
		case len(query[name]) != 1:
			return fmt.Errorf("option %s is given more than once", name)
		}
		if err := set[name]("option "+name, query.Get(name)); err != nil {
			return err
		}
	}
	return e.finish(query)
}

// setters returns what each option sets.
func (e *Endpoint) setters() map[string]setter {
	return map[string]setter{
		"name":          setString(&e.Name),
		"weight":        setInt(&e.Weight, 1, maxWeight),
		"db":            setInt(&e.db, 0, maxDB),
		"client_name":   setClientName(&e.clientName),
		"dial_timeout":  setDuration(&e.dialTimeout),
		"read_timeout":  setDuration(&e.readTimeout),
		"write_timeout": setDuration(&e.writeTimeout),
		"max_reply":     setInt(&e.maxReply, 1<<10, maxClaim),
		"max_idle":      setInt(&e.maxIdle, 0, maxConns),
		"pool_size":     setInt(&e.maxActive, 0, maxConns),
		"pool_wait":     setBool(&e.wait),
		"idle_timeout":  setDuration(&e.idleTimeout),
		"max_lifetime":  setDuration(&e.maxLifetime),
		"tls_name":      e.setTLS(func(c *tls.Config, v string) error { c.ServerName = v; return nil }),
		"tls_ca":        e.setTLS(setCA),
		"tls_cert":      e.setTLS(func(*tls.Config, string) error { return nil }), // with tls_key, in finish
		"tls_key":       e.setTLS(func(*tls.Config, string) error { return nil }),
	}
}

// finish does what needs more than one option.
func (e *Endpoint) finish(query url.Values) error {
	if e.wait && e.maxActive == 0 {
		return errors.New("option pool_wait needs pool_size")
	}
	if e.db != 0 && query.Has("db") && !query.Has("name") {
		e.Name += "/" + strconv.Itoa(e.db)
	}
	cert, key := query.Get("tls_cert"), query.Get("tls_key")
	if cert == "" && key == "" {
		return nil
	}
	if cert == "" || key == "" {
		return errors.New("options tls_cert and tls_key go together")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("options tls_cert and tls_key: %w", err)
	}
	e.tls.Certificates = []tls.Certificate{pair}
	return nil
}

func (e *Endpoint) setTLS(set func(*tls.Config, string) error) setter {
	return func(what, value string) error {
		if e.tls == nil {
			return fmt.Errorf("%s needs rediss:// or valkeys://", what)
		}
		if value == "" {
			return fmt.Errorf("%s is empty", what)
		}
		if err := set(e.tls, value); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
}

func setCA(c *tls.Config, file string) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return errors.New("the file holds no certificate")
	}
	return nil
}

func setString(to *string) setter {
	return func(what, value string) error {
		if value == "" {
			return fmt.Errorf("%s is empty", what)
		}
		if hasControl(value) {
			return fmt.Errorf("%s has a control character", what)
		}
		*to = value
		return nil
	}
}

// setClientName reads what CLIENT SETNAME takes.
func setClientName(to *string) setter {
	return func(what, value string) error {
		if strings.ContainsFunc(value, func(r rune) bool { return r < '!' || r > '~' }) {
			return fmt.Errorf("%s must be ASCII letters, digits and punctuation, without spaces", what)
		}
		return setString(to)(what, value)
	}
}

func setBool(to *bool) setter {
	return func(what, value string) error {
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%s must be true or false", what)
		}
		*to = b
		return nil
	}
}

func setInt[T int | int64](to *T, least, most int64) setter {
	return func(what, value string) error {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < least || n > most {
			return fmt.Errorf("%s must be a whole number from %d to %d", what, least, most)
		}
		*to = T(n)
		return nil
	}
}

// setDuration reads a Go duration such as 500ms; 0 switches the limit off.
func setDuration(to *time.Duration) setter {
	return func(what, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return fmt.Errorf("%s must be a duration such as 500ms, or 0 for none", what)
		}
		*to = d
		return nil
	}
}

func sortedKeys[V any, M ~map[string]V](m M) []string {
	return slices.Sorted(maps.Keys(m))
}
