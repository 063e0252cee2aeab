# Needs python3 (3.11 to 3.14) and make. Every target sets up .venv on its own.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
# Which of the versions that pyproject.toml allows: highest or lowest-direct.
RESOLUTION ?= highest
BIN := $(VENV)/bin
# Four tests at a time, each on one core, which keeps two cores busy: many wait for commands that they started.
# Those of one file share what they prepare.
# What each command would compile anew is compiled once, whatever PYTHONDONTWRITEBYTECODE says outside.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 4 --dist loadfile \
	--no-loadscope-reorder
# torch and torchvision must come from the same package index, or torchvision's operators do not load.
READY := $(VENV)/.ready

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || \
		{ echo "This project needs Python 3.11 to 3.14: make PYTHON=python3.12 <target>"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "No venv module: install it (Debian: apt install python3-venv)."; exit 1; }
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --resolution $(RESOLUTION) --python $(BIN)/python --editable '.[dev]'
	@touch $@

.PHONY: demo test test-lowest test-slow benchmark docs wheel lint format type-check all-checks clean help

demo: $(READY) ## Train a small SSD on generated images and test it (five to fifteen minutes)
	$(BIN)/python train.py experiment=quickstart

test: $(READY) ## Run the tests (ten to fifteen minutes on two cores)
	$(PYTEST) -m "not slow"

test-lowest: ## Run the tests with the oldest versions that pyproject.toml allows, in .venv-lowest
	$(MAKE) test VENV=.venv-lowest RESOLUTION=lowest-direct

test-slow: $(READY) ## Run the tests that take minutes each
	$(PYTEST) -m slow

benchmark: $(READY) ## Time the work around the convolutions next to its peers; ROWS=1,4 for some of it
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks --rows "$(ROWS)"

docs: $(READY) ## Build the documentation, in docs/_build/html
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet docs docs/_build/html

wheel: $(READY) ## Build the package that pip installs, in dist/
	$(BIN)/uv build --wheel

lint: $(READY) ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## Fix style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type-check: $(READY) ## Check types
	$(BIN)/mypy

all-checks: lint type-check test ## Everything a commit must pass

clean: ## Remove the environment, the caches and built pages; runs and data stay
	rm -rf .venv .venv-lowest .mypy_cache .pytest_cache .ruff_cache docs/_build

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'
