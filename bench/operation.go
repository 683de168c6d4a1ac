package main

import "fmt"

// many is how many keys an MGET or a pipeline has.
const many = 100

// mgetID is the operation that is done in one more way.
const mgetID = "mget"

// mib is a million bytes, the binary way.
const mib = 1 << 20

// held is how many bytes of values a server holds at most: the larger the
// values, the fewer the keys.
const held = 64 * mib

// call does an operation once and checks the replies. Keys are as many as the
// operation has; value is of its size.
type call func(keys []string, value []byte) error

// operation is what clients are asked to do.
type operation struct {
	id    string // as -operations takes it, and in names of files
	title string
	size  int // of each value, in bytes
	keys  int // in one call
	// main operations are measured more often than the others.
	main bool
	// apart keeps it for a condition, out of commands.
	apart bool
	// of returns how a client does it, or nil if it doesn't.
	of func(client) call
}

// operations are those that are measured, in the order of their values' sizes,
// so that the servers are filled once for each.
var operations = []operation{
	mainly(getOf("get-64", 64)),
	mainly(setOf("set-64", 64)),
	mainly(manyOf(mgetID, "MGET of %d keys", mget)),
	mainly(manyOf("pipeline-get", "Pipeline of %d GETs", pipeGet)),
	mainly(manyOf("pipeline-set", "Pipeline of %d SETs", pipeSet)),
	getOf("get-16", 16),
	setOf("set-16", 16),
	getOf("get-1k", 1<<10),
	setOf("set-1k", 1<<10),
	getOf("get-16k", 16<<10),
	setOf("set-16k", 16<<10),
	apart(getOf("get-1m", mib)),
	apart(setOf("set-1m", mib)),
}

func mainly(op operation) operation {
	op.main = true
	return op
}

func apart(op operation) operation {
	op.apart = true
	return op
}

// operationOf returns the one that is called id, which must be there.
func operationOf(id string) operation {
	for _, op := range operations {
		if op.id == id {
			return op
		}
	}
	panic("bug: there is no operation " + id)
}

// keysFor returns as many of keys as the operation is measured with.
func (op operation) keysFor(keys []string) []string {
	return keys[:min(len(keys), held/op.size)]
}

func getOf(id string, size int) operation {
	return operation{id: id, title: "GET, " + bytesText(size), size: size, keys: 1, of: func(c client) call {
		return func(keys []string, value []byte) error {
			got, err := c.Get(keys[0])
			if err != nil {
				return err
			}
			return checkSize(keys[0], got, len(value))
		}
	}}
}

func setOf(id string, size int) operation {
	return operation{id: id, title: "SET, " + bytesText(size), size: size, keys: 1, of: func(c client) call {
		return func(keys []string, value []byte) error { return c.Set(keys[0], value) }
	}}
}

// manyOf is an operation with many keys.
func manyOf(id, title string, of func(client) call) operation {
	const size = 64
	return operation{id: id, title: fmt.Sprintf(title, many) + ", " + bytesText(size), size: size, keys: many, of: of}
}

func mget(c client) call {
	return func(keys []string, value []byte) error {
		values, err := c.MGet(keys)
		if err != nil {
			return err
		}
		return checkSizes(keys, values, len(value))
	}
}

func pipeGet(c client) call {
	p, ok := c.(pipeliner)
	if !ok {
		return nil
	}
	return func(keys []string, value []byte) error {
		values, err := p.PipeGet(keys)
		if err != nil {
			return err
		}
		return checkSizes(keys, values, len(value))
	}
}

func pipeSet(c client) call {
	p, ok := c.(pipeliner)
	if !ok {
		return nil
	}
	return p.PipeSet
}

// wrongReply is an error that ends the run: what is measured is not what it
// should be.
type wrongReply struct{ text string }

// Error implements error.
func (e *wrongReply) Error() string { return e.text }

func checkSize(key string, value []byte, size int) error {
	if len(value) != size {
		return &wrongReply{fmt.Sprintf("%s has a value of %d bytes, not %d", key, len(value), size)}
	}
	return nil
}

func checkSizes(keys []string, values [][]byte, size int) error {
	if len(values) != len(keys) {
		return &wrongReply{fmt.Sprintf("%d values came for %d keys", len(values), len(keys))}
	}
	for i, value := range values {
		if err := checkSize(keys[i], value, size); err != nil {
			return err
		}
	}
	return nil
}

// bytesText is a size as people write it.
func bytesText(n int) string {
	switch {
	case n >= mib:
		return fmt.Sprintf("%d MiB", n/mib)
	case n >= 1<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
