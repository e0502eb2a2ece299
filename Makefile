# Everything here needs python3 (3.11 to 3.13) and make, nothing else; the rest is installed into .venv.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run demo test soak check bench docs clean

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
WORKERS ?= 2

# Fit is a version that we support, able to make a virtual environment. A PYTHON that somebody named is
# not replaced by another one.
FIT := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
OTHERS := $(if $(filter file default undefined,$(origin PYTHON)),python3.12 python3.13 python3.11)

help:  ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP)  ## install into .venv and write .env, if there is none
	@$(BIN)/ingest setup

run: setup  ## the whole system on this machine: UI on port 3000, Ctrl-C stops it; PROFILE=live for real markets
	@exec $(BIN)/ingest up

demo: setup  ## end to end once, then exit
	@exec $(BIN)/ingest demo

test: $(STAMP)  ## the tests, a few minutes
	$(BIN)/pytest -n $(WORKERS) -m "not soak"

soak: $(STAMP)  ## crash storms and races, many minutes
	$(BIN)/pytest -n $(WORKERS) -m soak

check: $(STAMP)  ## style, types, constraints, docker-compose.yml
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q ingestion_assets_tests/test_constraints.py
	POSTGRES_PASSWORD=x REDIS_PASSWORD=x S3_SECRET_KEY=x ADMIN_TOKEN=x $(BIN)/docker-compose --env-file /dev/null -f docker-compose.yml config --quiet

bench: $(STAMP)  ## speed, against others and against the limit
	$(BIN)/python -m benchmarks

docs: $(STAMP)  ## docs/catalog.md from the tables
	$(BIN)/python -m ingestion_assets.tables.document > docs/catalog.md

clean:  ## remove .venv and caches; data and state stay
	rm -rf .venv build dist ./*.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@for python in $(PYTHON) $(OTHERS); do \
	    if $$python -c '$(FIT)' >/dev/null 2>&1; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "Python 3.11, 3.12 or 3.13 with its venv module is needed; tried: $(strip $(PYTHON) $(OTHERS))." >&2; \
	    echo "$(firstword $(PYTHON)) is: $$($(PYTHON) --version 2>&1 || echo missing)." >&2; \
	    echo "Install one (Debian, Ubuntu: apt install python3-venv), or name it: make PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	fi; \
	echo "Installing into .venv with $$($$found --version), which takes a few minutes"; \
	$$found -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
