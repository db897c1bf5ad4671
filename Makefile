# Tombolo's commands. `make demo` and `make test` are all that a newcomer needs.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
PEERS := .venv-bench
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo demo-marketing demo-horizontal demo-lending demo-transfer up up-marketing up-horizontal up-lending \
	up-transfer down test lint bench bench-quick acceptance lock clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

install: $(STAMP) ## install everything from the lock file into .venv

$(STAMP): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11 or newer is needed: apt install python3 python3-venv"; exit 1; fi
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "Python's venv is missing: apt install $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; exit 1; }
	@[ -x $(RUN) ] || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked packages into $(VENV); this takes a minute or two"
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP) ## three organisations, three Airflows, one encrypted model
	$(RUN) -m tombolo.cli demo

demo-marketing: $(STAMP) ## a shop, a bank, a social network: boosted trees and what they gain
	$(RUN) -m tombolo.cli demo marketing

demo-horizontal: $(STAMP) ## four hospitals train over their patients; one is killed on the way
	$(RUN) -m tombolo.cli demo hospitals

demo-lending: $(STAMP) ## a bank asks three lenders about people, and exposes nobody
	$(RUN) -m tombolo.cli demo lending

demo-transfer: $(STAMP) ## a hospital with labels, a clinic without, few common patients
	$(RUN) -m tombolo.cli demo diagnosis

up: $(STAMP) ## make demo, and leave the three UIs running
	$(RUN) -m tombolo.cli demo --keep

up-marketing: $(STAMP) ## make demo-marketing, and leave the three UIs running
	$(RUN) -m tombolo.cli demo marketing --keep

up-horizontal: $(STAMP) ## make demo-horizontal, and leave the four surviving UIs running
	$(RUN) -m tombolo.cli demo hospitals --keep

up-lending: $(STAMP) ## make demo-lending, and leave the five UIs running
	$(RUN) -m tombolo.cli demo lending --keep

up-transfer: $(STAMP) ## make demo-transfer, and leave the two UIs running
	$(RUN) -m tombolo.cli demo diagnosis --keep

down: ## stop them
	@[ ! -x $(RUN) ] || $(RUN) -m tombolo.cli demo-stop

test: $(STAMP) ## the whole test suite
	$(RUN) -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder

lint: $(STAMP) ## style, types, layers
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache

# Peers are held in an environment of their own; without it, or without FATE's or Flower's, comparisons are skipped with a reason.
$(PEERS)/.installed: benchmarks/requirements.lock
	@{ [ -x $(PEERS)/bin/python ] || $(PYTHON) -m venv $(PEERS); } && $(PEERS)/bin/python -m pip install --quiet \
		--disable-pip-version-check --require-hashes --only-binary :all: -r $< && touch $@ || \
		echo "the peers in $< could not be installed: comparisons with them are skipped"

BENCH = $(RUN) -m benchmarks $$([ ! -f $(PEERS)/.installed ] || echo --kernels $(PEERS)/bin/python) \
	$(if $(FATE),--fate "$(FATE)") $(if $(FLOWER),--flower "$(FLOWER)") $(if $(DATA),--data "$(DATA)")

bench: $(STAMP) $(PEERS)/.installed ## performance against peers and limits; FATE=python with pyfate, FLOWER=python with flwr, DATA=folder
	$(BENCH) --picture docs/images/benchmarks.svg

bench-quick: $(STAMP) $(PEERS)/.installed ## the kernels only, under five minutes
	$(BENCH) --quick

acceptance: $(STAMP) ## quality bars on the tables in DATA=folder
	@[ -n "$(DATA)" ] || { echo "usage: make acceptance DATA=folder"; exit 2; }
	$(RUN) -m tombolo.cli acceptance "$(DATA)"
	$(RUN) -m benchmarks.acceptance_horizontal "$(DATA)"
	$(RUN) -m benchmarks.acceptance_transfer "$(DATA)"

lock: ## write requirements.lock anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q \
		pyproject.toml requirements.in -o requirements.lock --upgrade
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q \
		benchmarks/requirements.in -o benchmarks/requirements.lock --upgrade

clean: ## remove what was built, not your data
	rm -rf $(VENV) $(PEERS) .pytest_cache .mypy_cache .ruff_cache .hypothesis
