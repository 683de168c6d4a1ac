module github.com/redisfluster/fluster/examples

go 1.25

require (
	github.com/alicebob/miniredis/v2 v2.40.0
	github.com/gomodule/redigo v1.9.3
	github.com/redisfluster/fluster v0.0.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/sync v0.18.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/yuin/gopher-lua v1.1.1 // indirect
	go.uber.org/goleak v1.3.0 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
)

replace github.com/redisfluster/fluster => ../
