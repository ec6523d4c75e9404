# `make demo` and `make test` are all that a fresh machine needs: python3, venv, pip and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: demo test types pytest bench chaos capture clean

demo: $(VENV)/installed
	@sh examples/demo.sh $(BIN) $(DEMO)

test: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@$(MAKE) --no-print-directory -j 2 types pytest

# mypy keeps one core busy, and pytest waits now and then: they take less time together.
types: $(VENV)/installed-dev
	$(BIN)/mypy

# Some machines forbid to keep compiled code; then each process of each test compiles all of it anew.
pytest: $(VENV)/installed-dev
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest -n 4 --dist worksteal --cov --cov-report=term --cov-fail-under=85

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
