.DEFAULT_GOAL := help
.PHONY: help demo test bench fmt lint

# Where cargo builds, which need not be here.
TARGET := $(or $(CARGO_TARGET_DIR),target)

help: ## Show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Move a Postgres and a MySQL database between private servers, with kills and a comparison
	@scripts/install
	@scripts/servers mysql-9.7 || scripts/servers mariadb-11.8
	cargo build --release --locked
	$(TARGET)/release/dunlin demo
	$(TARGET)/release/dunlin demo --engine mysql

test: ## Run every test, against real servers
	@scripts/install
	scripts/test

bench: ## Measure against the alternatives, and write docs/benchmarks.md
	@scripts/install
	@scripts/servers pgcopydb mysql-9.7 mydumper sysbench
	TMPDIR=$${TMPDIR:-/var/tmp} cargo bench --locked --bench postgres --bench mysql --bench binlog

fmt: ## Format the code
	cargo fmt

lint: ## Check formatting, and what clippy finds
	cargo fmt --check
	cargo clippy --all-targets --all-features --locked -- -D warnings
