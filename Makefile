# The one list of commands.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo build run test test-faults test-all test-secure test-airflow bench bench-path bench-peers soak services services-stop up down destroy test-containers check-data fmt lint deny clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Watch 311 rows arrive in PostgreSQL. ONCE=1 ends after the tables; SOURCE=live|FILE; ROWS=200000; AIRFLOW=1
	@ONCE="$(ONCE)" AIRFLOW="$(AIRFLOW)" SOURCE="$(SOURCE)" ROWS="$(ROWS)" SINCE="$(SINCE)" scripts/demo

build: ## Build the program, target/release/nyc311
	@GIT_COMMIT="$$(scripts/commit)" cargo build --release --bin nyc311

run: ## Run the pipeline against the broker and the database of the settings, until Ctrl-C
	@GIT_COMMIT="$$(scripts/commit)" cargo run --release --bin nyc311 -- run $(ARGS)

test: ## Run the tests against a private PostgreSQL and a private Apache Kafka
	@scripts/test quick $(ARGS)

test-faults: ## Run the suite of the faults: it kills, freezes, cuts, and takes minutes
	@scripts/test faults $(ARGS)

test-all: ## Run both in one go
	@scripts/test all $(ARGS)

test-secure: ## Run the suite of Kafka over TLS, with a build of its own
	@scripts/test secure $(ARGS)

test-airflow: ## Run the tests of the DAGs, in an Airflow of their own
	@scripts/test_airflow $(ARGS)

bench: ## Measure the parts, with the servers of `make services` and what it prints
	cargo bench --workspace $(ARGS)

bench-path: ## Measure the whole path with servers of its own, for two minutes. ROWS=1000000; FEED=FILE
	@ROWS="$(ROWS)" FEED="$(FEED)" scripts/bench_path

bench-peers: ## Measure nyc311 beside Spark, Kafka Connect and Python, for three minutes. ROWS=150000
	@ROWS="$(ROWS)" scripts/bench_peers

soak: ## Run it while everything around it breaks. SECONDS=120 SEED=7 PROCESSES=1; PROFILE=release|dev
	@SECONDS_OF_FAULTS="$(SECONDS)" SEED="$(SEED)" PROCESSES="$(PROCESSES)" PROFILE="$(PROFILE)" scripts/soak

services: ## Start a PostgreSQL and an Apache Kafka that stay, and print their addresses as settings
	@scripts/services start

services-stop: ## Stop what `make services` started, keep its data
	@scripts/services stop

up: ## Start the stack in containers, PROFILES=demo,observability, and wait until it is ready
	@PROFILES="$(PROFILES)" scripts/containers up

down: ## End the stack in containers, keep its data
	@scripts/containers down

destroy: ## End the stack in containers and delete its data, after a question; YES=1 answers it
	@YES="$(YES)" scripts/containers destroy

test-containers: ## Prove the image and the stack with a private Docker engine. PROFILE=release
	@PROFILE="$(PROFILE)" FEATURES="$(FEATURES)" scripts/test_containers

check-data: ## Check whole real row files: make check-data DATA=DIR
	@scripts/check_data "$(DATA)"

fmt: ## Format the code
	cargo fmt --all

lint: ## Check format and lints, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --workspace --test faults --test rolling --test soak --test check_data --bench path -- -D warnings
	cargo clippy --features kafka-tls --test secure -- -D warnings

deny: ## Check licences, bans and sources of all dependencies, and that each is used
	@scripts/deny

clean: ## Stop the private servers and delete their data and all builds
	@for name in services demo test airflow-test check bench peers soak; do scripts/services destroy --name $$name; done
	@scripts/test_containers destroy
	rm -rf .services
	cargo clean
