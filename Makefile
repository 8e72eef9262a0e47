# make test sets up all that it needs: LocalStack in a container where a Docker engine
# answers, else from its Python packages.
FUZZTIME ?= 30s
TORTURE_TIME ?= 10m
TORTURE_SEEDS ?= 0
PACKAGES := ./...
LAMBDA_ARCH ?= arm64

.PHONY: help build lambda test terraform-test lint fuzz faults torture bench localstack localstack-down

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build ./sdsaws
	go build -o sdsaws ./cmd/sdsaws

lambda: ## build the zips of the functions, dist/participant.zip and dist/sweeper.zip, for LAMBDA_ARCH
	go run ./internal/lambdazip/cmd -o dist -arch $(LAMBDA_ARCH)

test: ## run all tests, those on LocalStack too
	go test -race -timeout 40m $(PACKAGES)

terraform-test: ## check Terraform's modules against the code, the provider, tflint, checkov
	@bash .ci/terraform

lint: ## formatting, vet, staticcheck, golangci-lint
	bash .ci/lint

fuzz: ## run each fuzz target for FUZZTIME
	bash .ci/fuzz $(FUZZTIME)

faults: ## fail every request of a scenario in every way: embedded, and about an hour on LocalStack
	SDSAWS_ORDEAL_PART=all go test -count 1 -timeout 2h -v -run 'TestMemory|TestEmbedded' ./internal/ordeal
	SDSAWS_ORDEAL_PART=all go test -count 1 -timeout 6h -v -run TestEveryRequestFails ./integration

torture: ## play all random tests with ever new seeds for TORTURE_TIME, or TORTURE_SEEDS rounds; stop at a violation
	go run ./internal/torture/cmd -time $(TORTURE_TIME) -seeds $(TORTURE_SEEDS)

bench: ## what saves cost, the adapter's time and memory beside the bare SDK's, and the functions' size and start
	go run ./bench/cost --accepted
	go test -run '^$$' -bench . ./bench/speed
	go run ./bench/coldstart

localstack: ## start a LocalStack on this machine that stays, and print its environment
	@go run ./integration/cmd/localstack up

localstack-down: ## stop it
	@go run ./integration/cmd/localstack down
