module github.com/redisfluster/fluster

go 1.25
