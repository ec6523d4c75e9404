# `make demo` and `make test` are all that a fresh machine needs: python3, venv, pip and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: demo test bench chaos capture clean

demo: $(VENV)/installed
	@sh examples/demo.sh $(BIN) $(DEMO)

test: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest -n 4 --dist worksteal --cov --cov-report=term --cov-fail-under=85

bench: $(VENV)/installed-dev
	$(BIN)/python -m bench

chaos: $(VENV)/installed-dev
	$(BIN)/python -m tests.chaos

capture: $(VENV)/installed
	$(BIN)/python docs/capture_live.py
	$(BIN)/python docs/capture_screens.py

clean:
	rm -rf $(DEMO) .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/installed
