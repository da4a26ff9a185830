# AI Goals Tracker: `make run` starts it, `make test` proves it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STUDIO := .venv-studio
# Test processes, each with a PostgreSQL of its own; more than cores, because many tests wait. `WORKERS=0` runs all in one.
WORKERS ?= 3

.PHONY: help setup studio run test check chaos evals bench test-clients extension test-extension
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed-dev ## the virtual environment, with every version pinned

.venv/.installed-dev: .venv/.installed
	@.ci/install .venv dev
	@touch $@

.venv/.installed: pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || { echo "Making .venv ..."; "$(PYTHON)" -m venv .venv; }
	@.ci/install .venv
	@touch $@

studio: $(STUDIO)/.installed ## the graphs in LangGraph's own development server
	@STUDIO_USER="$${STUDIO_USER:-you}" $(STUDIO)/bin/langgraph dev --no-browser $(ARGS)

$(STUDIO)/.installed: pyproject.toml constraints.txt constraints-studio.txt
	@test -x $(STUDIO)/bin/python || { echo "Making $(STUDIO) ..."; "$(PYTHON)" -m venv $(STUDIO); }
	@.ci/install $(STUDIO) studio
	@touch $@

run: .venv/.installed ## PostgreSQL, the service and a sample plan, streamed into this terminal
	@$(BIN)/goals serve --demo

test: setup ## every test, with coverage
	@.ci/rabbitmq
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered $(ARGS)

check: setup ## style, types, import contracts, spelling, dependencies, dead code, secrets
	@$(MAKE) --no-print-directory -j2 --output-sync=target _types _style

.PHONY: _types _style
_types:
	$(BIN)/basedpyright
_style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/deptry .
	$(BIN)/vulture
	$(BIN)/python .ci/secrets.py

chaos: setup ## kill, cut and fill things while work is under way, then compare
	@.ci/rabbitmq
	$(BIN)/python -m pytest tests/chaos -m chaos $(ARGS)

evals: setup ## score the agents offline
	$(BIN)/goals evals selftest --full
	$(BIN)/goals evals run $(ARGS)

bench: setup ## the figures quoted in the documentation
	$(BIN)/python -m bench $(ARGS)

test-clients: setup ## the JavaScript clients against a running service
	npm --prefix clients install --no-audit --no-fund
	npm --prefix clients test

extension: ## the VS Code extension as a file: extension/dist/ai-goals.vsix
	npm --prefix extension install --no-audit --no-fund
	npm --prefix extension run package

test-extension: extension ## the VS Code extension, and the file it is installed from
	npm --prefix extension run check
	npm --prefix extension test
