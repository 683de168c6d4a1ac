package router

import "context"

func (r *Router) nonAtomic(_ context.Context, c *call, parts []part) (any, error) {
	return nil, r.crossNode(c, parts)
}
