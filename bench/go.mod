module github.com/redisfluster/fluster/bench

go 1.26.0

require (
	github.com/gomodule/redigo v1.9.3
	github.com/redis/go-redis/v9 v9.23.0
	github.com/redisfluster/fluster v0.0.0
)

replace github.com/redisfluster/fluster => ../
