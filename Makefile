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
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

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

QUESTION ?= How do I remove limescale?
.PHONY: ask-manuals
ask-manuals: $(VENV)/.stamp-project model ## Print the prompt for a question (QUESTION=...) about German and Japanese manuals
	@mkdir -p demo
	@$(BIN)/corpus-embed run --input 'deploy/local/manuals/*.md' --workspace demo/manuals --milvus demo/manuals.db \
		--collection manuals --model $(MODEL) --keep-languages de,ja --max-tokens 128 >demo/manuals.log
	@$(BIN)/python -m deploy.local.ask_manuals $(call quoted,$(QUESTION)) --milvus demo/manuals.db --collection manuals

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

.PHONY: test-browser
test-browser: setup ## Look at the report and the page of explore in a headless Chromium, which must be on the path; without one the tests say so
	@$(BIN)/python -m pytest -q -m browser tests

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

# --- Supply chain ---

.PHONY: licences
licences: setup ## List the licences of what the project needs; fails for one that is not allowed
	@$(BIN)/python -m deploy.supply_chain.licences

# In an environment of their own: what they need is nothing that the project should have.
TOOLS := .venv-tools
$(TOOLS)/.stamp: requirements-tools.lock
	@echo "Installing $<"
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes -r $<
	@touch $@

.PHONY: sbom
sbom: $(TOOLS)/.stamp ## Write dist/sbom.cdx.json: what the project needs, with hashes, in CycloneDX
	@mkdir -p dist
	@$(TOOLS)/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type application \
		--output-reproducible --spec-version 1.6 --output-format JSON --output-file dist/sbom.cdx.json
	@echo "dist/sbom.cdx.json"

.PHONY: audit
audit: $(TOOLS)/.stamp ## Look up known vulnerabilities of every locked package; asks OSV over the network
	@for lock in requirements.lock requirements-gcp.lock requirements-tools.lock; do \
		echo "$$lock"; \
		$(TOOLS)/bin/pip-audit --disable-pip --require-hashes --progress-spinner off --vulnerability-service osv --requirement $$lock; \
	done

.PHONY: wheel
wheel: setup ## Build dist/*.whl
	@rm -rf build dist/*.whl *.egg-info
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@rm -rf build *.egg-info
	@ls dist/*.whl

.PHONY: release-check
release-check: wheel ## Check that TAG=v1.2.3 is the version, is in the changelog with its date, and that the wheel is whole
	@$(BIN)/python -m deploy.supply_chain.release $(TAG) --wheel dist/*.whl

# --- Upkeep ---

.PHONY: reference
reference: setup ## Write docs/reference.md and docs/config.schema.json from the options and commands
	@$(BIN)/python -m pipelines.reference docs

.PHONY: lock
lock: $(VENV)/.stamp-venv ## Write the lock files from pyproject.toml; pins are kept where they fit (UPGRADE=1: take the newest)
	@$(BIN)/python -m deploy.local.lock $(if $(UPGRADE),--upgrade)

.PHONY: lock-airflow
lock-airflow: $(VENV)/.stamp-venv ## Write deploy/airflow/requirements.lock (UPGRADE=1: take the newest)
	@$(BIN)/python -m deploy.airflow.lock $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## Remove the virtual environment, the model, build outputs and caches
	@rm -rf $(VENV) $(AIRFLOW) $(TOOLS) .cache build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: clean-demo
clean-demo: ## Remove what make demo wrote
	@rm -rf demo

# --- Dataflow (deploy/dataflow/README.md); make -n prints the commands and runs none ---

GCLOUD ?= gcloud
TEMPLATE_OPTIONS ?= deploy/dataflow/options/l4.yaml
TEMPLATE_JOB ?= corpus-embed
# As one word of the shell, whatever is in it.
quoted = '$(subst ','\'',$(1))'
needed = $(foreach name,$(1),$(if $($(name)),,$(error $@ needs $(name)=, see deploy/dataflow/README.md)))

.PHONY: template-metadata
template-metadata: setup ## Write deploy/dataflow/metadata.json from the options
	@$(BIN)/python -m deploy.dataflow.metadata

.PHONY: template-test
template-test: setup-gcp setup model ## Run the tests that hand the job to Dataflow's runner, against stand-ins on this machine
	@$(BIN)/python -m pytest -q tests/deploy/dataflow

.PHONY: template-image
template-image: ## Build the image of launcher and workers with Cloud Build
	$(call needed,PROJECT REGION IMAGE MODEL_NAME MODEL_REVISION CUDA_DIGEST BEAM_DIGEST LAUNCHER_DIGEST)
	$(GCLOUD) builds submit . --project=$(PROJECT) --region=$(REGION) --config=deploy/dataflow/cloudbuild.yaml \
		--substitutions=_IMAGE=$(IMAGE),_MODEL=$(MODEL_NAME),_MODEL_REVISION=$(MODEL_REVISION),_CUDA_DIGEST=$(CUDA_DIGEST),_BEAM_DIGEST=$(BEAM_DIGEST),_LAUNCHER_DIGEST=$(LAUNCHER_DIGEST)

.PHONY: template-build
template-build: ## Put the template, which names the image and its parameters, into a bucket
	$(call needed,PROJECT IMAGE TEMPLATE)
	$(GCLOUD) dataflow flex-template build $(TEMPLATE) --project=$(PROJECT) --image=$(IMAGE) --sdk-language=PYTHON \
		--metadata-file=deploy/dataflow/metadata.json

.PHONY: template-run
template-run: ## Start a run from the template, with the machines of TEMPLATE_OPTIONS
	$(call needed,PROJECT REGION IMAGE TEMPLATE SCRATCH SERVICE_ACCOUNT INPUT WORKSPACE MILVUS COLLECTION)
	$(GCLOUD) dataflow flex-template run $(TEMPLATE_JOB) --project=$(PROJECT) --region=$(REGION) \
		--template-file-gcs-location=$(TEMPLATE) --staging-location=$(SCRATCH)/staging --temp-location=$(SCRATCH)/temp \
		--service-account-email=$(SERVICE_ACCOUNT) $(if $(SUBNETWORK),--subnetwork=$(SUBNETWORK) --disable-public-ips) \
		--flags-file=$(TEMPLATE_OPTIONS) \
		--parameters=$(call quoted,^~^sdk_container_image=$(IMAGE)~input=$(INPUT)~workspace=$(WORKSPACE)~milvus=$(MILVUS)~collection=$(COLLECTION)$(if $(PARAMETERS),~$(PARAMETERS)))
