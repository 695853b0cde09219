# Everything is made from a clean clone with Python 3.11 to 3.13, make and a package index; a second run reuses the first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODEL := .cache/models/multilingual-e5-small
# Hashes are required and the locks are complete, so pip resolves nothing.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps
LOCKED := $(PIP_INSTALL) --require-hashes

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# --- Set-up: one stamp for each lock ---

$(VENV)/.stamp-venv:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else "error: Python 3.11, 3.12 or 3.13 is needed, $(PYTHON) is %d.%d; name another: make PYTHON=python3.11 ..." % v)'
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# Where pip finds a torch built for the CPU it is taken first: of two files with allowed hashes pip would prefer PyPI's.
# PyPI's torch for Linux says it needs CUDA packages; a torch built for the CPU names none, and gets none.
$(VENV)/.stamp-runtime: requirements.lock requirements-cpu.lock requirements-cuda.lock $(VENV)/.stamp-venv
	@echo "Installing requirements.lock"
	@$(LOCKED) -r requirements-cpu.lock >$(VENV)/cpu.log 2>&1 || true
	@$(LOCKED) -r requirements.lock
	@if $(BIN)/python -c 'import importlib.metadata as m, sys; sys.exit(not any(r.startswith(("nvidia-", "cuda-")) for r in m.requires("torch") or ()))'; then \
		echo "Installing requirements-cuda.lock"; \
		$(LOCKED) -r requirements-cuda.lock; \
	fi
	@touch $@

$(VENV)/.stamp-gcp $(VENV)/.stamp-test $(VENV)/.stamp-benchmark: $(VENV)/.stamp-%: requirements-%.lock $(VENV)/.stamp-runtime
	@echo "Installing $<"
	@$(LOCKED) --no-build-isolation -r $<
	@touch $@

# The locked setuptools builds the project, as it does the one package without a wheel (google-apitools, in the gcp lock).
$(VENV)/.stamp-project: pyproject.toml $(VENV)/.stamp-runtime
	@$(PIP_INSTALL) --no-build-isolation --editable .
	@touch $@

.PHONY: setup
setup: $(VENV)/.stamp-project $(VENV)/.stamp-test ## Make .venv with the locked runtime and test packages and this project

.PHONY: setup-gcp
setup-gcp: $(VENV)/.stamp-project $(VENV)/.stamp-gcp ## Make .venv with the locked packages for Google Cloud (Dataflow, Cloud Storage)

.PHONY: model
model: $(VENV)/.stamp-runtime ## Build the offline embedding model
	@$(BIN)/python -m deploy.local.offline_model --output $(MODEL)

# --- Use ---

.PHONY: demo
demo: $(VENV)/.stamp-project model ## Embed the demo corpus into demo/milvus.db
	@$(BIN)/corpus-embed run --input 'deploy/local/corpus/*.jsonl*' --workspace demo/workspace --milvus demo/milvus.db \
		--collection demo --model $(MODEL) --max-reject-fraction 0.03 || test $$? -eq 3 # 3: complete, with some rejected
	@echo "A question in German finds the Thai and the Hindi page:"
	@echo "  $(BIN)/corpus-embed search 'Wie entsteht ein Vulkan?' --milvus demo/milvus.db --collection demo --languages th hi --top 4"

.PHONY: benchmark
benchmark: setup model $(VENV)/.stamp-benchmark ## Run the benchmarks
	@$(BIN)/python -m benchmarks

# --- Checks ---

.PHONY: test
test: setup model ## Run the tests, on two cores
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile

.PHONY: test-long
test-long: setup model ## Run the tests that take minutes: 500 kills, every crash point each time it is reached, the soak
	@$(BIN)/python -m pytest -q -m long

# In no lock, since only these tests need it: 57 MB with a whole server, which listens on every interface of the machine while they run.
$(VENV)/.stamp-milvus: requirements-milvus.txt $(VENV)/.stamp-venv
	@echo "Installing $<"
	@$(LOCKED) -r $<
	@touch $@

.PHONY: test-milvus
test-milvus: setup model $(VENV)/.stamp-milvus ## Run the tests that need a real server: Milvus 2.3.5, and CORPUS_EMBED_TEST_MILVUS=<address>
	@$(BIN)/python -m pytest -q -m milvus

# Airflow has an environment of its own: it and this project want different versions of common packages.
AIRFLOW := .venv-airflow
$(AIRFLOW)/.stamp: deploy/airflow/requirements.lock
	@echo "Making $(AIRFLOW)"
	@$(PYTHON) -m venv $(AIRFLOW)
	@$(AIRFLOW)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes -r $<
	@touch $@

.PHONY: test-airflow
test-airflow: setup model $(AIRFLOW)/.stamp ## Run the DAGs in a real Airflow: import, a day, a backfill under its scheduler
	@$(BIN)/python -m pytest -q -m airflow tests/deploy/airflow

SECONDS_TO_FUZZ ?= 60
.PHONY: fuzz
fuzz: setup ## Read damaged files for a minute (SECONDS_TO_FUZZ=600: longer); the first that breaks a promise is kept
	@$(BIN)/python -m tests.fuzz $(SECONDS_TO_FUZZ)

.PHONY: lint
lint: setup ## Check style (ruff) and which module may import which (import-linter)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports

.PHONY: type
type: setup ## Check types (mypy)
	@$(BIN)/mypy

.PHONY: check
check: lint type ## Run lint and type

# --- Upkeep ---

.PHONY: lock
lock: $(VENV)/.stamp-venv ## Write the lock files from pyproject.toml; pins are kept where they fit (UPGRADE=1: take the newest)
	@$(BIN)/python -m deploy.local.lock $(if $(UPGRADE),--upgrade)

.PHONY: lock-airflow
lock-airflow: $(VENV)/.stamp-venv ## Write deploy/airflow/requirements.lock (UPGRADE=1: take the newest)
	@$(BIN)/python -m deploy.airflow.lock $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## Remove the virtual environment, the model, build outputs and caches
	@rm -rf $(VENV) $(AIRFLOW) .cache build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: clean-demo
clean-demo: ## Remove what make demo wrote
	@rm -rf demo
