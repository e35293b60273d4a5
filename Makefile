# Each target makes the virtual environment first, if setup.cfg or pyproject.toml changed since.
# The plain commands beside each target stand in CONTRIBUTING.md.

# The first interpreter that the package supports; `make PYTHON=/path/to/python3.12 ...` chooses another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$python && break; done)
# What to install beside the package, such as EXTRAS=dev,pytorch
EXTRAS ?= dev
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help install train test test-all parity check format clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | awk -F '\t' '{printf "make %-10s %s\n", $$1, $$2}'

install: $(INSTALLED) ## Make .venv and install the package with its development tools

train: $(INSTALLED) ## Train on the built-in data set, translate its test images, score them
	$(BIN)/python scripts/first_run.py

test: $(INSTALLED) ## Run the fast tests
	$(BIN)/python -m pytest -ra -m "not slow"

test-all: $(INSTALLED) ## Run what `make test` leaves out: faults, end to end, installation
	$(BIN)/python -m pytest -ra -m slow

parity: $(INSTALLED) ## Repeat the golden values of the PyTorch reference, print the largest differences
	$(BIN)/python -m pytest -q tests/parity

check: $(INSTALLED) ## Check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(INSTALLED) ## Format, and fix what the linter can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove .venv, builds and caches; data and runs stay
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find cyclegan scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@
