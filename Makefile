# Set-up is part of every target: .venv is created from the exact pins of requirements.lock if it is missing or stale.

PYTHON ?= python3
VENV := .venv
PACKAGES := $(VENV)/.packages
READY := $(VENV)/.ready
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

.PHONY: repro
repro: $(READY) ## Run the whole pipeline on real MNIST (what is up to date is not run again)
	@$(RUN) mnist doctor --fix --quick # what a kill left: DVC would refuse to start
	$(RUN) dvc repro

.PHONY: test
test: $(READY) ## Run the tests: offline, on synthetic data
	$(RUN) pytest

.PHONY: test-slow
test-slow: $(READY) ## Run the checks that take minutes
	$(RUN) pytest -n 0 -m slow -vv --durations=10 # named as they run: each takes up to minutes

.PHONY: torture
torture: $(READY) ## Run every command under kills, full disks, flipped bits and more, into docs/reliability.md (takes two hours)
	$(RUN) python -m tests.torture --write

.PHONY: verify
verify: $(READY) ## Run the whole pipeline in a clone of HEAD and compare every hash
	$(RUN) mnist verify

.PHONY: emulate
emulate: $(READY) ## Compare the bits with those of emulated CPUs (needs the package qemu-user)
	$(RUN) python benchmarks/emulation.py

.PHONY: worker
worker: $(READY) ## Compute shards of the training of another machine, which PyTorch's MASTER_ADDR, RANK, ... name
	$(RUN) python -c 'import os, yaml; os.execlp("sh", "sh", "-c", yaml.safe_load(open("dvc.yaml"))["stages"]["train"]["cmd"])'

.PHONY: check
check: $(READY) ## Lint, type check, test; check that pages and committed results agree
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) lint-imports --no-cache
	$(RUN) mypy
	$(RUN) pytest
	$(RUN) pytest -n 0 -m repository

.PHONY: format
format: $(READY) ## Format the code and fix what the linter can
	$(RUN) ruff check --fix
	$(RUN) ruff format

.PHONY: bench
bench: $(READY) ## Measure times and ratios, into benchmarks/results (an hour and a half; keep the machine quiet)
	$(RUN) python -m benchmarks.run times

.PHONY: bench-quality
bench-quality: $(READY) ## Measure accuracies, the audit and the statistics, into benchmarks/results (takes many hours)
	$(RUN) python -m benchmarks.run quality

.PHONY: docs
docs: $(READY) ## Build the documentation as a site, into site/
	$(RUN) NO_MKDOCS_2_WARNING=1 mkdocs build --strict

.PHONY: plots-page
plots-page: $(READY) ## Write .dvc/plots.html, the page of `dvc plots show`
	$(RUN) python -m mnist_pipeline.provenance.plots_page .dvc/plots.html

.PHONY: setup
setup: $(READY) ## Create .venv and nothing else

# Created again rather than updated, so that no package remains that the lock file does not name.
$(PACKAGES): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1); try: make PYTHON=python3.11"; exit 1; }
	@echo "Making $(VENV) from requirements.lock (about 1.5 GB; takes a minute or more) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@touch $@

$(READY): $(PACKAGES) pyproject.toml
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The CUDA libraries that PyTorch's Linux build on the public index asks for are left out: pip adds them, at the
# versions which that build names, where that build is installed, and nothing here needs them.
.PHONY: lock
lock: $(READY) ## Choose the newest allowed version of every package, into requirements.lock
	echo "# Every package at one version, for Python 3.11 and newer. Made by make lock from pyproject.toml." > requirements.new
	$(RUN) uv pip compile --quiet --universal --upgrade --python-version 3.11 --extra cluster --extra dev --no-header --no-annotate \
		pyproject.toml | grep -vE '^(nvidia-|cuda-|triton)' >> requirements.new
	mv requirements.new requirements.lock
