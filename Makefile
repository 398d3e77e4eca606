# Two commands to know: `make demo` and `make test`. Both need Python 3.12 or newer (or uv) and nothing else.
SHELL := bash
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test clients fuzz hostile lint bench peers lock clean

demo: $(VENV)/installed  ## watch real AI clients talk through Earthflow (ONCE=1: end by itself)
	$(BIN)/earthflow demo $(if $(ONCE),--once)

test: $(VENV)/installed  ## all tests; they start their own PostgreSQL and Valkey
	$(BIN)/pytest

clients: $(VENV)/installed  ## every real SDK and command-line client against pretend providers; ten minutes, 2 GB (needs Node 20 and npm)
	test -x .venv-clients/bin/python || $(BIN)/python -m venv .venv-clients
	.venv-clients/bin/pip install -q -r tests/clients/requirements.txt
	mkdir -p .venv-clients/npm && cp tests/clients/package.json .venv-clients/npm/
	cd .venv-clients/npm && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	EARTHFLOW_CLIENTS=$(CURDIR)/.venv-clients/bin/python $(BIN)/pytest tests/clients

fuzz: $(VENV)/installed  ## a million inputs and more into every codec; a quarter of an hour or so
	EARTHFLOW_FUZZ=30000 $(BIN)/pytest -q tests/fuzz

hostile: $(VENV)/installed  ## half-open connections, bombs, deep JSON, an hour of a WebSocket: memory, outcomes and others' latency
	$(BIN)/python -m bench.hostile

lint: $(VENV)/installed  ## style, types, container files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile

bench: $(VENV)/installed peers  ## what the figures in README and docs/rules.md come from
	$(BIN)/python -m bench

peers:  ## other tools to compare with, in a Python of their own; without them the bench goes on
	test -x .venv-peers/bin/python || $(BIN)/python -m venv .venv-peers
	.venv-peers/bin/pip install -q -r bench/peers.txt || rm -rf .venv-peers

lock:  ## pin every dependency with its hashes, and no addresses
	uv pip compile -q --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-header --extra dev pyproject.toml -o requirements.txt

clean:
	rm -rf $(VENV) .venv-peers .venv-clients .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/installed: requirements.txt pyproject.toml deploy/install.sh
	bash deploy/install.sh $(VENV)
	touch $@
