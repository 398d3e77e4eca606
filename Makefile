# Two commands to know: `make demo` and `make test`. Both need Python 3.12 or newer (or uv) and nothing else.
SHELL := bash
VENV := .venv
BIN := $(VENV)/bin
PYTEST := "$(BIN)/pytest" -n auto --dist loadfile --no-loadscope-reorder
COMPILE := "$(BIN)/uv" pip compile -q --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-header
# What `make test-long` has passed of a commit: such a part is not run again. Where something is not committed, nothing is noted.
COMMIT := $(shell test -z "$$(git status --porcelain 2>&1)" && git rev-parse --short=12 HEAD)
PASSED := .long/$(or $(COMMIT),none)
DIST := dist
PARTS := addons rules codecs table system

.DEFAULT_GOAL := help
.PHONY: help demo test test-long $(addprefix long-,$(PARTS)) coverage clients skew fuzz hostile lint screenshots bench train peers lock dist install-systemd hooks clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/installed  ## watch real AI clients talk through Earthflow (ONCE=1: end by itself)
	"$(BIN)/earthflow" demo $(if $(ONCE),--once)

test: $(VENV)/installed .venv-provider/installed  ## all that proves behaviour, within minutes; starts its own PostgreSQL and Valkey
	$(PYTEST)

test-long: $(VENV)/installed .venv-provider/installed  ## the random tests with ten times the examples, and every combination; within the hour, resumable by part
	@for part in $(PARTS); do test -n "$(COMMIT)" -a -e $(PASSED)/$$part || $(MAKE) --no-print-directory long-$$part || exit 1; done
	@echo "passed: $(PARTS)"

long-addons: WHAT = tests/addons
long-rules: WHAT = tests/properties tests/rules tests/contract tests/cli/test_migrate.py
long-codecs: WHAT = tests/fuzz
long-table: WHAT = tests/e2e/test_conformance.py
long-system: WHAT = tests/control/test_openapi.py tests/control/test_migrations.py tests/e2e/test_fleet.py tests/netns/test_scale.py tests/test_release.py

$(addprefix long-,$(PARTS)): long-%: $(VENV)/installed
	@echo "== $* =="
	$(PYTEST:loadfile=load) --hypothesis-profile=long $(WHAT)
	@test -z "$(COMMIT)" || { mkdir -p $(PASSED) && touch $(PASSED)/$*; }

coverage: $(VENV)/installed  ## which lines the tests run, by package; a package below its floor fails
	"$(BIN)/python" -m tests.support.coverage

clients: $(VENV)/installed  ## every real SDK and command-line client against pretend providers; a quarter of an hour, 2 GB (needs Node 20 and npm)
	test -x .venv-clients/bin/python || "$(BIN)/python" -m venv .venv-clients
	.venv-clients/bin/pip install -q -r tests/clients/requirements.txt
	mkdir -p .venv-clients/npm && cp tests/clients/package.json .venv-clients/npm/
	cd .venv-clients/npm && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	EARTHFLOW_CLIENTS="$(CURDIR)/.venv-clients/bin/python" "$(BIN)/pytest" tests/clients

skew: $(VENV)/installed  ## a proxy and a control of which one is of another version: make skew OTHER=v2.0.0
	@test -n "$(OTHER)" || { echo "say which version of git: make skew OTHER=v2.0.0"; exit 2; }
	folder=$$(mktemp -d) && trap 'rm -r "$$folder"' EXIT && git archive "$(OTHER)" | tar x -C "$$folder" && \
	  EARTHFLOW_OTHER="$$folder" "$(BIN)/pytest" tests/skew

fuzz: $(VENV)/installed  ## a million inputs and more into every codec; a quarter of an hour or so
	EARTHFLOW_FUZZ=30000 $(PYTEST:loadfile=load) tests/fuzz

hostile: $(VENV)/installed  ## half-open connections, bombs, deep JSON, an hour of a WebSocket: memory, outcomes and others' latency
	"$(BIN)/python" -m bench.hostile

