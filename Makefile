# Every target makes what it needs: a clean clone, Python >= 3.11 and make are enough to begin.
PYTHON ?= python3
BIN := .venv/bin
CLUSTER ?= mlk8s
DEMO_OUT ?= demo-output
E2E ?= 2

# ONNX Runtime would report each process to its maker; notebooks and tests import it before mlk8s, too.
export ORT_DISABLE_TELEMETRY := 1

# Every command, kernel and load generator is a process: none of them should compile its modules anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo test check lint types unit e2e lab bench docs requirements down clean

help:  ## Show the targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: .venv/installed  ## Make .venv from the pinned requirements

.venv/installed: requirements/dev.txt requirements/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) -V 2>&1); expected Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "installing Debian's python3-venv: this Python cannot make virtual environments"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv python3-pip; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install -q --require-hashes -r requirements/dev.txt
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install -q --no-deps --no-build-isolation -e .
	@touch $@

demo: install  ## Start the local cluster and run the quickstart notebook on it
	@$(BIN)/mlk8s up --name $(CLUSTER) --driver native --yes
	@MLK8S_CLUSTER=$(CLUSTER) $(BIN)/mlk8s demo --out $(DEMO_OUT)

test: check e2e  ## Everything: check, then the end-to-end tests on a cluster of their own

check: lint types unit  ## What needs no cluster

lint: install
	@$(BIN)/ruff format --check -q . && $(BIN)/ruff check -q .
	@$(BIN)/lint-imports --no-cache

types: install
	@$(BIN)/mypy

unit: install
	@$(BIN)/pytest -q --numprocesses=3 --dist=loadfile --ignore=tests/e2e

e2e: install
	@$(BIN)/python tests/e2e/needed_parts.py
	@$(BIN)/pytest -q --numprocesses=$(E2E) --dist=loadfile --durations=15 tests/e2e

lab: install  ## Open the notebooks in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=notebooks $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_OPTIONS)

bench: install  ## Measure the local cluster against its targets
	@$(BIN)/python benchmarks/local_cluster.py

docs: install  ## Write docs/cli.md from the commands and docs/lint.md from the rules
	@$(BIN)/python -m mlk8s.cli.reference > docs/cli.md
	@$(BIN)/python -m mlk8s.cli.lint_reference > docs/lint.md

requirements: install  ## Pin anew what is installed
	@$(BIN)/python requirements/compile.py

down: install  ## Remove the demo's cluster
	@$(BIN)/mlk8s down --name $(CLUSTER) --yes

clean:  ## Remove the virtual environment and what tools left behind
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache build dist $(DEMO_OUT)
