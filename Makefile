# `make demo` and `make test` need Python 3.11 or newer and make, nothing else.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint check readme bench clean

demo: .venv/run
	$(BIN)/gradscope compare --arch lstm,rrn,lru --lengths 10..1000 --out results/demo

test: .venv/dev
	$(BIN)/pytest -n 2

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: .venv/dev
	$(BIN)/gradscope check --quiet

readme: .venv/run
	$(BIN)/python tools/readme.py

bench: .venv/dev
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/spectrum.py
	$(BIN)/python benchmarks/sensitivity.py
	$(BIN)/python benchmarks/regression.py
	$(BIN)/python benchmarks/trainability.py

.venv/run: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/dev: .venv/run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv results .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
