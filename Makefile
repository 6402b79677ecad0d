# Everything works in .venv in this checkout. Targets install what they need; run `make` to see them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JOBS ?= 4
MATRIX_RUNS ?= 3
TARGET_RUNS ?= 20
BENCH_RUNS ?= 1

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || netns-scripts/install-packages python3-venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

install: $(STAMP)  ## Make .venv with the toolkit and its development tools

lab-packages:
	@netns-scripts/install-packages iproute2 nftables conntrack procps

interop-packages: install lab-packages
	@netns-scripts/install-packages --optional coturn stun-client socat iperf3 openssh-server openssh-client rsync curl postgresql postgresql-client nginx haproxy chromium miniupnpd-nftables
	@$(BIN)/python -m pip install --quiet --editable '.[interop]' || echo "aiortc or grpcio cannot be installed: their tests will be skipped"

demo: install  ## Expose and connect: through two NATs in the lab as root, on loopback otherwise
	@if [ "$$(id -u)" = 0 ]; then \
		$(MAKE) --no-print-directory lab-packages && netns-scripts/lab demo; \
	else \
		echo "Not root, so no NATs: everything on loopback."; $(BIN)/p2p demo --size 100; \
	fi

test: install interop-packages lint  ## All gates and every test that CI runs
	$(BIN)/pytest -n $(JOBS) --dist loadgroup -m "not slow"

lint: install  ## Format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

matrix: install lab-packages  ## Every ordered pair of NATs and every scenario in the lab; goes on where it was interrupted
	netns-scripts/lab matrix --kinds all --scenarios all --runs $(MATRIX_RUNS) --size 131072 --check \
		--resume --json matrix.json --html matrix.html

targets: install lab-packages  ## The pairs of NATs that must be joined, against bounds; goes on where it was interrupted
	netns-scripts/lab matrix --targets --runs $(TARGET_RUNS) --jobs 1 --size 131072 --check \
		--resume --json targets.json --html targets.html

soak: install interop-packages  ## Tests that run for minutes; as root, a session through all that networks do
	$(BIN)/pytest -n 2 -m slow --timeout 900
	@if [ "$$(id -u)" = 0 ]; then netns-scripts/lab survive --check; else echo "Not root: no survival run in the lab."; fi

bench: install interop-packages  ## Everything that forwards TCP beside ours: rate, latency, CPU, memory; BENCH_RUNS=5 for medians
	@netns-scripts/install-packages --optional wrk
	benchmarks/install-peers
	benchmarks/run all --runs $(BENCH_RUNS) --json bench.json

bench-relay: install interop-packages  ## The relay beside coturn, one core each; as root, ten minutes
	$(BIN)/python -m benchmarks.relay --json bench-relay.json

fuzz: install  ## Fuzz every decoder for a minute each
	$(BIN)/python -m pip install --quiet '.[fuzz]'
	@for target in tests/fuzz/fuzz_*.py; do echo "$$target"; $(BIN)/python $$target -max_total_time=60 -verbosity=0; done

clean:  ## Remove what the targets made
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache matrix.json matrix.html targets.json targets.html bench.json bench-relay.json

.PHONY: help install lab-packages interop-packages demo test lint matrix targets soak bench bench-relay fuzz clean
