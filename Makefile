# `make check` is what every change must pass; `make test` is the whole suite.
PYTHON ?= python
# Two processes, each with whole files of tests.
TOGETHER = -n 2 --dist loadfile

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
	$(PYTHON) -m pytest $(TOGETHER) -m "not slow and not network"

test:
	$(PYTHON) -m pytest $(TOGETHER)