lint: $(VENV)/installed  ## style, types, container files, migrations
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"
	"$(BIN)/hadolint" Dockerfile
	"$(BIN)/squawk" control/store/migrations/*.sql

screenshots: $(VENV)/installed  ## every view of the dashboard in the light, the dark, on a phone and in Arabic, in screenshots/ (needs chromium)
	"$(BIN)/python" -m tests.browser.screenshots screenshots

bench: $(VENV)/installed peers  ## what the figures in README and docs/rules.md come from
	"$(BIN)/python" -m bench

train: $(VENV)/installed  ## learn rules/injection.model anew (docs/injection.md): make train CORPORA=folder JUDGED=file.jsonl
	@test -n "$(CORPORA)" -a -n "$(JUDGED)" || { echo "say where the corpora of bench/injection/sources.py are, and what is judged on: make train CORPORA=folder JUDGED=file.jsonl"; exit 2; }
	test -x .venv-train/bin/python || "$(BIN)/python" -m venv .venv-train
	.venv-train/bin/pip install -q -r bench/train.txt
	.venv-train/bin/python -m bench.injection.train rules/injection.model "$(CORPORA)" "$(JUDGED)" "$(VENV)"/lib/python3.*/site-packages $(LANGUAGES)

peers: $(VENV)/installed  ## other tools to compare with, each apart; the bench leaves out what is missing (squid: apt-get install squid-openssl)
	test -x .venv-peers/bin/python || "$(BIN)/python" -m venv .venv-peers
	.venv-peers/bin/pip install -q -r bench/peers.txt || rm -rf .venv-peers
	for one in litellm secretgate; do folder=.venv-peers-$$one; test -x $$folder/bin/python || "$(BIN)/python" -m venv $$folder; \
	  $$folder/bin/pip install -q -r bench/peers-$$one.txt || rm -rf $$folder; done
	mkdir -p .venv-peers-portkey && cp bench/peers-portkey.json .venv-peers-portkey/package.json
	cd .venv-peers-portkey && npm install --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error || true

lock: $(VENV)/installed  ## pin every dependency with its hashes, and no addresses: runtime, local engines, build, development
	$(COMPILE) pyproject.toml -o requirements.txt
	for extra in local dev; do $(COMPILE) pyproject.toml --extra $$extra -c requirements.txt -o requirements-$$extra.txt; done
	$(COMPILE) --group build -c requirements-dev.txt -o requirements-build.txt

dist: $(VENV)/installed  ## wheels, for any machine and for this kind with its rules compiled; sdist, SBOM (CycloneDX), checksums, in dist/
	rm -rf "$(DIST)" && mkdir -p "$(DIST)"
	export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) && "$(BIN)/python" -m hatchling build -d "$(DIST)" && \
	  folder=$$(mktemp -d) && trap 'rm -r "$$folder"' EXIT && "$(BIN)/python" -m rules.precompile "$$folder" && \
	  if test -n "$$(ls "$$folder")"; then PRECOMPILED="$$folder" "$(BIN)/python" -m hatchling build -t wheel -d "$(DIST)"; fi
	"$(BIN)/python" deploy/sbom.py "$(DIST)/earthflow.cdx.json"
	cd "$(DIST)" && sha256sum * > SHA256SUMS && cat SHA256SUMS

install-systemd:  ## production on this machine: a user, units, /opt/earthflow/.env (as root, from a checkout at /opt/earthflow)
	bash deploy/install-systemd.sh

hooks: $(VENV)/installed  ## have git run the quick checks before each commit
	"$(BIN)/pre-commit" install

clean:  ## take away all that make has made
	rm -rf $(VENV) .venv-peers* .venv-clients .venv-provider .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .long dist screenshots

$(VENV)/installed: requirements-dev.txt pyproject.toml deploy/install.sh
	bash deploy/install.sh $(VENV)
	touch $@

# What the tests sign in at needs packages that ours must do without.
.venv-provider/installed: tests/support/canaille.txt $(VENV)/installed
	"$(BIN)/python" -m venv .venv-provider
	.venv-provider/bin/python -m pip install -q --disable-pip-version-check -r $<
	touch $@
