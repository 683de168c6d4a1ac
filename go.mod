module github.com/redisfluster/fluster

go 1.25

require (
	github.com/cespare/xxhash/v2 v2.3.0
	github.com/gomodule/redigo v1.9.3
	github.com/stretchr/testify v1.12.1
	github.com/twmb/murmur3 v1.1.8
	go.uber.org/goleak v1.3.0
	pgregory.net/rapid v1.3.0
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect
