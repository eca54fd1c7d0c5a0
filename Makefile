# Everything sets itself up: each target first makes .venv if it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2

.PHONY: help install run test coverage test-slow lint format bench bench-attention clean

help:            ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 18

install: $(STAMP)  ## make .venv and install lie_jax with all its extras into it

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"lie_jax needs Python 3.11 or newer, $(PYTHON) is {v.major}.{v.minor}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	$(BIN)/python -c 'from lie_jax import native; print("machine code for this CPU:", native.status())'
	@touch $@

run: install     ## train on real molecules and show what was learnt (2 to 5 minutes on 2 cores)
	$(BIN)/python -m experiments train qm9 --preset quick

test: install    ## run the tests (20 to 30 minutes on 2 cores)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

coverage: install  ## run the tests and measure what they cover, 95 % at least (up to 40 minutes)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow" --cov --cov-report=term

test-slow: install  ## run the slow studies
	$(BIN)/python -m pytest -m slow

lint: install    ## formatting, lints, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: install  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install   ## measure training steps (REFERENCE=path of the PyTorch code to compare)
	for case in t3-128 t3-512 se3-2 se3-2-bf16 lieconv-t3 springs-t2 springs-se2 shapes-se2-4; do \
	$(BIN)/python -m benchmarks.train_step --case $$case $(if $(REFERENCE),--reference $(REFERENCE)) $(if $(REFERENCE_PYTHON),--reference-python $(REFERENCE_PYTHON)) || exit 1; \
	done

bench-attention: install  ## time and memory of attention, forward and backward (GROUP=T3, REFERENCE=...)
	$(BIN)/python -m benchmarks.attention --group $(or $(GROUP),T3) --backward $(if $(REFERENCE),--reference $(REFERENCE)) $(if $(REFERENCE_PYTHON),--reference-python $(REFERENCE_PYTHON))

clean:           ## remove .venv and caches (runs/ stays)
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .coverage* *.egg-info
