package command

import (
	"strings"

	"github.com/gomodule/redigo/redis"
)

// What servers say to calls in which they find no keys. A caller gets the same
// words, without a server being asked: none has more right to be than another.
const (
	errSyntax      = redis.Error("ERR syntax error")
	errNotInteger  = redis.Error("ERR value is not an integer or out of range")
	errBadCount    = redis.Error("ERR Bad number of keys provided")
	errNegative    = redis.Error("ERR Number of keys can't be negative")
	errNotPositive = redis.Error("ERR numkeys should be greater than 0")
	errTooMany     = redis.Error("ERR Number of keys can't be greater than number of args")
	errUnbalanced  = redis.Error("ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")
	errGroup       = redis.Error("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.")
	errTwoKeys     = redis.Error("ERR When using MIGRATE KEYS option, the key argument must be set to the empty string")
	errNoGroup     = redis.Error("ERR Missing GROUP option for XREADGROUP")
)

// serverName is how a server calls the command in its errors.
func (i *Info) serverName() string {
	return strings.ToLower(strings.Replace(i.Name, " ", "|", 1))
}

func (i *Info) errArity() error {
	return redis.Error("ERR wrong number of arguments for '" + i.serverName() + "' command")
}

// errCount is for an argument that should be a number of keys: n, if it is a
// number at all.
func (i *Info) errCount(n int, isNumber bool) error {
	few, many := redis.Error("ERR at least 1 input key is needed for '"+i.serverName()+"' command"), errSyntax
	none := errNotInteger
	switch i.Name {
	case "EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO":
		few, many = errNegative, errTooMany
	case "FCALL", "FCALL_RO":
		none, few, many = errBadCount, errNegative, errTooMany
	case "SINTERCARD":
		none, few, many = errNotPositive, errNotPositive, errTooMany
	case "LMPOP", "BLMPOP", "ZMPOP", "BZMPOP":
		none, few = errNotPositive, errNotPositive
	}
	switch {
	case !isNumber:
		return none
	case n <= 0:
		return few
	}
	return many
}
