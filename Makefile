# Each target installs what it needs. Python 3.11 or newer is enough.

.DEFAULT_GOAL := help
.PHONY: help setup demo chat test test-faults check dist stats clean-demo constraints

PYTHON := .venv/bin/python
UV := .venv/bin/uv
DIST := dist
# The environment is up to date if it contains the stamp of the current pins.
PINS := $(shell cat constraints.txt pyproject.toml | cksum | cut -d ' ' -f 1)
STAMP := .venv/installed-$(PINS)

help:  ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

setup: $(STAMP)  ## install the environment; then `. ./activate`

demo: $(STAMP)  ## run everything on this machine: crawl, corpus, tokenizer, shards, model, report
	@$(PYTHON) -m demo

chat: $(STAMP)  ## serve a chat page with SmolLM2, or with MODEL=DIR; PORT=8000
	@$(PYTHON) -m demo.chat $(if $(MODEL),--model $(MODEL)) $(if $(PORT),--port $(PORT))

test: $(STAMP)  ## run all tests
	@$(PYTHON) -m pytest

test-faults: $(STAMP)  ## break storage and cluster under the jobs; write fault-table.md (an hour or more)
	@$(PYTHON) -m pytest tests/faults --faults --fault-table fault-table.md

check: $(STAMP)  ## check style, types and layers
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	.venv/bin/lint-imports

# Spark brings its own pyspark to the executors.
dist: $(STAMP)  ## build dist/gristmill.tar.gz, which spark-submit --archives gives to executors
	@rm -rf $(DIST)/packages $(DIST)/gristmill.tar.gz
	@export UV_DEFAULT_INDEX="$$($(PYTHON) -m demo.index)" \
	    && $(UV) pip install --quiet --python $(PYTHON) --target $(DIST)/packages --constraint constraints.txt \
	        --build-constraints constraints.txt --requirements pyproject.toml --extra pipeline
	@rm -rf $(DIST)/packages/bin $(DIST)/packages/py4j* $(DIST)/packages/pyspark*
	@cp -R core pipeline $(DIST)/packages
	@tar -C $(DIST)/packages --exclude=__pycache__ -cf - . | gzip -1 > $(DIST)/gristmill.tar.gz
	@rm -rf $(DIST)/packages
	@du -h $(DIST)/gristmill.tar.gz

stats: $(STAMP)  ## print size and shape of the source
	@$(PYTHON) benchmarks/structure.py

clean-demo:  ## remove the demo's output (its downloads stay cached)
	rm -rf demo-output

constraints: $(STAMP)  ## pin the newest versions that pyproject.toml allows
	$(UV) pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade --no-header \
	    --no-emit-index-url --no-emit-find-links --output-file constraints.txt --quiet

# Prefer a Python that all wheels were built for; a newer one may have to compile some.
FIND_PYTHON = for python in python3.13 python3.12 python3.11 python3 python; do \
	    if $$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; \
	    then echo $$python; exit; fi; done; \
	echo 'error: no Python 3.11 or newer (with its venv module) on the path; install one' >&2; exit 1

# Nothing is resolved: uv installs the pins, from its cache where possible. pip installs uv.
$(STAMP): constraints.txt pyproject.toml
	@echo 'Setting up .venv (once, and again when the pins change)'
	@$(PYTHON) -c '' 2> /dev/null || { python=$$($(FIND_PYTHON)) && $$python -m venv --clear .venv; }
	@$(PYTHON) -m pip --version > /dev/null 2>&1 || $(PYTHON) -m ensurepip > /dev/null
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --constraint constraints.txt uv
	@export UV_DEFAULT_INDEX="$$($(PYTHON) -m demo.index)" \
	    && $(UV) pip sync --python $(PYTHON) --build-constraints constraints.txt constraints.txt \
	    && $(UV) pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation --editable . \
	        --config-settings editable_mode=compat
	@rm -f .venv/installed-* && touch $@
