package fluster

import (
	"errors"
	"fmt"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/router"
)

// routing says how c routes by cfg, or what is wrong with that.
func (c *FlusterCluster) routing(cfg Config) (router.Config, error) {
	if err := cfg.Retry.check(); err != nil {
		return router.Config{}, err
	}
	merged, err := c.merged(cfg.Merge)
	return router.Config{
		NonAtomic: cfg.NonAtomic, Whole: cfg.Whole, Merged: merged, Retry: router.Retry(cfg.Retry),
	}, err
}

// merged returns the commands whose replies the user merges, by those of the table
// that they stand for.
func (c *FlusterCluster) merged(merges map[string]func([]NodeReply) (any, error)) (map[*command.Info]*command.Info, error) {
	merged := make(map[*command.Info]*command.Info, len(merges))
	for name, merge := range merges {
		info, err := command.ByName(name)
		switch {
		case err != nil:
		case merge == nil:
			err = errors.New("the function is nil")
		case merged[info] != nil:
			err = fmt.Errorf("%s is named twice", info.Name)
		default:
			merged[info], err = info.MergedBy(c.merger(merge))
		}
		if err != nil {
			return nil, fmt.Errorf("fluster: Config.Merge[%q]: %w", name, err)
		}
	}
	return merged, nil
}

// merger is a user's merge as the router calls it. If its error would say that
// nothing has run, though something did, or may have, it does not say so any more.
func (c *FlusterCluster) merger(merge func([]NodeReply) (any, error)) func([]command.Reply) (any, error) {
	return func(replies []command.Reply) (any, error) {
		all, failed := make([]NodeReply, len(replies)), &NodesError{Total: len(replies)}
		for i, r := range replies {
			n, _ := c.Node(r.Node)
			all[i] = NodeReply{Node: n, Reply: r.Value, Err: r.Err}
			if r.Err != nil {
				failed.Failed = append(failed.Failed, r)
			}
		}
		value, err := merge(all)
		if SafeToRetry(err) && !SafeToRetry(failed) {
			err = node.Begun(err)
		}
		return value, err
	}
}
