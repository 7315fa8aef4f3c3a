# Everything starts here, from a fresh clone with nothing but Python 3.11 or newer:
#
#   make demo     train the digits study, and see how much sharing saved
#   make test     lint, format, types, all tests
#   make bench    every benchmark in turn, one JSON line each
#   make faults   20,000 seeds in which everything goes wrong: about half an hour on two free cores
#
# The first of them makes .venv; nobody has to activate it.

PYTHON = python3
TORCH = torch==2.13.0
BIN = .venv/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
READY = .venv/.ready

# What a shell may have set must not reach what runs here: not its virtual environment, not its hash seed.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH PYTHONHASHSEED PYTHONSTARTUP PYTHONOPTIMIZE PYTHONWARNINGS

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types check format bench faults clean

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

setup: $(READY)

# The stamp is the last thing made, so an interrupted set-up is taken up again.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hive needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(PIP) install -c constraints.txt $(TORCH)
	$(PIP) install -c constraints.txt -e '.[dev,examples]'
	touch $(READY)

demo: $(READY)
	$(BIN)/hive run examples/digits.py

test: lint types check

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

check: $(READY)
	$(BIN)/python -m pytest

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	@set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file" --json; done

faults: $(READY)
	$(BIN)/hive simulate faults --seeds 0-19999 --json

clean:
	rm -rf .venv .hive .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
