# Needs make, git and Python 3.11 or newer. Everything is installed into .venv, at the versions of constraints/.

NIGHTS ?= 10   # of `make demo`
UPGRADE ?=     # `make pins UPGRADE=--upgrade` moves to the newest versions; without it only what must change does
PYTHONS = python3.13 python3.12 python3.11 python3.14 python3

BIN = .venv/bin
INSTALL = $(BIN)/python -m pip --disable-pip-version-check install --quiet
EDITABLE = $(INSTALL) --no-deps --no-build-isolation --editable .

.DEFAULT_GOAL = help
.PHONY: help setup demo test lint docs bench pins

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

setup: .venv/.all  ## create .venv with everything

demo: .venv/.core  ## install what the core needs, simulate iowa-2020 (NIGHTS=10) and name the report
	@$(BIN)/caucus simulate iowa-2020 -n $(NIGHTS) --seed 1

test: lint  ## install what is missing and run everything: ruff, mypy, pytest
	@bash tests/system/install_system_packages.sh
	$(BIN)/python -m pytest -q -n 2

lint: .venv/.all  ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: .venv/.all  ## write the generated pages of docs/ and the scenario schema anew
	$(BIN)/python -m simulation.documentation .
	$(BIN)/python -m loadtests.documentation .

bench: .venv/.all  ## run every benchmark: one JSON object each on stdout; fails where a limit does not hold
	@missed=; for script in $(wildcard benchmarks/*.py); do \
	  echo "== $$script" >&2; \
	  $(BIN)/python $$script || missed="$$missed $$script"; \
	done; \
	if [ -n "$$missed" ]; then echo "A limit does not hold:$$missed" >&2; exit 1; fi

# pip refuses an editable project beside hashes: the pinned list first, build backend included, then the project alone.
# all.txt holds core.txt at the same versions, so that a complete .venv has nothing to add for the core.
.venv/.all: constraints/all.txt pyproject.toml | .venv/bin/pip
	@echo "Installing everything into .venv (some minutes the first time) ..." >&2
	@$(INSTALL) --require-hashes -r $<
	@$(EDITABLE)
	@touch .venv/.core $@

.venv/.core: constraints/core.txt pyproject.toml | .venv/bin/pip
	@echo "Installing the simulation into .venv ..." >&2
	@$(INSTALL) --require-hashes -r $<
	@$(EDITABLE)
	@touch $@

.venv/bin/pip:
	@for python in $(PYTHONS); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found=$$python; \
	    if $$python -c 'import venv, ensurepip' 2>/dev/null; then exec $$python -m venv .venv; fi; \
	  fi; \
	done; \
	if [ -n "$$found" ]; then \
	  echo "$$found has no venv module: install it (on Debian and Ubuntu: apt-get install python3-venv)." >&2; \
	else \
	  echo "Python 3.11 or newer is needed, and none of these is one: $(PYTHONS)." >&2; \
	fi; \
	exit 1

# uv resolves for every platform and Python at once; it is a tool of this target, not a dependency.
# The build backend is read from pyproject.toml, so that its version stands once.
BACKEND = $(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")'
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make pins" $(UPGRADE) pyproject.toml -

pins: | .venv/bin/pip  ## write constraints/ anew from pyproject.toml (UPGRADE=--upgrade: newest versions)
	@[ -x $(BIN)/uv ] || $(INSTALL) uv
	@$(BACKEND) | $(COMPILE) --all-extras --output-file constraints/all.txt >/dev/null
	@$(BACKEND) | $(COMPILE) --constraint constraints/all.txt --output-file constraints/core.txt >/dev/null
