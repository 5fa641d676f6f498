# make demo and make test work on a fresh machine: each installs what it needs into .venv.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALL := $(RUN) -m pip install -q -c constraints.txt
SOURCES := pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/*)

.PHONY: demo test lint bench docs clean

demo: $(VENV)/demo.stamp
	$(RUN) -m qama demo

test: $(VENV)/dev.stamp
	$(RUN) -m pytest

lint: $(VENV)/dev.stamp
	$(RUN) -m ruff check src tests bench
	$(RUN) -m ruff format --check src tests bench
	$(RUN) -m mypy

bench: $(VENV)/dev.stamp
	$(RUN) bench/paper.py

docs: $(VENV)/dev.stamp
	$(RUN) docs/generate.py

clean:
	rm -rf $(VENV) build demo-out

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q --upgrade pip

$(VENV)/dev.stamp: $(VENV)/bin/python $(SOURCES)
	$(INSTALL) -e ".[dev]"
	touch $@

$(VENV)/demo.stamp: $(VENV)/bin/python $(SOURCES)
	$(INSTALL) -e ".[demo]"
	touch $@
