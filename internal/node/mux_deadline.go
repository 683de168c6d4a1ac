package node

import "time"

// deadline is one of a connection's two, set as rarely as may be: setting one costs
// as much as encoding a command. The zero value with born is none that is known.
type deadline struct {
	born time.Time // what the node's clock counts from
	at   int64     // by that
}

// renew makes sure that seven eighths of limit are left at least.
func (d *deadline) renew(now int64, limit time.Duration, set func(time.Time) error) error {
	if d.at-now >= int64(limit-limit/8) {
		return nil
	}
	return d.move(now+int64(limit), set)
}

func (d *deadline) move(at int64, set func(time.Time) error) error {
	d.at = at
	return set(d.born.Add(time.Duration(at)))
}
