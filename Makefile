# Each target makes the virtual environment first, if setup.cfg, pyproject.toml or the constraints have changed since.
# CONTRIBUTING.md shows the plain command for each target.

# The first interpreter that the package supports; `make PYTHON=/path/to/python3.12 ...` chooses another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$python && break; done)
# The extras to install with the package, such as EXTRAS=dev,pytorch
EXTRAS ?= dev
# A file of exact versions, such as CONSTRAINTS=constraints.txt; empty for the newest versions that setup.cfg allows
CONSTRAINTS ?=
BIN := .venv/bin
INSTALLED := .venv/installed
DOCS_INSTALLED := .venv/installed-docs
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	$(addprefix --constraint ,$(CONSTRAINTS)) --editable

.DEFAULT_GOAL := help
.PHONY: help install train test test-all coverage parity check format docs constraints clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

install: $(INSTALLED) ## Make .venv and install the package with its development tools

train: $(INSTALLED) ## Train on the built-in data set, translate its test images, score them
	$(BIN)/python scripts/first_run.py

test: $(INSTALLED) ## Run the fast tests
	$(BIN)/python -m pytest -ra -m "not slow" -n 2 --dist worksteal

test-all: $(INSTALLED) ## Run the tests that `make test` leaves out: faults, end to end, installation
	$(BIN)/python -m pytest -ra -m slow

coverage: export PYTEST_ADDOPTS := --cov
coverage: test ## Run the fast tests and measure how much of the package they reach

parity: $(INSTALLED) ## Repeat the golden values of the PyTorch reference, print the largest differences
	$(BIN)/python -m pytest -q tests/parity

check: $(INSTALLED) ## Check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(INSTALLED) ## Format, and fix what the linter can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(DOCS_INSTALLED) ## Build the documentation site in build/docs
	$(BIN)/mkdocs build --strict

constraints: $(INSTALLED) ## Write the versions that are installed in .venv to constraints.txt
	@{ echo '# Exact versions of what the package and its extras need; .ci/run installs and tests them.'; \
	echo '# Written on Linux by: make PYTHON=python3.11 EXTRAS=dev,docs,hub,litert,onnx,pytorch,ray install constraints'; \
	echo '# PyTorch itself pins the libraries of CUDA.'; \
	$(BIN)/python -m pip freeze --disable-pip-version-check --all --exclude cyclegan --exclude pip \
	| grep -Ev '^(cuda|nvidia|triton)' | sed 's/+[a-z0-9.]*$$//'; } > constraints.txt

clean: ## Remove .venv, builds and caches; keep data and runs
	rm -rf .venv build dist *.egg-info .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache
	find cyclegan benchmarks scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): setup.cfg pyproject.toml $(CONSTRAINTS)
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(INSTALL) '.[$(EXTRAS)]'
	@touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	$(INSTALL) '.[docs]'
	@touch $@
