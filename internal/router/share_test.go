package router_test

import "context"

// Do shares nothing.
func (lettered) Do(context.Context, int, string, []any) (any, bool, error) { return nil, false, nil }
