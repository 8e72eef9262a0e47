# make test sets up all that it needs: LocalStack in a container where a Docker engine
# answers, else from its Python packages.
FUZZTIME ?= 30s
PACKAGES := ./...

.PHONY: help build test lint fuzz faults bench localstack localstack-down

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build ./sdsaws
	go build -o sdsaws ./cmd/sdsaws

test: ## run all tests, those on LocalStack too
	go test -race -timeout 20m $(PACKAGES)

lint: ## formatting, vet, staticcheck, golangci-lint
	bash .ci/lint

fuzz: ## run each fuzz target for FUZZTIME
	bash .ci/fuzz $(FUZZTIME)

faults: ## fail every request of a scenario in every way: embedded, and about an hour on LocalStack
	SDSAWS_ORDEAL_PART=all go test -count 1 -timeout 2h -v -run 'TestMemory|TestEmbedded' ./internal/ordeal
	SDSAWS_ORDEAL_PART=all go test -count 1 -timeout 6h -v -run TestEveryRequestFails ./integration

bench: ## what saves cost, and the adapter's time and memory beside the bare SDK's
	go run ./bench/cost --accepted
	go test -run '^$$' -bench . ./bench/speed

localstack: ## start a LocalStack on this machine that stays, and print its environment
	@go run ./integration/cmd/localstack up

localstack-down: ## stop it
	@go run ./integration/cmd/localstack down
