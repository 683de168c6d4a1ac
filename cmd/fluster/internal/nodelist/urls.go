package nodelist

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/redisfluster/fluster/fluster"
)

// scheme is how a URL begins.
var scheme = regexp.MustCompile(`^[a-z]+://`)

// fromURLs reads URLs with commas between them.
func fromURLs(joined string) (List, error) {
	list := List{Source: "URLs"}
	for i, raw := range splitURLs(joined) {
		n, err := fromURL(raw)
		if err != nil {
			return List{}, fmt.Errorf("URL %d: %w", i+1, err)
		}
		list.Nodes = append(list.Nodes, n)
	}
	return list, check(list.Nodes, func(i int) string { return fmt.Sprintf("URL %d", i+1) })
}

// splitURLs splits at the commas that a new URL follows: others may be part of
// a password.
func splitURLs(joined string) []string {
	var urls []string
	for part := range strings.SplitSeq(joined, ",") {
		if len(urls) == 0 || scheme.MatchString(part) {
			urls = append(urls, part)
			continue
		}
		urls[len(urls)-1] += "," + part
	}
	return urls
}

// fromURL reads a URL as [fluster.ParseNode] does.
func fromURL(raw string) (Node, error) {
	parsed, err := fluster.ParseNode(raw)
	if err != nil {
		return Node{}, errors.New(strings.TrimPrefix(err.Error(), "fluster: node URL: "))
	}
	u, err := url.Parse(raw)
	if err != nil {
		return Node{}, errors.New("it cannot be parsed")
	}
	return Node{
		Name: parsed.Name, Addr: parsed.Addr, URL: bare(u), Weight: parsed.Weight, Named: u.Query().Has("name"),
	}, nil
}

// bare returns a URL without user, password and options, but with its database.
func bare(u *url.URL) string {
	b := url.URL{Scheme: strings.Replace(u.Scheme, "valkey", "redis", 1), Host: u.Host, Path: u.Path}
	if db := u.Query().Get("db"); db != "" {
		b.RawQuery = url.Values{"db": {db}}.Encode()
	}
	return b.String()
}

// fromAddress makes a node of an address.
func fromAddress(address string) Node {
	b := url.URL{Scheme: "redis", Host: address}
	if strings.HasPrefix(address, "/") {
		b = url.URL{Scheme: "unix", Path: address}
	}
	return Node{Name: address, Addr: address, URL: b.String()}
}

// nameFlaw tells why a name cannot be one, or is empty. Names stand in output
// that programs read line by line, and never hold a password.
func nameFlaw(name string) string {
	switch {
	case name == "":
		return "is empty"
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "has a control character or is not UTF-8"
	case strings.Contains(name, "://") && strings.Contains(name, "@"):
		return "is a URL that may hold a password (that goes into url)"
	}
	return ""
}

// addressFlaw tells why an address cannot be one, or is empty.
func addressFlaw(address string) string {
	path := strings.HasPrefix(address, "/")
	if strings.Contains(address, "@") || strings.Contains(address, "://") || !path && strings.ContainsFunc(address, unicode.IsSpace) {
		return "is not host:port or the path of a socket (a URL goes into url)"
	}
	return nameFlaw(address)
}
