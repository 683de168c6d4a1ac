module github.com/redisfluster/fluster/examples

go 1.25

require (
	github.com/alicebob/miniredis/v2 v2.40.0
	github.com/gomodule/redigo v1.9.3
	github.com/redisfluster/fluster v0.0.0
)

replace github.com/redisfluster/fluster => ../
