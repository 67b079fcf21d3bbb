# Needs make and Python 3.11 or newer; everything else is installed into .venv by pip.
#
#   PYTHON=python3.13 DJANGO=6.1   another corner of the support matrix, in a venv of its own
#   ARGS="-k cart"                 passed on to pytest, or to `manage.py demo`

PYTHON ?= python3
DJANGO ?=
ARGS ?=

ifeq ($(origin PYTHON)$(DJANGO),file)
VENV ?= .venv
else
VENV ?= .venv-$(notdir $(PYTHON))$(if $(DJANGO),-django$(DJANGO))
endif

BIN := $(VENV)/bin
# Touched last, so that an interrupted installation is begun again.
READY := $(VENV)/.ready

.PHONY: help demo check-demo check-patterns test test-databases bench faults django-suite lint format types contracts clean venv
.DEFAULT_GOAL := help

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt .ci/venv
	@bash .ci/venv $(VENV) "$(PYTHON)" $(DJANGO)
	@touch $@

venv: $(READY)  ## install everything into a virtual environment

demo: $(READY)  ## start servers, fill the shop, serve it on port 8000
	@exec $(BIN)/python manage.py demo $(ARGS)

check-demo: $(READY)  ## the same in a temporary folder, every page visited twice and judged
	@exec $(BIN)/python manage.py demo --check $(ARGS)

check-patterns: $(READY)  ## each caching pattern performed over HTTP; then without, when it and its test must fail
	@exec $(BIN)/python manage.py demo --patterns $(ARGS)
	@exec $(BIN)/python manage.py demo --patterns --without all $(ARGS)
	@exec $(BIN)/python -m tests.shop.without

test: $(READY)  ## run all tests on real servers of their own
	$(BIN)/python -m pytest $(ARGS)

django-suite: $(READY)  ## Django's own ORM tests with everything cached (many minutes)
	$(BIN)/python -m tests.django_suite $(ARGS)

faults: $(READY)  ## hundreds of kills, cuts, restarts and failovers: a quarter of an hour
	CACHEPATTERNS_FAULTS=nightly $(BIN)/python -m pytest -n0 -s tests/faults tests/behind/test_exactly_once.py $(ARGS)

DATABASE_TESTS := tests/write_paths tests/behind tests/checks/test_text_columns.py \
	tests/integration/test_moving_rows.py \
	tests/integration/test_reconnecting.py -k "not sqlite"

test-databases: $(READY)  ## write paths and counters on Debian's PostgreSQL 15 and MariaDB, and with the outbox on
	TESTS_OUTBOX=1 $(BIN)/python -m pytest tests/write_paths $(ARGS)
	TESTS_DATABASE=postgresql15 $(BIN)/python -m pytest $(DATABASE_TESTS) $(ARGS)
	TESTS_DATABASE=mariadb $(BIN)/python -m pytest $(DATABASE_TESTS) $(ARGS)

bench: $(READY)  ## every case beside other ORM caches, as ratios (ARGS=--quick: a minute)
	@$(BIN)/pip install --quiet --constraint constraints.txt \
		--config-settings editable_mode=compat --editable '.[bench]'
	@$(BIN)/python -m tests.benchmarks $(ARGS)

lint: $(READY)  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)  ## mypy
	$(BIN)/mypy

contracts: $(READY)  ## imports point down only
	$(BIN)/lint-imports

clean:  ## remove the demo's data, the virtual environments and tools' caches
	rm -rf .demo .django-suite .venv .venv-* *.egg-info build dist
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
