# The commands of the repository; `make` alone lists them.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALLED := $(VENV)/.installed
# What `make demo` recommends for: one session's items, oldest first, here from two of the sample's
# preference groups.
SESSION ?= 214502411 214502421 214501717 214501137

.DEFAULT_GOAL := help
.PHONY: help setup demo check test test-slow test-engines lint docs docs-serve clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

setup: $(INSTALLED) ## Create .venv with the pinned versions and this package (PYTHON=python3.11)

$(INSTALLED): requirements.lock setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
		|| { echo "hln-tf needs Python 3.11, 3.12 or 3.13; name one with make PYTHON=/path/to/python3.11." >&2; \
			exit 1; }
	@echo "Installing into $(VENV); the first time downloads about 650 MB and takes 3 GB of disk."
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -r requirements.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

demo: $(INSTALLED) ## Generate a sample log, train and compare models on it, recommend
	$(BIN)/python -m beam_preprocess.sample generate --output data/raw
	$(BIN)/python -m hln_tf.train --dataset sample --preset demo --workdir runs/sample/hln
	$(BIN)/python -m hln_tf.train --dataset sample --model popularity \
		--workdir runs/sample/popularity
	$(BIN)/python -m hln_tf.train --dataset sample --model markov --workdir runs/sample/markov
	$(BIN)/python -m beam_preprocess.sample optimum --raw_dir data/raw --data_dir data/sample \
		--workdir runs/sample/optimum
	$(BIN)/python -m hln_tf.report runs/sample/popularity runs/sample/markov runs/sample/hln \
		runs/sample/optimum
	$(BIN)/python -m hln_tf.recommend --workdir runs/sample/hln --session "$(SESSION)" -k 10

check: $(INSTALLED) ## Run the quick tests, which start no process: two minutes
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not process and not benchmark and not engine"

test: $(INSTALLED) ## Run the tests, two files at a time: at least one path of each command
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not benchmark and not engine"

test-slow: $(INSTALLED) ## Run the long tests, which make test leaves out
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "slow and not benchmark"

# ENGINES: more arguments for pytest, such as -k prism.
test-engines: $(INSTALLED) ## Run preprocessing on engines, which are fetched once (Go, Maven)
	$(BIN)/python -m pytest -m engine tests/engines $(ENGINES)

lint: $(INSTALLED) ## Check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED) ## Build the documents as a site, build/site/index.html (search needs docs-serve)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(INSTALLED) ## Serve the documents on this machine, built again when they change
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

clean: ## Remove caches and build output; data, runs and .venv stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
