# `make check` is what every change must pass; `make test` is the whole suite.
PYTHON ?= python

.PHONY: check format lint types imports fast test

check: format lint types imports fast

format:
	$(PYTHON) -m ruff format --check src tests recipes benchmarks

lint:
	$(PYTHON) -m ruff check src tests recipes benchmarks

types:
	$(PYTHON) -m mypy

imports:
	lint-imports

fast:
	$(PYTHON) -m pytest -m "not slow and not network"

test:
	$(PYTHON) -m pytest
