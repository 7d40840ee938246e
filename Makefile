.DEFAULT_GOAL := help
.PHONY: help demo test bench fmt lint

# Where cargo builds, which need not be here.
TARGET := $(or $(CARGO_TARGET_DIR),target)

help: ## Show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Move a database between two private servers, with kills and a comparison
	@scripts/install
	cargo build --release --locked
	$(TARGET)/release/dunlin demo

test: ## Run every test, against real servers
	@scripts/install
	scripts/test

bench: ## Measure against the alternatives, and write docs/benchmarks.md
	@scripts/install
	@scripts/servers pgcopydb
	TMPDIR=$${TMPDIR:-/var/tmp} cargo bench --locked --bench postgres

fmt: ## Format the code
	cargo fmt

lint: ## Check formatting, and what clippy finds
	cargo fmt --check
	cargo clippy --all-targets --all-features --locked -- -D warnings
