# `make` alone lists what there is.

GOLANGCI_LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# The modules of the workspace, and those nested in it that keep out of it.
WORKSPACE = $(or $(shell go list -m -f '{{.Dir}}'),$(error no module found))
OUTSIDE = $(filter-out $(WORKSPACE),$(patsubst %/,%,$(dir $(abspath $(wildcard */go.mod cmd/*/go.mod)))))

# A tool of tools.mod, as the path of its executable: so it runs in any module.
tool = "$$(GOWORK=off go tool -modfile=$(CURDIR)/tools.mod -n $(1))"

# A command, under a title, in every module of the workspace, until it fails in one.
each = for m in $(WORKSPACE); do echo "== $$m: $(1)"; (cd $$m && $(2)) || exit 1; done

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: redis
redis: ## make sure that redis-server is on PATH, or install it
	@scripts/install-redis

# The race detector needs a C compiler; without one, tests run without it.
RACE := $(shell command -v "$$(go env CC)" >/dev/null && echo -race)

.PHONY: test
test: redis ## vet and test the workspace, with the race detector
	@test -n "$(RACE)" || echo "There is no C compiler here, so the tests run without the race detector."
	go vet work
	go test $(RACE) -shuffle=on -timeout 600s work

.PHONY: soak
COUNT ?= 20
soak: redis ## run all tests COUNT times over (20)
	go test $(RACE) -shuffle=on -timeout 60m -count $(COUNT) work

.PHONY: soak-queue
soak-queue: redis ## drain full-size queues while a node is killed, and count what 1,000 waiters cost
	@QUEUE_ITEMS=30000 QUEUE_WAITERS=1000 QUEUE_SECONDS=10 go test $(RACE) -shuffle=on -count 1 -v -run 'TestAQueue|TestManyWaiters' ./fanin

.PHONY: soak-faults
FOR ?= 10m
soak-faults: redis ## let 512 callers go on FOR some time (10m) under a fault every second
	@FLUSTER_SOAK=$(FOR) go test -v -count 1 -timeout 24h -run 'TestCallsOfEveryKind' .

.PHONY: fuzz
FUZZTIME ?= 20s
fuzz: ## run each fuzz target for FUZZTIME (20s), or with so many inputs (1000x)
	@$(call each,fuzz,$(CURDIR)/scripts/fuzz $(FUZZTIME))

.PHONY: simulate
simulate: ## run fleets of full size through hours of faults, in fake time
	@FLUSTER_SIMULATE=whole go test -v -count 1 -timeout 30m -run 'TestAFleet|TestRow52' .

.PHONY: faults
faults: redis ## run the fault matrix and print it as a table
	@go run ./internal/faulttable

# A DIR that is not there from here is meant from where make -C was called.
.PHONY: vectors
vectors: ## check placements against the sets of vectors in DIR (the project's own)
	@dir='$(DIR)'; case $$dir in /*|'') ;; *) test -e "$$dir" || dir="$(PWD)/$$dir";; esac; go run ./internal/vectorcheck $${dir:+"$$dir"}

.PHONY: bench
BENCH ?= .
bench: redis ## run the micro benchmarks that match BENCH (all)
	@go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: bench-compare
bench-compare: redis ## compare with plain redigo and other clients, as Markdown
	@cd bench && GOWORK=off go run .

.PHONY: lint
lint: ## run the linters, at pinned versions
	@$(call each,golangci-lint,$(GOLANGCI_LINT) run)
	@$(call each,staticcheck,$(call tool,staticcheck) ./...)
	@$(call each,gofumpt,$(call empty,$(call tool,gofumpt) -l .))
	@$(call each,go fix,$(call empty,go fix -diff ./...))
	@$(call each,deadcode,$(call empty,$(call tool,deadcode) -test ./...))
	@for m in $(OUTSIDE); do echo "== $$m: vet and test"; (cd $$m && GOWORK=off go vet ./... && GOWORK=off go test ./...) || exit 1; done

# A command that succeeds if it does and says nothing.
empty = out=$$($(1)) && test -z "$$out" || { echo "$$out"; exit 1; }
